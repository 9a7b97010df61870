# SPDX-License-Identifier: Apache-2.0
"""Certificates for a key: reading a chain that somebody made elsewhere, and whether it is one for this key; pure.

A chain is for whoever presents the key: the key's own certificate first, each one issued by the next. It is not decided
here whether anybody trusts its last one. Source: RFC 5280; of path validation (clause 6.1) names, signatures and who may
issue.
"""

from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.certificate_names import name_text
from vmm_keystore.policy.moment import moment_text

PEM_BYTES_MAX = 65536
DEPTH_MAX = 10


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a person is told of a chain: its first certificate, and how many there are. Times are UNIX time."""

    subject: str
    issuer: str
    serial: str
    not_before_s: int
    not_after_s: int
    sha256: str
    certificates: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as PEM, written anew, and what it is."""

    pem: str
    facts: CertificateFacts


def read_chain(pem: str) -> Chain:
    """Read certificates and see that each one was issued by the next.

    Raises:
        InvalidRequestError: which of them is wrong, and how.
    """
    found = _load(pem)
    for place, (certificate, issuer) in enumerate(pairwise(found), 1):
        _check_issued(certificate, issuer, place)
    leaf = found[0]
    facts = CertificateFacts(
        subject=name_text(leaf.subject),
        issuer=name_text(leaf.issuer),
        serial=f"{leaf.serial_number:x}",
        not_before_s=int(leaf.not_valid_before_utc.timestamp()),
        not_after_s=int(leaf.not_valid_after_utc.timestamp()),
        sha256=leaf.fingerprint(SHA256()).hex(),
        certificates=len(found),
    )
    return Chain("".join(one.public_bytes(Encoding.PEM).decode() for one in found), facts)


def check_chain(chain: Chain, public_der: bytes, now_s: int) -> None:
    """See that a chain is that of the key with the SubjectPublicKeyInfo *public_der*, and still good.

    Raises:
        InvalidRequestError: it is not.
    """
    leaf = x509.load_pem_x509_certificate(chain.pem.encode())
    if public_key_der(leaf) != public_der:
        raise InvalidRequestError(
            f"the first certificate ({chain.facts.subject}) is that of another key",
            "the key's own certificate comes first; --version names another version of the key",
        )
    if chain.facts.not_after_s < now_s:
        ended = moment_text(chain.facts.not_after_s)
        raise InvalidRequestError(f"the first certificate ({chain.facts.subject}) has ended, at {ended}")


def public_key_der(certificate: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """The SubjectPublicKeyInfo, as libcrypto writes it; empty for a key of a kind that nobody here has."""
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):
        return b""


def _load(pem: str) -> list[x509.Certificate]:
    if len(pem) > PEM_BYTES_MAX:
        raise InvalidRequestError(f"a certificate chain has at most {PEM_BYTES_MAX} bytes")
    if "PRIVATE KEY-----" in pem:
        raise InvalidRequestError(
            "there is a private key beside the certificates", "leave it out: nobody needs it here"
        )
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        for certificate in found:
            _ = certificate.extensions, certificate.subject, certificate.issuer
    except (ValueError, x509.DuplicateExtension) as error:
        raise InvalidRequestError(
            "this is no chain of certificates in PEM, or a damaged one", "-----BEGIN CERTIFICATE----- begins each"
        ) from error
    if len(found) > DEPTH_MAX:
        raise InvalidRequestError(f"{len(found)} certificates are more than the {DEPTH_MAX} that a chain may have")
    return found


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, place: int) -> None:
    which = f"certificate {place} ({name_text(certificate.subject)})"
    if certificate.issuer != issuer.subject:
        raise InvalidRequestError(
            f"{which} was issued by {name_text(certificate.issuer)}, and {name_text(issuer.subject)} follows",
            "each certificate is followed by that of its issuer",
        )
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = x509.BasicConstraints(ca=False, path_length=None)
    if not constraints.ca:
        raise InvalidRequestError(f"certificate {place + 1} ({name_text(issuer.subject)}) may not issue certificates")
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError) as error:
        raise InvalidRequestError(
            f"{which} was not signed with the key of certificate {place + 1}",
            "an issuer that renewed its key has several certificates of one name",
        ) from error
    except (UnsupportedAlgorithm, ValueError) as error:
        raise InvalidRequestError(f"{which} is signed in a way that is not supported") from error
