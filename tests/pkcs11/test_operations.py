# SPDX-License-Identifier: Apache-2.0
"""Every mechanism of the PKCS#11 module against an independent implementation."""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from pkcs11.conftest import Place

MESSAGE = b"a message of more than one block, so that parts of it are parts of blocks " * 3
AAD = b"aad"
CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_PUBLIC_KEY_INFO, CKA_EC_PARAMS, CKA_EC_POINT = 0x120, 0x122, 0x129, 0x180, 0x181
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def der_of(signature: bytes) -> bytes:
    """ECDSA's r and s, one behind the other, as the other library takes them."""
    half = len(signature) // 2
    return utils.encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def signatures(place: Place, tmp_path: Path, mechanism: str, label: str, data: bytes) -> list[bytes]:
    """Signatures made at once and in parts, which the module verifies, and refuses when they are changed."""
    made = [place.guest.operate(command, mechanism, label, data).stdout for command in ("sign", "sign-parts")]
    for signature in made:
        kept = tmp_path / "signature"
        kept.write_bytes(signature)
        place.guest.operate("verify", mechanism, label, data, kept)
    return made


@pytest.mark.parametrize(
    ("ops", "message", "complaint"), [(1, MESSAGE, ": 0x203,"), (20, MESSAGE, ""), (20, b"another", ": 0xc0,")]
)
def test_budget_ends_before_the_version_that_signed(
    place: Place, tmp_path: Path, ops: int, message: bytes, complaint: str
) -> None:
    """No verdict is CKR_KEY_EXHAUSTED, not CKR_SIGNATURE_INVALID: whoever asks must not throw good data away."""
    kept = tmp_path / "signature"
    kept.write_bytes(place.guest.operate("sign", "ecdsa-sha256", "tls", MESSAGE).stdout)
    place.vault.cli("key", "rotate", "tls")
    place.vault.api.revoke("app", "tls")
    # Each verification is one operation of each version.
    place.vault.api.grant("app", "tls", ("verify",), ops_max=ops)
    answered = place.guest.operate("verify", "ecdsa-sha256", "tls", message, kept, ok=not complaint)
    assert complaint in answered.stderr
    assert bool(answered.status) == bool(complaint)


@pytest.mark.parametrize("label", ["tls", "p384", "sig", "agree-x", "rsa"])
def test_public_attributes(shared_place: Place, label: str) -> None:
    """What attributes say of a public key is in the one that the administrator sees."""

    def attribute(number: int) -> bytes:
        return shared_place.guest.operate("attribute", f"{number:x}", label).stdout

    public: Any = load_pem_public_key(shared_place.public_pem(label))
    assert attribute(CKA_PUBLIC_KEY_INFO) == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if label == "rsa":
        assert int.from_bytes(attribute(CKA_MODULUS)) == public.public_numbers().n
        assert int.from_bytes(attribute(CKA_PUBLIC_EXPONENT)) == public.public_numbers().e
        return
    if label in {"tls", "p384"}:
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    else:
        point = public.public_bytes_raw()
    assert attribute(CKA_EC_POINT) == bytes([4, len(point)]) + point
    # The algorithm's parameters, or the algorithm itself where that is the curve.
    assert attribute(CKA_EC_PARAMS) in attribute(CKA_PUBLIC_KEY_INFO)


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("label", ["tls", "p384"])
def test_ecdsa(shared_place: Place, tmp_path: Path, label: str, name: str) -> None:
    """Of a message, and of a digest, whose length says which hash it is of."""
    public: Any = load_pem_public_key(shared_place.public_pem(label))
    for signature in signatures(shared_place, tmp_path, f"ecdsa-{name}", label, MESSAGE):
        public.verify(der_of(signature), MESSAGE, ec.ECDSA(HASHES[name]))
    digest = hashlib.new(name, MESSAGE).digest()
    for signature in signatures(shared_place, tmp_path, "ecdsa", label, digest):
        public.verify(der_of(signature), MESSAGE, ec.ECDSA(HASHES[name]))


def test_eddsa(shared_place: Place, tmp_path: Path) -> None:
    """Ed25519."""
    public = load_pem_public_key(shared_place.public_pem("sig"))
    assert isinstance(public, ed25519.Ed25519PublicKey)
    for signature in signatures(shared_place, tmp_path, "eddsa", "sig", MESSAGE):
        public.verify(signature, MESSAGE)


DIGEST_INFO = {
    "sha256": "3031300d060960864801650304020105000420",
    "sha384": "3041300d060960864801650304020205000430",
    "sha512": "3051300d060960864801650304020305000440",
}


