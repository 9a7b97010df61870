# SPDX-License-Identifier: Apache-2.0
"""Chains made by a CA that is openssl or another library: each one that is wrong is refused, and the sentence says which."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.certificate_chain import DEPTH_MAX, PEM_BYTES_MAX, check_chain, read_chain

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
DAY = timedelta(days=1)


@dataclass
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def public(self) -> bytes:
        """Its key, as SubjectPublicKeyInfo."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def issue(
    name: str, issuer: Issued | None = None, *, ca: bool | None = True, days: int = 30, issuer_name: str = ""
) -> Issued:
    """One certificate; its own issuer without *issuer*, without basic constraints where *ca* is None."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
    by = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer_name)]) if issuer_name else None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by or (issuer.certificate.subject if issuer else subject))
        .public_key(key.public_key())
        .serial_number(0xABCDEF)
        .not_valid_before(NOW - 60 * DAY)
        .not_valid_after(NOW + days * DAY)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return Issued(builder.sign(issuer.key if issuer else key, SHA256()), key)


@pytest.fixture(scope="module")
def root() -> Issued:
    return issue("Root")


@pytest.fixture(scope="module")
def middle(root: Issued) -> Issued:
    return issue("Middle", root)


@pytest.fixture(scope="module")
def leaf(middle: Issued) -> Issued:
    return issue("Leaf", middle, ca=False)


def refusal(pem: str, public: bytes | None = None) -> str:
    """Message and hint as a person reads them."""
    with pytest.raises(InvalidRequestError) as refused:
        check_chain(read_chain(pem), public or b"", NOW_S)
    assert refused.value.message.isprintable()
    return f"{refused.value.message}\n{refused.value.hint}"


def test_chain(root: Issued, middle: Issued, leaf: Issued) -> None:
    """With and without its root; what stands around the certificates is left out."""
    chain = read_chain("a comment\n" + leaf.pem + "another\n" + middle.pem + root.pem)
    assert chain.pem == leaf.pem + middle.pem + root.pem
    facts = chain.facts
    assert (facts.subject, facts.issuer, facts.serial, facts.certificates) == ("O=Leaf", "O=Middle", "abcdef", 3)
    assert facts.not_after_s == int((NOW + 30 * DAY).timestamp())
    check_chain(chain, leaf.public, NOW_S)
    check_chain(read_chain(leaf.pem + middle.pem), leaf.public, NOW_S)
    check_chain(read_chain(leaf.pem), leaf.public, NOW_S)
    check_chain(read_chain(root.pem), root.public, NOW_S)


def test_of_another_key(root: Issued, middle: Issued, leaf: Issued) -> None:
    text = refusal(leaf.pem + middle.pem, root.public)
    assert "the first certificate (O=Leaf) is that of another key\nthe key's own certificate comes first" in text


def test_order(root: Issued, middle: Issued, leaf: Issued) -> None:
    text = refusal(leaf.pem + root.pem + middle.pem)
    assert "certificate 1 (O=Leaf) was issued by O=Middle, and O=Root follows" in text
    assert "certificate 2 (O=Middle) was issued by O=Root, and O=Leaf follows" in refusal(
        leaf.pem + middle.pem + leaf.pem
    )


def test_issuer_of_that_name_with_another_key(middle: Issued, leaf: Issued) -> None:
    """The name alone proves nothing."""
    impostor = issue("Middle")
    assert impostor.certificate.subject == middle.certificate.subject
    text = refusal(leaf.pem + impostor.pem)
    assert "certificate 1 (O=Leaf) was not signed with the key of certificate 2" in text


@pytest.mark.parametrize("ca", [False, None])
def test_issuer_that_is_no_ca(ca: bool | None) -> None:
    issuer = issue("Person", ca=ca)
    assert "certificate 2 (O=Person) may not issue certificates" in refusal(issue("Leaf", issuer).pem + issuer.pem)


def test_ended(middle: Issued) -> None:
    old = issue("Old", middle, days=-1)
    assert "(O=Old) has ended, at 2026-05-31T00:00:00Z" in refusal(old.pem, old.public)


def test_bounds(leaf: Issued) -> None:
    chain = [issue("0")]
    for number in range(1, DEPTH_MAX + 1):
        chain.insert(0, issue(str(number), chain[0]))
    assert read_chain("".join(one.pem for one in chain[1:])).facts.certificates == DEPTH_MAX
    assert "11 certificates are more than the 10" in refusal("".join(one.pem for one in chain))
    assert f"at most {PEM_BYTES_MAX} bytes" in refusal(leaf.pem + "#" * PEM_BYTES_MAX)


def test_what_is_no_chain(leaf: Issued) -> None:
    body = leaf.pem.splitlines()
    torn = "\n".join([body[0], *body[2:]])
    for text in ("", "no certificate", body[0] + "\n" + body[-1], torn, leaf.pem.replace("CERTIFICATE", "X509 CRL")):
        assert "this is no chain of certificates in PEM, or a damaged one\n-----BEGIN" in refusal(text)
    for place in range(0, len(leaf.pem), 7):
        other = "A" if leaf.pem[place] != "A" else "B"
        with contextlib.suppress(InvalidRequestError):
            assert read_chain(leaf.pem[:place] + other + leaf.pem[place + 1 :]).facts.subject.isprintable()


def test_private_key_beside_it(leaf: Issued) -> None:
    """It is not carried anywhere."""
    key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert "there is a private key beside the certificates\nleave it out" in refusal(leaf.pem + key)


def test_names_that_would_fool_a_terminal() -> None:
    """Somebody else wrote them: what does not print is escaped, by RFC 4514."""
    chain = read_chain(issue("a\x1b[2Jb\u202ec\n", issuer_name="x\x9b").pem)
    assert chain.facts.subject == r"O=a\1B[2Jb\E2\80\AEc\0A"
    assert chain.facts.issuer == r"O=x\C2\9B"


def test_what_is_read_is_what_was_written(root: Issued, middle: Issued, leaf: Issued) -> None:
    """A chain of ours read again is the same, whatever part of it."""
    for start, end in itertools.combinations(range(4), 2):
        part = "".join(one.pem for one in [leaf, middle, root][start:end])
        assert read_chain(part).pem == part
