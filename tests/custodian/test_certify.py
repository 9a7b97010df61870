# SPDX-License-Identifier: Apache-2.0
"""Requests and certificates made by a real custodian, read by others: and what it does not sign, whoever asks."""

from __future__ import annotations

import errno
import ipaddress
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from custodian.custodian_process import KEY_ID, Custodian, Key, pack
from custodian.wrapping import TYPES

from vmm_keystore._vks import ffi, lib

SIGNING = [name for name in TYPES if name.startswith(("ec-", "ed", "rsa-"))]
FAST = [name for name in SIGNING if name not in {"rsa-3072", "rsa-4096"}]
DIGESTS = {"ec-p384": "sha384", "ed25519": None}
NONE = b""
BEGIN, END = b"20260101000000Z", b"20491231235959Z"
CN, C = (lib.VKS_CERTIFY_COMMON_NAME, b"web"), (lib.VKS_CERTIFY_COUNTRY, b"DE")
DNS = (lib.VKS_CERTIFY_DNS, b"www.example.com")

Field = tuple[int, bytes]


def field_bytes(fields: list[Field]) -> bytes:
    return b"".join(
        pack("vks_custodian_certify_field", type=number, value_bytes=len(value)) + value + bytes(-len(value) % 8)
        for number, value in fields
    )


def certify(
    custodian: Custodian,
    key: Key,
    fields: list[Field],
    *,
    kind: int = lib.VKS_CERTIFY_REQUEST,
    times: tuple[bytes, bytes] = (NONE, NONE),
    is_ca: int = 0,
    content: bytes | None = None,
    **more: object,
) -> tuple[int, bytes]:
    """Error, and DER where it is 0."""
    content = field_bytes(fields) if content is None else content
    head = {
        "key_id": KEY_ID, "version": 1, "type": key.type, "kind": kind, "is_ca": is_ca, "not_before": times[0],
        "not_after": times[1], "sealed_bytes": len(key.sealed), "fields_bytes": len(content),
    }  # fmt: skip
    body = pack("vks_custodian_certify", **(head | more)) + key.sealed + content
    error, answer = custodian.call(lib.VKS_CUSTODIAN_CERTIFY, body)
    if error:
        assert answer == b""
        return error, b""
    size = ffi.sizeof("struct vks_custodian_certified")
    assert int.from_bytes(answer[:4], "little") == len(answer) - size
    return 0, answer[size:]


def self_sign(custodian: Custodian, key: Key, fields: list[Field], *, is_ca: int = 0) -> tuple[int, bytes]:
    return certify(custodian, key, fields, kind=lib.VKS_CERTIFY_SELF_SIGNED, times=(BEGIN, END), is_ca=is_ca)


def generate(custodian: Custodian, name: str) -> Key:
    error, key = custodian.generate(TYPES[name])
    assert error == 0
    assert key is not None
    return key


@pytest.fixture
def key(custodian: Custodian) -> Key:
    return generate(custodian, "ec-p256")