@pytest.mark.parametrize("name", HASHES)
def test_rsa_pkcs1(shared_place: Place, tmp_path: Path, name: str) -> None:
    """Of a message, and of a DigestInfo, as TLS libraries and ssh give it."""
    public = load_pem_public_key(shared_place.public_pem("rsa"))
    assert isinstance(public, rsa.RSAPublicKey)
    for signature in signatures(shared_place, tmp_path, f"rsa-{name}", "rsa", MESSAGE):
        public.verify(signature, MESSAGE, padding.PKCS1v15(), HASHES[name])
    info = bytes.fromhex(DIGEST_INFO[name]) + hashlib.new(name, MESSAGE).digest()
    for signature in signatures(shared_place, tmp_path, "rsa", "rsa", info):
        public.verify(signature, MESSAGE, padding.PKCS1v15(), HASHES[name])


@pytest.mark.parametrize("name", HASHES)
def test_rsa_pss(shared_place: Place, tmp_path: Path, name: str) -> None:
    """Of a message, and of a digest; the salt is as long as that."""
    public = load_pem_public_key(shared_place.public_pem("rsa"))
    assert isinstance(public, rsa.RSAPublicKey)
    pss = padding.PSS(padding.MGF1(HASHES[name]), HASHES[name].digest_size)
    for signature in signatures(shared_place, tmp_path, f"pss-{name}", "rsa", MESSAGE):
        public.verify(signature, MESSAGE, pss, HASHES[name])
    if name == "sha256":
        for signature in signatures(shared_place, tmp_path, "pss", "rsa", hashlib.sha256(MESSAGE).digest()):
            public.verify(signature, MESSAGE, pss, HASHES[name])


@pytest.mark.parametrize(("label", "name"), [("tag", "sha256"), ("tag-384", "sha384"), ("tag-512", "sha512")])
def test_hmac(shared_place: Place, tmp_path: Path, label: str, name: str) -> None:
    """The key's own hash."""
    tag = hmac.digest(shared_place.secrets[label], MESSAGE, name)
    assert signatures(shared_place, tmp_path, f"hmac-{name}", label, MESSAGE) == [tag, tag]


def test_cmac(shared_place: Place, tmp_path: Path) -> None:
    """Where the grant names it."""
    expected = CMAC(algorithms.AES(shared_place.secrets["box-named"]))
    expected.update(MESSAGE)
    tag = expected.finalize()
    assert signatures(shared_place, tmp_path, "cmac", "box-named", MESSAGE) == [tag, tag]


def test_oaep(shared_place: Place) -> None:
    """Either side is the other library's once."""
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")
    public = load_pem_public_key(shared_place.public_pem("rsa"))
    assert isinstance(public, rsa.RSAPublicKey)
    assert shared_place.guest.operate("decrypt", "oaep", "rsa", public.encrypt(b"short", oaep)).stdout == b"short"
    sealed = shared_place.guest.operate("encrypt", "oaep", "rsa", b"other").stdout
    assert shared_place.guest.operate("decrypt", "oaep", "rsa", sealed).stdout == b"other"
    assert shared_place.guest.operate("wrap", "oaep", "rsa", b"session").stdout == b"session"
    changed = bytes([sealed[0] ^ 1]) + sealed[1:]
    refused = shared_place.guest.operate("decrypt", "oaep", "rsa", changed, ok=False)
    assert "C_DecryptFinal(session, output, &output_size): 0x40," in refused.stderr


@pytest.mark.parametrize(("mechanism", "label"), [("gcm", "box"), ("chacha", "cha")])
@pytest.mark.parametrize("size", [0, 1, 5000])
def test_aead_by_own_nonce(shared_place: Place, mechanism: str, label: str, size: int) -> None:
    """The caller's nonce, tag behind the ciphertext; a change of either is noticed."""
    text = os.urandom(size)
    other = (AESGCM if mechanism == "gcm" else ChaCha20Poly1305)(shared_place.secrets[label])
    sealed = shared_place.guest.operate("encrypt", mechanism, label, text).stdout
    assert sealed == other.encrypt(bytes(12), text, AAD)
    assert shared_place.guest.operate("decrypt", mechanism, label, sealed).stdout == text
    refused = shared_place.guest.operate("decrypt", mechanism, label, sealed[:-1] + b"\0", ok=False)
    assert "C_DecryptFinal(session, output, &output_size): 0x35," in refused.stderr or sealed.endswith(b"\0")


def test_messages_have_the_device_s_nonces(shared_place: Place) -> None:
    """What a program seals message by message is what the device gives, and is opened message by message."""
    sealed = shared_place.guest.operate("seal", "gcm", "box-device", MESSAGE).stdout
    nonce, ciphertext = sealed[:12], sealed[12:]
    assert AESGCM(shared_place.secrets["box-device"]).decrypt(nonce, ciphertext, AAD) == MESSAGE
    assert shared_place.guest.operate("open", "gcm", "box-device", sealed).stdout == MESSAGE
    # The caller's own is another matter, for which this grant has no name.
    refused = shared_place.guest.operate("encrypt", "gcm", "box-device", MESSAGE, ok=False)
    assert ": 0x70," in refused.stderr


