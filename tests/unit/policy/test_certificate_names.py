# SPDX-License-Identifier: Apache-2.0
"""Names for certificates: what people write is what is in them, or is refused with a sentence that says why."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.certificate_names import (
    ALTERNATIVES_MAX,
    AlternativeKind,
    Attribute,
    WantedNames,
    read_alternative,
    read_subject,
)

DNS, IP, EMAIL, URI = AlternativeKind.DNS, AlternativeKind.IP, AlternativeKind.EMAIL, AlternativeKind.URI


def refusal(names: WantedNames) -> str:
    """Message and hint as a person reads them."""
    with pytest.raises(InvalidRequestError) as refused:
        names.read()
    text = f"{refused.value.message}\n{refused.value.hint}"
    assert text.isprintable() or set(text) - {"\n"} == {letter for letter in text if letter.isprintable()}
    return text


def test_subject_is_encoded_from_its_end() -> None:
    """RFC 4514, 2.1: the text begins with the last part of the encoding; escapes are undone."""
    assert read_subject(r"CN=web,O=Example\, Inc,DC=example,DC=com") == (
        (Attribute.DC, "com"),
        (Attribute.DC, "example"),
        (Attribute.O, "Example, Inc"),
        (Attribute.CN, "web"),
    )
    assert read_subject("cn=Größe,C=DE") == ((Attribute.C, "DE"), (Attribute.CN, "Größe"))


def test_subject_comes_back_as_text() -> None:
    names = WantedNames(r"CN=a\+b\=c\\d,OU=x\"y,serialNumber=12-3,UID=u,STREET=Road 1,ST=State,L=Town,C=DE").read()
    assert read_subject(names.subject_text.replace("2.5.4.5", "serialNumber")) == names.subject


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("web", "'web' is no subject by RFC 4514\nwrite it like 'CN=web,O=Example,C=DE'"),
        ("CN=web, O=x", "no subject by RFC 4514"),
        ("FOO=x", "attributes: CN, C, ST, L, STREET, O, OU, serialNumber, DC, UID"),
        ("1.2.3.4=x", "an attribute that is not taken: 1.2.3.4"),
        ("emailAddress=a@b.de,CN=x", "the subject has an e-mail address\nit is an alternative name: --email"),
        ("CN=a+OU=b", "a part of several values"),
        ("CN=#0c0141", "hexadecimal form"),
        ("CN=", "1 and <= 64"),
        ("CN=" + "x" * 65, "was 65"),
        ("CN=" + "ü" * 33, "66"),
        ("OU=" + "ü" * 65, "OU of the subject has 65 characters, not 1 to 64"),
        ("ST=" + "x" * 129, "ST of the subject has 129 characters, not 1 to 128"),
        ("C=DEU", "2"),
        ("C=de", "C of the subject is 'de'; it takes capital letters only"),
        ("C=A1", "capital letters only"),
        ("serialNumber=a_b", "'a_b'"),
        ("DC=exämple", "it takes ASCII only"),
        (r"CN=a\00b", "CN of the subject has a character that does not print"),
        ("CN=a\x1b[31mb", "does not print"),
        ("CN=a\x85b", "does not print"),
        ("CN=a\u202eb", "does not print"),
        ("CN=a\nO=b", "does not print"),
        (",".join(["OU=x"] * 33), "33 parts, more than the 32 allowed"),
        ("x" * 4097, "longer than 4096"),
        ("", "there is no name"),
    ],
)
def test_subjects_that_cannot_be_had(subject: str, words: str) -> None:
    assert words in refusal(WantedNames(subject))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DNS, "www.example.com"),
        (DNS, "*.example.com"),
        (DNS, "localhost"),
        (DNS, "xn--exmple-cua.com"),
        (DNS, "a" * 63 + "." + "b" * 63),
        (IP, "192.0.2.1"),
        (IP, "2001:db8::1"),
        (EMAIL, "some.one+tag@example.com"),
        (URI, "spiffe://example.com/ns/web"),
        (URI, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        (URI, "https://[2001:db8::1]/x?y=%20z#w"),
    ],
)
def test_alternative_names(kind: AlternativeKind, text: str) -> None:
    assert read_alternative(kind, text).text == text


def test_addresses_are_written_in_one_way() -> None:
    assert read_alternative(IP, "2001:0DB8:0:0:0:0:0:1").text == "2001:db8::1"
    assert read_alternative(IP, "2001:db8::1").value == bytes.fromhex("20010db8000000000000000000000001")


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (DNS, "", "'' is no DNS name"),
        (DNS, "www.example.com.", "without a dot behind it"),
        (DNS, "a..b", "is no DNS name"),
        (DNS, "-a.com", "is no DNS name"),
        (DNS, "a_b.com", "is no DNS name"),
        (DNS, "www.*.com", "is no DNS name"),
        (DNS, "w*.example.com", "is no DNS name"),
        (DNS, "a" * 64 + ".com", "is no DNS name"),
        (DNS, ".".join(["a" * 50] * 5), "is no DNS name"),
        (DNS, "192.0.2.1", "is no DNS name"),
        (DNS, "a.com\n", "'a.com?' is no DNS name"),
        (DNS, "a\x00b.com", "'a?b.com' is no DNS name"),
        (DNS, "exämple.com", "has letters outside ASCII\nwrite it as it is in DNS: xn--"),
        (IP, "192.0.2.256", "is no IP address"),
        (IP, "192.0.2.0/24", "is no IP address"),
        (IP, "example.com", "is no IP address\nlike 192.0.2.1"),
        (IP, "fe80::1%eth0", "has a zone"),
        (EMAIL, "example.com", "is no e-mail address"),
        (EMAIL, "a b@example.com", "is no e-mail address"),
        (EMAIL, "a@*.example.com", "is no e-mail address"),
        (EMAIL, "a@b@example.com", "is no e-mail address"),
        (EMAIL, "x" * 65 + "@example.com", "is no e-mail address"),
        (URI, "/relative", "is no URI"),
        (URI, "https://a b", "is no URI"),
        (URI, "https:", "is no URI"),
        (URI, "https://" + "x" * 1020, "is no URI"),
    ],
)
def test_alternative_names_that_cannot_be_had(kind: AlternativeKind, text: str, words: str) -> None:
    assert words in refusal(WantedNames("", [(kind, text)]))


def test_alternative_names_once_and_not_too_many() -> None:
    """One that is named twice is there once; what is left out is never silent."""
    names = WantedNames("", [(DNS, "a.com"), (DNS, "b.com"), (DNS, "a.com")]).read()
    assert names.alternative_texts == ["dns:a.com", "dns:b.com"]
    many = [(DNS, f"w{number}.com") for number in range(ALTERNATIVES_MAX + 1)]
    assert len(WantedNames("", many[:-1]).read().alternatives) == ALTERNATIVES_MAX
    assert "101 alternative names are more than the 100 allowed" in refusal(WantedNames("", many))


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes out of it, whatever somebody types."""
    for names in (WantedNames(text), *(WantedNames("", [(kind, text)]) for kind in AlternativeKind)):
        try:
            said = names.read().subject_text
        except InvalidRequestError as refused:
            said = refused.message
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", said)
