# SPDX-License-Identifier: Apache-2.0
"""Keys that something else wrapped (CKM_RSA_AES_KEY_WRAP): by openssl and by another library, and what is refused."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from custodian.custodian_process import KEY_ID, Custodian, Key, pack
from custodian.test_custodian import load_one
from custodian.wrapping import TYPES, pkcs8, public_der
from framework.secret_forms import PrivateKey

from vmm_keystore._vks import ffi, lib

MODULUS_BYTES = 384
HASHES: dict[int, HashAlgorithm] = {lib.VKS_IMPORT_OAEP_SHA1: SHA1(), lib.VKS_IMPORT_OAEP_SHA256: SHA256()}  # noqa: S303
SHA256_OAEP = lib.VKS_IMPORT_OAEP_SHA256


def make_offer(custodian: Custodian) -> tuple[bytes, rsa.RSAPublicKey]:
    error, body = custodian.call(lib.VKS_CUSTODIAN_RSA_OFFER)
    assert error == 0
    size = ffi.sizeof("struct vks_custodian_rsa_offer")
    assert int.from_bytes(body[16:20], "little") == len(body) - size
    public = load_der_public_key(body[size:])
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 8 * MODULUS_BYTES
    return body[:16], public


def wrap(public: rsa.RSAPublicKey, material: bytes, *, aes_bytes: int = 32, oaep: HashAlgorithm | None = None) -> bytes:
    oaep = oaep or SHA256()
    aes = os.urandom(aes_bytes)
    scheme = padding.OAEP(padding.MGF1(oaep), oaep, None)
    return public.encrypt(aes, scheme) + aes_key_wrap_with_padding(aes, material)


def bring(
    custodian: Custodian, offer_id: bytes, name: str, wrapped: bytes, *, hash_number: int = SHA256_OAEP, **more: object
) -> tuple[int, Key | None]:
    head = {
        "offer_id": offer_id, "key_id": KEY_ID, "version": 1, "type": TYPES[name], "hash": hash_number,
        "wrapped_bytes": len(wrapped),
    }  # fmt: skip
    body = pack("vks_custodian_import_rsa", **(head | more)) + wrapped
    return custodian._key(*custodian.call(lib.VKS_CUSTODIAN_IMPORT_RSA, body))


@pytest.mark.parametrize("name", ["ec-p256", "ec-p384", "ed25519", "rsa-2048", "rsa-3072"])
def test_key_pairs(custodian: Custodian, private_keys: dict[str, PrivateKey], name: str) -> None:
    offer_id, public = make_offer(custodian)
    error, key = bring(custodian, offer_id, name, wrap(public, pkcs8(private_keys[name])))
    assert error == 0
    assert key is not None
    assert key.public == public_der(private_keys[name])
    assert load_one(custodian, key) == pkcs8(private_keys[name])


@pytest.mark.parametrize(
    ("name", "size", "aes_bytes", "hash_number"),
    [
        ("aes-128", 16, 16, lib.VKS_IMPORT_OAEP_SHA1),
        ("aes-256", 32, 24, lib.VKS_IMPORT_OAEP_SHA256),
        ("hmac-sha256", 37, 32, lib.VKS_IMPORT_OAEP_SHA1),
    ],
)
def test_raw_keys(custodian: Custodian, name: str, size: int, aes_bytes: int, hash_number: int) -> None:
    """Every AES key that wraps, both hashes, lengths that need padding."""
    offer_id, public = make_offer(custodian)
    material = os.urandom(size)
    wrapped = wrap(public, material, aes_bytes=aes_bytes, oaep=HASHES[hash_number])
    error, key = bring(custodian, offer_id, name, wrapped, hash_number=hash_number)
    assert error == 0
    assert key is not None
    assert load_one(custodian, key) == material


def test_wrapped_by_openssl(custodian: Custodian, tmp_path: Path) -> None:
    """With its commands, as the README has them."""
    offer_id, public = make_offer(custodian)
    (tmp_path / "offer.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    commands = """
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out t.der
        openssl pkcs8 -topk8 -nocrypt -inform DER -in t.der -outform DER -out key.der
        openssl rand -out aes 32
        openssl pkeyutl -encrypt -pubin -inkey offer.pem -in aes -out one -pkeyopt rsa_padding_mode:oaep \
            -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
        openssl enc -id-aes256-wrap-pad -iv A65959A6 -K $(od -An -tx1 -v aes | tr -d ' \\n') -in key.der -out two
        cat one two >wrapped
        openssl pkey -inform DER -in key.der -pubout -outform DER -out public
    """
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True, capture_output=True)
    error, key = bring(custodian, offer_id, "ec-p256", (tmp_path / "wrapped").read_bytes())
    assert error == 0
    assert key is not None
    assert key.public == (tmp_path / "public").read_bytes()


def test_each_offer_is_good_for_one_try(custodian: Custodian) -> None:
    """Also a try that fails: nobody asks twice what his ciphertext decrypts to."""
    offer_id, public = make_offer(custodian)
    wrapped = wrap(public, bytes(32))
    assert bring(custodian, offer_id, "aes-256", wrapped)[0] == 0
    assert bring(custodian, offer_id, "aes-256", wrapped)[0] == -errno.ENOENT
    offer_id, public = make_offer(custodian)
    wrapped = wrap(public, bytes(32))
    assert bring(custodian, offer_id, "aes-256", wrapped[:-1] + b"\0")[0] == -errno.EBADMSG
    assert bring(custodian, offer_id, "aes-256", wrapped)[0] == -errno.ENOENT
    assert bring(custodian, bytes(16), "aes-256", wrapped)[0] == -errno.ENOENT


def test_few_offers_live(custodian: Custodian) -> None:
    """The ninth pushes the first one out."""
    offers = [make_offer(custodian) for _ in range(9)]
    assert bring(custodian, offers[0][0], "aes-256", wrap(offers[0][1], bytes(32)))[0] == -errno.ENOENT
    for offer_id, public in offers[1:]:
        assert bring(custodian, offer_id, "aes-256", wrap(public, bytes(32)))[0] == 0


def test_what_is_not_taken(custodian: Custodian, private_keys: dict[str, PrivateKey]) -> None:
    """Wrapped wrongly, or well and no key of that type."""
    _, foreign = make_offer(custodian)
    pair = pkcs8(private_keys["ec-p256"])

    def refused(name: str, wrapped: bytes | None = None, *, material: bytes = bytes(32), **more: int) -> int:
        offer_id, public = make_offer(custodian)
        return -bring(custodian, offer_id, name, wrap(public, material) if wrapped is None else wrapped, **more)[0]

    assert refused("aes-256", wrap(foreign, bytes(32))) == errno.EBADMSG
    assert refused("aes-256", hash_number=lib.VKS_IMPORT_OAEP_SHA1) == errno.EBADMSG
    assert refused("aes-256", hash_number=3) == errno.EINVAL
    assert refused("aes-128") == errno.EINVAL
    assert refused("hmac-sha256", material=bytes(13)) == errno.EINVAL
    assert refused("ec-p256") == errno.EINVAL
    assert refused("ec-p384", material=pair) == errno.EINVAL
    assert refused("ec-p256", material=pair + b"\0") == errno.EINVAL
    assert refused("aes-256", material=pair) == errno.EINVAL
    assert refused("aes-256", type=lib.VKS_TYPE_AUDIT_KEY) == errno.EINVAL
    offer_id, public = make_offer(custodian)
    wrapped = wrap(public, bytes(32), oaep=SHA384())
    assert -bring(custodian, offer_id, "aes-256", wrapped)[0] == errno.EBADMSG


@pytest.mark.parametrize("size", [0, 1, 383, 384, 392, 399, 401, 384 + 16 + 4104, 60000])
def test_lengths(custodian: Custodian, size: int) -> None:
    """Too short, no whole blocks, too long."""
    offer_id, _ = make_offer(custodian)
    assert bring(custodian, offer_id, "aes-256", bytes(size))[0] == -errno.EBADMSG


@pytest.mark.parametrize("size", [0, 15, 17, 31, 33, 64])
def test_what_wraps_is_an_aes_key(custodian: Custodian, size: int) -> None:
    offer_id, public = make_offer(custodian)
    scheme = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    wrapped = public.encrypt(bytes(size), scheme) + aes_key_wrap_with_padding(bytes(32), bytes(32))
    assert bring(custodian, offer_id, "aes-256", wrapped)[0] == -errno.EBADMSG


def test_locked_vault_keeps_its_offer() -> None:
    """Nothing can be sealed; the offer is not used up by that."""
    with Custodian() as locked:
        offer_id, public = make_offer(locked)
        assert bring(locked, offer_id, "aes-256", wrap(public, bytes(32)))[0] == -errno.ENOKEY