def test_messages_in_parts(shared_place: Place) -> None:
    """They are the same messages, and come with their last part; what is wrong about one ends that one alone."""
    sealed = shared_place.guest.operate("seal-parts", "gcm", "box-device", MESSAGE).stdout
    assert AESGCM(shared_place.secrets["box-device"]).decrypt(sealed[:12], sealed[12:], AAD) == MESSAGE
    assert shared_place.guest.operate("open-parts", "gcm", "box-device", sealed).stdout == MESSAGE


def test_messages_with_a_nonce_of_the_caller(shared_place: Place) -> None:
    """ChaCha20-Poly1305's parameter cannot ask for one."""
    sealed = shared_place.guest.operate("seal", "chacha", "cha", MESSAGE).stdout
    assert sealed[:12] == bytes(12)
    assert ChaCha20Poly1305(shared_place.secrets["cha"]).decrypt(bytes(12), sealed[12:], AAD) == MESSAGE


def test_cbc_and_ctr_are_opened(shared_place: Place) -> None:
    """The device would choose their IV, where PKCS#11 has the caller do it: they only decrypt."""
    key, text = shared_place.secrets["box-named"], os.urandom(160)
    for name, mode in (("cbc", modes.CBC(bytes(16))), ("ctr", modes.CTR(bytes(16)))):
        encryptor = Cipher(algorithms.AES(key), mode).encryptor()
        sealed = encryptor.update(text) + encryptor.finalize()
        assert shared_place.guest.operate("decrypt", name, "box-named", sealed).stdout == text
        assert ": 0x70," in shared_place.guest.operate("encrypt", name, "box-named", text, ok=False).stderr


def test_xts(shared_place: Place) -> None:
    """By the caller's tweak, both ways."""
    key, text = shared_place.secrets["disk"], os.urandom(161)
    encryptor = Cipher(algorithms.AES(key), modes.XTS(bytes(16))).encryptor()
    sealed = encryptor.update(text) + encryptor.finalize()
    assert shared_place.guest.operate("encrypt", "xts", "disk", text).stdout == sealed
    assert shared_place.guest.operate("decrypt", "xts", "disk", sealed).stdout == text


def test_key_wrap(shared_place: Place) -> None:
    """RFC 3394 and RFC 5649; session secrets come back as they went, keys of the vault do not go."""
    key, secret = shared_place.secrets["box-named"], os.urandom(32)
    assert shared_place.guest.operate("encrypt", "kw", "box-named", secret).stdout == keywrap.aes_key_wrap(key, secret)
    for size in (1, 7, 8, 31):
        wrapped = keywrap.aes_key_wrap_with_padding(key, secret[:size])
        assert shared_place.guest.operate("encrypt", "kwp", "box-named", secret[:size]).stdout == wrapped
        assert shared_place.guest.operate("decrypt", "kwp", "box-named", wrapped).stdout == secret[:size]
    for mechanism in ("kw", "kwp"):
        assert shared_place.guest.operate("wrap", mechanism, "box-named", secret).stdout == secret
    refused = shared_place.guest.operate("encrypt", "kw", "box-named", secret[:9], ok=False)
    assert ": 0x21," in refused.stderr


def test_key_agreement(shared_place: Place) -> None:
    """The shared secret, as it stands; the peer's point as such or in an OCTET STRING."""
    public: Any = load_pem_public_key(shared_place.public_pem("agree"))
    peer = ec.generate_private_key(ec.SECP256R1())
    point = peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    expected = peer.exchange(ec.ECDH(), public)
    assert shared_place.guest.operate("derive", "ecdh", "agree", point).stdout == expected
    assert shared_place.guest.operate("derive", "ecdh", "agree", b"\x04\x41" + point).stdout == expected
    public = load_pem_public_key(shared_place.public_pem("agree-x"))
    peer_x = x25519.X25519PrivateKey.generate()
    derived = shared_place.guest.operate("derive", "ecdh", "agree-x", peer_x.public_key().public_bytes_raw()).stdout
    assert derived == peer_x.exchange(public)


def test_key_agreement_that_is_refused(shared_place: Place) -> None:
    """Points that are none, and a key whose grant is for signatures."""
    no_point = shared_place.guest.operate("derive", "ecdh", "agree", b"\x04" + bytes(64), ok=False)
    assert ": 0x71," in no_point.stderr
    assert ": 0x71," in shared_place.guest.operate("derive", "ecdh", "agree", bytes(64), ok=False).stderr
    point = (
        ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    assert ": 0x70," in shared_place.guest.operate("derive", "ecdh", "tls", point, ok=False).stderr


def test_hkdf(shared_place: Place) -> None:
    """Of an HMAC key, with salt and info."""
    expected = HKDF(hashes.SHA256(), 48, AAD, b"info").derive(shared_place.secrets["tag"])
    assert shared_place.guest.operate("derive", "hkdf", "tag", b"info").stdout == expected


def test_random(shared_place: Place) -> None:
    """More than one request has."""
    drawn = shared_place.guest.operate("random", "-", "-").stdout
    assert len(drawn) == 100000
    assert drawn.count(0) < 1000
