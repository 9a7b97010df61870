# SPDX-License-Identifier: Apache-2.0
"""The wrapping of imports and the types' numbers, written again from import_wrap.h with another library."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from framework.secret_forms import PrivateKey

from vmm_keystore._vks import lib

TYPES = {
    "ec-p256": 1, "ec-p384": 2, "ed25519": 3, "rsa-2048": 4, "rsa-3072": 5, "rsa-4096": 6, "aes-128": 7, "aes-256": 8,
    "hmac-sha256": 9, "hmac-sha384": 10, "hmac-sha512": 11, "chacha20-poly1305": 12, "aes-128-xts": 13, "aes-256-xts": 14,
    "x25519": 15, "ml-dsa-44": 16, "ml-dsa-65": 17, "ml-dsa-87": 18, "ml-kem-512": 19, "ml-kem-768": 20,
    "ml-kem-1024": 21,
}  # fmt: skip


def pkcs8(key: PrivateKey) -> bytes:
    """PKCS#8 DER."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_der(key: PrivateKey) -> bytes:
    """SubjectPublicKeyInfo DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def wrap(offer: bytes, key_type: int, material: bytes) -> bytes:
    """Wrap *material* to *offer* (id and public key)."""
    ephemeral = X25519PrivateKey.generate()
    ours = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(offer[16:]))
    info = b"vmm-keystore import v1" + offer[:16] + ours + offer[16:]
    key = HKDF(SHA256(), 32, None, info).derive(shared)
    return b"\x01" + ours + AESGCM(key).encrypt(bytes(12), key_type.to_bytes(4, "little") + material, b"\x01")


def unwrap(private: X25519PrivateKey, offer: bytes, wrapped: bytes) -> tuple[int, bytes]:
    """Type and material of what was wrapped to an offer of ours."""
    theirs = wrapped[1:33]
    info = b"vmm-keystore import v1" + offer[:16] + theirs + offer[16:]
    shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
    text = AESGCM(HKDF(SHA256(), 32, None, info).derive(shared)).decrypt(bytes(12), wrapped[33:], wrapped[:1])
    return int.from_bytes(text[:4], "little"), text[4:]


def unwrap_root_secret(private: X25519PrivateKey, offer: bytes, wrapped: bytes) -> bytes:
    """What a root of trust gave: 32 bytes, marked as its own."""
    key_type, secret = unwrap(private, offer, wrapped)
    assert (key_type, len(secret)) == (lib.VKS_TYPE_ROOT_SECRET, 32)
    return secret
