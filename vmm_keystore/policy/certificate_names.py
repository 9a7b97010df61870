# SPDX-License-Identifier: Apache-2.0
"""Names that a certificate or request is to have, read from what people write; pure.

Sources: RFC 4514 (subjects as text), RFC 5280 4.2.1.6 and appendix A.1 (alternative names, bounds). Nothing is cut off,
replaced or guessed: what does not fit is refused with the value that did not. A common name has
at most 64 bytes of UTF-8, not characters: some of those who read certificates count so.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cryptography import x509
from cryptography.x509.oid import NameOID

from vmm_keystore.errors import InvalidRequestError

ATTRIBUTES_MAX = 32
ALTERNATIVES_MAX = 100
TEXT_MAX = 4096
_SUBJECT_HINT = "write it like 'CN=web,O=Example,C=DE', the most specific part first, without blanks around it"


class Attribute(Enum):
    """An attribute of a subject, by its word in RFC 4514 (``serialNumber``: RFC 4519)."""

    CN = "CN"
    C = "C"
    ST = "ST"
    L = "L"
    STREET = "STREET"
    O = "O"  # noqa: E741 - its name in the RFC
    OU = "OU"
    SERIAL_NUMBER = "serialNumber"
    DC = "DC"
    UID = "UID"


@dataclass(frozen=True, slots=True)
class _Rule:
    oid: x509.ObjectIdentifier
    characters_max: int
    pattern: re.Pattern[str] | None = None
    form: str = ""
    characters_min: int = 1


_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,./:=?-]*")
_ASCII = re.compile(r"[ -~]*")
_RULES = {
    Attribute.CN: _Rule(NameOID.COMMON_NAME, 64),
    Attribute.C: _Rule(NameOID.COUNTRY_NAME, 2, re.compile(r"[A-Z]*"), "capital letters", 2),
    Attribute.ST: _Rule(NameOID.STATE_OR_PROVINCE_NAME, 128),
    Attribute.L: _Rule(NameOID.LOCALITY_NAME, 128),
    Attribute.STREET: _Rule(NameOID.STREET_ADDRESS, 128),
    Attribute.O: _Rule(NameOID.ORGANIZATION_NAME, 64),
    Attribute.OU: _Rule(NameOID.ORGANIZATIONAL_UNIT_NAME, 64),
    Attribute.SERIAL_NUMBER: _Rule(NameOID.SERIAL_NUMBER, 64, _PRINTABLE, "letters, digits and some punctuation"),
    Attribute.DC: _Rule(NameOID.DOMAIN_COMPONENT, 63, _ASCII, "ASCII"),
    Attribute.UID: _Rule(NameOID.USER_ID, 256),
}
_BY_OID = {rule.oid: attribute for attribute, rule in _RULES.items()}
# What RFC 4512 calls descriptors is the same in capitals and small letters.
_WORDS = {word: rule.oid for a, rule in _RULES.items() for word in {a.value, a.value.lower(), a.value.upper()}}


class AlternativeKind(Enum):
    """What an alternative name is, by the option that gives it."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class Alternative:
    """One alternative name as people read it."""

    kind: AlternativeKind
    text: str

    @property
    def value(self) -> bytes:
        """As a certificate holds it."""
        if self.kind is AlternativeKind.IP:
            return ipaddress.ip_address(self.text).packed
        return self.text.encode("ascii")


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Subject, in the order in which it is encoded, and alternative names."""

    subject: tuple[tuple[Attribute, str], ...]
    alternatives: tuple[Alternative, ...]

    @property
    def subject_text(self) -> str:
        """The subject by RFC 4514."""
        return name_text(
            x509.Name([x509.NameAttribute(_RULES[attribute].oid, value) for attribute, value in self.subject])
        )

    @property
    def alternative_texts(self) -> list[str]:
        """The alternative names, each with its kind."""
        return [f"{one.kind.value}:{one.text}" for one in self.alternatives]


@dataclass(frozen=True, slots=True)
class WantedNames:
    """Names as somebody asked for them."""

    subject: str
    alternatives: Sequence[tuple[AlternativeKind, str]] = ()

    def read(self) -> CertificateNames:
        """Read them all; there must be one at least.

        Raises:
            InvalidRequestError: which of them cannot be had, and why.
        """
        if len(self.alternatives) > ALTERNATIVES_MAX:
            raise InvalidRequestError(
                f"{len(self.alternatives)} alternative names are more than the {ALTERNATIVES_MAX} allowed"
            )
        alternatives = dict.fromkeys(read_alternative(kind, text) for kind, text in self.alternatives)
        read = CertificateNames(read_subject(self.subject), tuple(alternatives))
        if not read.subject and not read.alternatives:
            raise InvalidRequestError("there is no name: neither a subject nor an alternative name", _SUBJECT_HINT)
        return read


def read_subject(text: str) -> tuple[tuple[Attribute, str], ...]:
    """Read a distinguished name; its last part is encoded first.

    Raises:
        InvalidRequestError: it is none, or has a part that no certificate of ours has.
    """
    if len(text) > TEXT_MAX:
        raise InvalidRequestError(f"the subject is longer than {TEXT_MAX} characters")
    if re.search(r"=\s*#", text):
        raise InvalidRequestError("the subject has a value in hexadecimal form (#), which is not taken", _SUBJECT_HINT)
    try:
        name = x509.Name.from_rfc4514_string(text, {**_WORDS, "emailAddress": NameOID.EMAIL_ADDRESS})
    except ValueError as error:
        known = ", ".join(attribute.value for attribute in Attribute)
        cause = f": {str(error)[:1].lower()}{str(error)[1:]}" if str(error) else ""
        raise InvalidRequestError(
            f"'{_shown(text)}' is no subject by RFC 4514{cause}", f"{_SUBJECT_HINT}; attributes: {known}"
        ) from error
    if len(name.rdns) > ATTRIBUTES_MAX:
        raise InvalidRequestError(f"the subject has {len(name.rdns)} parts, more than the {ATTRIBUTES_MAX} allowed")
    return tuple(_read_part(rdn) for rdn in name.rdns)


def _read_part(rdn: x509.RelativeDistinguishedName) -> tuple[Attribute, str]:
    first, *more = rdn
    if more:
        raise InvalidRequestError(
            f"the subject has a part of several values ({_shown(rdn.rfc4514_string())}), which is not taken",
            "separate them by a comma, and put a '\\' before a '+' that belongs to a value",
        )
    attribute = _BY_OID.get(first.oid)
    if attribute is None:
        if first.oid == NameOID.EMAIL_ADDRESS:
            raise InvalidRequestError("the subject has an e-mail address", "it is an alternative name: --email")
        raise InvalidRequestError(
            f"the subject has an attribute that is not taken: {first.oid.dotted_string}",
            "attributes: " + ", ".join(one.value for one in Attribute),
        )
    value = str(first.value)
    rule = _RULES[attribute]
    if not rule.characters_min <= len(value) <= rule.characters_max:
        bound = (
            f"{rule.characters_max}"
            if rule.characters_min == rule.characters_max
            else f"{rule.characters_min} to {rule.characters_max}"
        )
        raise InvalidRequestError(f"{attribute.value} of the subject has {len(value)} characters, not {bound}")
    if any(not _is_printed(letter) for letter in value):
        raise InvalidRequestError(f"{attribute.value} of the subject has a character that does not print")
    if rule.pattern is not None and not rule.pattern.fullmatch(value):
        raise InvalidRequestError(f"{attribute.value} of the subject is '{_shown(value)}'; it takes {rule.form} only")
    return attribute, value


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


def read_alternative(kind: AlternativeKind, text: str) -> Alternative:
    """Read one alternative name.

    Raises:
        InvalidRequestError: it is none of its kind.
    """
    if kind is AlternativeKind.IP:
        return Alternative(kind, _read_address(text))
    if not text.isascii():
        hint = (
            "write it as it is in DNS: xn--…" if kind is AlternativeKind.DNS else "percent signs or xn--… stand for it"
        )
        raise InvalidRequestError(f"'{_shown(text)}' has letters outside ASCII", hint)
    checks = {
        AlternativeKind.DNS: (
            _is_dns_name,
            "DNS name",
            "like www.example.com or *.example.com, without a dot behind it",
        ),
        AlternativeKind.EMAIL: (_is_email, "e-mail address", "like someone@example.com"),
        AlternativeKind.URI: (_is_uri, "URI", "like https://example.com/x or spiffe://example.com/web"),
    }
    holds, noun, hint = checks[kind]
    if not holds(text):
        raise InvalidRequestError(f"'{_shown(text)}' is no {noun}", hint)
    return Alternative(kind, text)


def _read_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequestError(f"'{_shown(text)}' is no IP address", "like 192.0.2.1 or 2001:db8::1") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise InvalidRequestError(f"'{_shown(text)}' has a zone, which a certificate cannot", "leave out the % part")
    return str(address)


def _is_dns_name(text: str) -> bool:
    return len(text) <= 253 and _DNS.fullmatch(text) is not None and not text.rpartition(".")[2].isdigit()


def _is_email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(
        at
        and len(local) <= 64
        and len(text) <= 254
        and _LOCAL.fullmatch(local)
        and _is_dns_name(domain)
        and "*" not in domain
    )


def _is_uri(text: str) -> bool:
    return len(text) <= 1024 and _URI.fullmatch(text) is not None


def name_text(name: x509.Name) -> str:
    """A name by RFC 4514, every character that does not print escaped as its clause 2.4 allows: it may be anybody's."""
    return "".join(
        letter if _is_printed(letter) else "".join(f"\\{byte:02X}" for byte in letter.encode("utf-8", "replace"))
        for letter in name.rfc4514_string()
    )


def _is_printed(letter: str) -> bool:
    return letter == " " or unicodedata.category(letter)[0] not in "CZ"


def _shown(text: str) -> str:
    """What a terminal may be given of *text*."""
    start = "".join(letter if _is_printed(letter) else "?" for letter in text[:80])
    return start + ("…" if len(text) > len(start) else "")