def openssl(*arguments: str | Path, content: bytes = b"") -> str:
    done = subprocess.run(["openssl", *arguments], input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("name", SIGNING)
def test_request(custodian: Custodian, name: str) -> None:
    """For every type that signs; names in their order, of their kinds, with a signature that others find valid."""
    key = generate(custodian, name)
    alternatives = [
        DNS,
        (lib.VKS_CERTIFY_IP, ipaddress.ip_address("192.0.2.1").packed),
        (lib.VKS_CERTIFY_IP, ipaddress.ip_address("2001:db8::1").packed),
        (lib.VKS_CERTIFY_EMAIL, b"a@example.com"),
        (lib.VKS_CERTIFY_URI, b"spiffe://example.com/web"),
    ]
    error, der = certify(custodian, key, [C, (lib.VKS_CERTIFY_ORGANIZATION, "Größe".encode()), CN, *alternatives])
    assert error == 0
    request = x509.load_der_x509_csr(der)
    assert request.is_signature_valid
    assert request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == key.public
    assert request.subject.rfc4514_string() == "CN=web,O=Größe,C=DE"
    digest = request.signature_hash_algorithm
    assert (digest.name if digest else None) == DIGESTS.get(name, "sha256")
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not found.critical
    assert [str(one.value) for one in found.value] == [
        "www.example.com", "192.0.2.1", "2001:db8::1", "a@example.com", "spiffe://example.com/web",
    ]  # fmt: skip
    text = openssl("req", "-inform", "DER", "-verify", "-noout", "-subject", content=der)
    assert "verify OK" in text


def test_key_that_does_not_sign(custodian: Custodian) -> None:
    """A key for agreement only, whatever keystored asks."""
    key = generate(custodian, "x25519")
    assert certify(custodian, key, [CN]) == (-errno.EINVAL, b"")
    assert self_sign(custodian, key, [CN]) == (-errno.EINVAL, b"")


def test_request_with_either_sort_of_name(custodian: Custodian, key: Key) -> None:
    """A subject alone has no extensions; alternative names alone are critical (RFC 5280, 4.2.1.6)."""
    _, der = certify(custodian, key, [CN])
    assert not list(x509.load_der_x509_csr(der).extensions)
    _, der = certify(custodian, key, [DNS])
    request = x509.load_der_x509_csr(der)
    assert not request.subject.rdns
    assert request.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert certify(custodian, key, []) == (-errno.EINVAL, b"")


@pytest.mark.parametrize("is_ca", [0, 1])
@pytest.mark.parametrize("name", FAST)
def test_self_signed(custodian: Custodian, tmp_path: Path, name: str, is_ca: int) -> None:
    """Good for openssl as well; what it may do stands in it, and nothing more."""
    key = generate(custodian, name)
    error, der = self_sign(custodian, key, [C, CN, DNS], is_ca=is_ca)
    assert error == 0
    certificate = x509.load_der_x509_certificate(der)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == key.public
    assert certificate.version is x509.Version.v3
    assert certificate.serial_number.bit_length() == 127
    assert certificate.not_valid_before_utc.isoformat() == "2026-01-01T00:00:00+00:00"
    assert certificate.not_valid_after_utc.isoformat() == "2049-12-31T23:59:59+00:00"
    extensions = certificate.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca == bool(is_ca)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature != bool(is_ca)
    assert usage.value.key_cert_sign == usage.value.crl_sign == bool(is_ca)
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value == (
        x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    )
    assert len(list(extensions)) == 4
    path = tmp_path / "certificate.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    strict = ["-x509_strict"] if is_ca else []  # openssl's strict rules take every issuer for a CA
    assert "OK" in openssl("verify", *strict, "-CAfile", path, "-check_ss_sig", path)


def test_times_of_both_forms(custodian: Custodian, key: Key) -> None:
    """UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5)."""
    kind = lib.VKS_CERTIFY_SELF_SIGNED
    _, der = certify(custodian, key, [CN], kind=kind, times=(b"19700101000000Z", b"99991231235959Z"))
    assert b"\x17\x0d700101000000Z\x18\x0f99991231235959Z" in der


def test_two_certificates_have_two_serials(custodian: Custodian, key: Key) -> None:
    serials = {x509.load_der_x509_certificate(self_sign(custodian, key, [CN])[1]).serial_number for _ in range(20)}
    assert len(serials) == 20


@pytest.mark.parametrize(
    ("times", "is_ca"),
    [
        ((NONE, NONE), 0),
        ((BEGIN, NONE), 0),
        ((END, BEGIN), 0),
        ((BEGIN, BEGIN), 0),
        ((b"20260101000000+", END), 0),
        ((b"2026010100000Z", END), 0),
        ((b"20261301000000Z", END), 0),
        ((b"20260230000000Z", END), 0),
        ((b"20260101 00000Z", END), 0),
        ((BEGIN, END + b"Z"), 0),
        ((BEGIN, END), 2),
    ],
)
def test_times_and_flags_that_no_certificate_has(
    custodian: Custodian, key: Key, times: tuple[bytes, bytes], is_ca: int
) -> None:
    error, _ = certify(custodian, key, [CN], kind=lib.VKS_CERTIFY_SELF_SIGNED, times=times, is_ca=is_ca)
    assert error in {-errno.EINVAL, -errno.EIO}
    assert certify(custodian, key, [CN], times=(BEGIN, END))[0] == -errno.EINVAL
    assert certify(custodian, key, [CN], is_ca=1)[0] == -errno.EINVAL
    assert certify(custodian, key, [CN], kind=3)[0] == -errno.EINVAL
    assert self_sign(custodian, key, [DNS])[0] == -errno.EINVAL


HOSTILE: list[tuple[str, list[Field]]] = [
    ("no such field", [CN, (11, b"x")]),
    ("no such alternative", [CN, (0x105, b"x")]),
    ("empty", [(lib.VKS_CERTIFY_COMMON_NAME, b"")]),
    ("one character too many", [(lib.VKS_CERTIFY_COMMON_NAME, b"x" * 65)]),
    ("characters are counted, not bytes", [(lib.VKS_CERTIFY_COMMON_NAME, "ü".encode() * 65)]),
    ("no UTF-8", [(lib.VKS_CERTIFY_COMMON_NAME, b"a\xffb")]),
    ("overlong UTF-8", [(lib.VKS_CERTIFY_COMMON_NAME, b"a\xc0\x80b")]),
    ("a surrogate", [(lib.VKS_CERTIFY_COMMON_NAME, b"\xed\xa0\x80")]),
    ("cut UTF-8", [(lib.VKS_CERTIFY_COMMON_NAME, b"a\xc3")]),
    ("a zero", [(lib.VKS_CERTIFY_COMMON_NAME, b"good.com\0.bad.com")]),
    ("an escape", [(lib.VKS_CERTIFY_ORGANIZATION, b"a\x1b[2Jb")]),
    ("a C1 control", [(lib.VKS_CERTIFY_ORGANIZATION, "a\x85b".encode())]),
    ("three letters of a country", [(lib.VKS_CERTIFY_COUNTRY, b"DEU"), CN]),
    ("no PrintableString", [(lib.VKS_CERTIFY_SERIAL_NUMBER, b"a_b"), CN]),
    ("no IA5String", [(lib.VKS_CERTIFY_DOMAIN_COMPONENT, "ü".encode()), CN]),
    ("a zero in a DNS name", [CN, (lib.VKS_CERTIFY_DNS, b"good.com\0.bad.com")]),
    ("a blank in a DNS name", [CN, (lib.VKS_CERTIFY_DNS, b"a b")]),
    ("no ASCII in a DNS name", [CN, (lib.VKS_CERTIFY_DNS, "ü.de".encode())]),
    ("a long DNS name", [CN, (lib.VKS_CERTIFY_DNS, b"x" * 254)]),
    ("a long URI", [CN, (lib.VKS_CERTIFY_URI, b"x" * 1025)]),
    ("an address of five bytes", [CN, (lib.VKS_CERTIFY_IP, bytes(5))]),
    ("an empty address", [CN, (lib.VKS_CERTIFY_IP, b"")]),
    ("too many attributes", [CN] * (lib.VKS_CERTIFY_ATTRIBUTES_MAX + 1)),
    ("too many alternatives", [CN] + [DNS] * (lib.VKS_CERTIFY_ALTERNATIVES_MAX + 1)),
]


@pytest.mark.parametrize(("what", "fields"), HOSTILE, ids=[what for what, _ in HOSTILE])
def test_names_that_are_not_signed(custodian: Custodian, key: Key, what: str, fields: list[Field]) -> None:
    """The custodian checks for itself: a keystored that has fallen gets no signature over what no name is."""
    assert what
    assert certify(custodian, key, fields) == (-errno.EINVAL, b"")
    assert self_sign(custodian, key, fields) == (-errno.EINVAL, b"")
    assert certify(custodian, key, [CN, DNS])[0] == 0


def test_bounds_are_reached(custodian: Custodian, key: Key) -> None:
    """As many and as long as may be, and the message still fits."""
    uri = (lib.VKS_CERTIFY_URI, b"u:" + b"x" * 300)
    fields = [(lib.VKS_CERTIFY_STATE, b"x" * 128)] * lib.VKS_CERTIFY_ATTRIBUTES_MAX
    fields += [uri] * 80
    error, der = self_sign(custodian, key, fields)
    assert error == 0
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(names) == 80
    assert x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.STATE_OR_PROVINCE_NAME)
    fields += [(lib.VKS_CERTIFY_URI, b"u:" + b"x" * 1000)] * 20
    assert self_sign(custodian, key, fields)[0] == -errno.EINVAL


