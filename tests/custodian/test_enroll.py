# SPDX-License-Identifier: Apache-2.0
"""Public halves of key pairs that lie in a token: sealed, loaded into workers, never taken for private keys."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from custodian.custodian_process import KEY_ID, Custodian, pack

from vmm_keystore._vks import lib

P256, RSA_2048 = lib.VKS_KEY_TYPE_EC_P256, lib.VKS_KEY_TYPE_RSA_2048
IN_TOKEN = lib.VKS_TYPE_F_TOKEN


def der(key: Any) -> bytes:
    """SubjectPublicKeyInfo."""
    public: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public


POINT = der(ec.generate_private_key(ec.SECP256R1()))
MODULUS = der(rsa.generate_private_key(65537, 2048))


@pytest.fixture
def custodian(tmp_path: Path) -> Iterator[Custodian]:
    with Custodian() as started:
        assert started.open_root(tmp_path / "kek", create=True) == 0
        yield started


def enroll(custodian: Custodian, key_type: int, public: bytes, *, says_bytes: int | None = None) -> tuple[int, Any]:
    """Error and key."""
    announced = len(public) if says_bytes is None else says_bytes
    body = pack("vks_custodian_enroll", key_id=KEY_ID, version=1, type=key_type, public_bytes=announced)
    return custodian._key(*custodian.call(lib.VKS_CUSTODIAN_ENROLL, body + public))


@pytest.mark.parametrize(("key_type", "public"), [(P256, POINT), (RSA_2048, MODULUS)], ids=["ec", "rsa"])
def test_sealed_and_loaded(custodian: Custodian, key_type: int, public: bytes) -> None:
    """Under a type of its own: a worker is told that it has half a key only."""
    error, key = enroll(custodian, key_type, public)
    assert (error, key.type, key.public) == (0, key_type, public)
    channel = custodian.add_channel(1)
    assert custodian.load(1, 7, [(KEY_ID, 1, key_type | IN_TOKEN, 0, key.sealed)]) == 0
    _load_id, _keys, [slot] = channel.receive()
    assert (slot.type, slot.material) == (key_type | IN_TOKEN, public)
    # Nor the other way round, whoever exchanges blobs or types.
    assert custodian.load(1, 8, [(KEY_ID, 1, key_type, 0, key.sealed)]) == -errno.EBADMSG
    _, own = custodian.generate(key_type)
    assert own is not None
    assert custodian.load(1, 9, [(KEY_ID, 1, key_type | IN_TOKEN, 0, own.sealed)]) == -errno.EBADMSG


def test_sealed_anew(custodian: Custodian, tmp_path: Path) -> None:
    """As every other key."""
    _, key = enroll(custodian, P256, POINT)
    assert custodian.change_root(tmp_path / "next", lib.VKS_ROOT_FILE) == 0
    error, [sealed] = custodian.reseal([(KEY_ID, 1, P256 | IN_TOKEN, key.sealed)])
    assert (error, len(sealed)) == (0, len(key.sealed))
    assert custodian.switch_root() == 0
    custodian.add_channel(1)
    assert custodian.load(1, 7, [(KEY_ID, 1, P256 | IN_TOKEN, 0, sealed)]) == 0


OFF_CURVE = POINT[:-1] + bytes([POINT[-1] ^ 1])
BAD = {
    "nothing": (P256, b""),
    "another curve": (P256, der(ec.generate_private_key(ec.SECP384R1()))),
    "another size": (RSA_2048, der(rsa.generate_private_key(65537, 3072))),
    "another kind": (P256, MODULUS),
    "no point of the curve": (P256, OFF_CURVE),
    "cut short": (P256, POINT[:-1]),
    "more behind it": (P256, POINT + b"\0"),
    "no key": (P256, b"x" * 91),
    "an exponent of one": (RSA_2048, MODULUS[:-5] + b"\x02\x03\x00\x00\x01"),
}


@pytest.mark.parametrize(("key_type", "public"), BAD.values(), ids=BAD.keys())
def test_what_is_no_public_key(custodian: Custodian, key_type: int, public: bytes) -> None:
    """Whatever a token gave."""
    assert enroll(custodian, key_type, public)[0] == -errno.EBADMSG


@pytest.mark.parametrize(
    "key_type", [lib.VKS_KEY_TYPE_ED25519, lib.VKS_KEY_TYPE_AES_256, P256 | IN_TOKEN, 0, 2**32 - 1], ids=str
)
def test_types_that_do_not_lie_in_tokens(custodian: Custodian, key_type: int) -> None:
    """It is not looked at."""
    public = der(ed25519.Ed25519PrivateKey.generate())
    assert enroll(custodian, key_type, public)[0] == -errno.EINVAL


def test_sizes_that_lie(tmp_path: Path) -> None:
    """The custodian ends: keystored does not say such things."""
    started = Custodian()
    assert started.open_root(tmp_path / "kek", create=True) == 0
    body = pack("vks_custodian_enroll", key_id=KEY_ID, version=1, type=P256, public_bytes=len(POINT) + 1)
    started.send(
        pack("vks_ipc_head", type=lib.VKS_CUSTODIAN_ENROLL, size_bytes=24 + len(body + POINT), tag=9) + body + POINT
    )
    assert started.socket.recv(100) == b""
    assert started.wait() != 0
    started.socket.close()


def test_without_a_kek() -> None:
    """Nothing is sealed."""
    with Custodian() as started:
        assert enroll(started, P256, POINT)[0] == -errno.ENOKEY