@pytest.mark.parametrize("name", ["aes-256", "hmac-sha256"])
def test_keys_that_do_not_sign(custodian: Custodian, name: str) -> None:
    """The material of a symmetric key is never taken for a private key, whatever type is claimed."""
    key = generate(custodian, name)
    assert certify(custodian, key, [CN])[0] == -errno.EINVAL
    assert certify(custodian, key, [CN], type=TYPES["ec-p256"])[0] == -errno.EBADMSG


def test_audit_key_signs_no_certificate(custodian: Custodian) -> None:
    """It signs checkpoints and nothing else, under none of its names."""
    error, body = custodian.call(lib.VKS_CUSTODIAN_AUDIT_KEY)
    assert error == 0
    sealed = body[ffi.sizeof("struct vks_custodian_audit_key") :]
    for key_type in (lib.VKS_TYPE_AUDIT_KEY, TYPES["ed25519"]):
        error, _ = certify(custodian, Key(key_type, sealed, b""), [CN], key_id=bytes(16))
        assert error in {-errno.EINVAL, -errno.EBADMSG}


def test_other_names_of_a_blob(custodian: Custodian, key: Key) -> None:
    """Sealed under one name, it signs under none else."""
    assert certify(custodian, key, [CN], version=2)[0] == -errno.EBADMSG
    assert certify(custodian, key, [CN], key_id=bytes(16))[0] == -errno.EBADMSG
    assert certify(custodian, Key(key.type, key.sealed[:-1], b""), [CN])[0] == -errno.EBADMSG
    assert certify(custodian, Key(key.type, b"", b""), [CN])[0] == -errno.EBADMSG
    assert certify(custodian, Key(key.type, bytes(8192), b""), [CN])[0] == -errno.EBADMSG


def test_nothing_is_signed_without_a_kek(key: Key) -> None:
    with Custodian() as locked:
        assert certify(locked, key, [CN])[0] == -errno.ENOKEY


@pytest.mark.parametrize(
    "content",
    [
        b"\x01",
        field_bytes([CN])[:-1],
        field_bytes([CN]) + bytes(4),
        pack("vks_custodian_certify_field", type=1, value_bytes=1),
        pack("vks_custodian_certify_field", type=1, value_bytes=2**32 - 1) + bytes(8),
        pack("vks_custodian_certify_field", type=1, value_bytes=2**32 - 7) + bytes(8),
    ],
    ids=["half a head", "padding cut", "half a second head", "value missing", "length wraps", "padded length wraps"],
)
def test_lengths_that_do_not_add_up_end_the_connection(tmp_path: Path, content: bytes) -> None:
    """As with every other message: whoever sends these is not asked what he meant."""
    custodian = Custodian()
    assert custodian.open_root(tmp_path / "kek", create=True) == 0
    key = generate(custodian, "ec-p256")
    with pytest.raises((AssertionError, ConnectionResetError)):
        certify(custodian, key, [], content=content)
    assert custodian.wait() == 1
    custodian.socket.close()
