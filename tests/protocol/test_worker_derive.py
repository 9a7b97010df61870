# SPDX-License-Identifier: Apache-2.0
"""Secrets that leave the vault: derived ones and data keys, in the real worker, against an independent implementation."""

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from framework.vault import Answer
from protocol.worker_rig import Bench, RigKey, key_id, pkcs8

from vmm_keystore._vks import ffi, lib

OK, DENIED, AUTH_FAILED = lib.VKS_STATUS_OK, lib.VKS_STATUS_DENIED, lib.VKS_STATUS_AUTH_FAILED
INPUT_SIZE, MALFORMED = lib.VKS_STATUS_INPUT_SIZE, lib.VKS_STATUS_MALFORMED
UNSUPPORTED, KEY_STATE = lib.VKS_STATUS_UNSUPPORTED, lib.VKS_STATUS_KEY_STATE
DERIVE, DATA_KEY, DECRYPT = lib.VKS_OP_DERIVE, lib.VKS_OP_DATA_KEY, lib.VKS_OP_DECRYPT
ECDH = lib.VKS_MECHANISM_ECDH
SECRET_MAX = lib.VKS_SECRET_BYTES_MAX
AROUND = 12 + 16  # nonce and tag

P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
X25519 = x25519.X25519PrivateKey.generate()
PAIRS = {
    "ec-p256": (P256, RigKey(key_id(1), lib.VKS_KEY_TYPE_EC_P256, pkcs8(P256)), hashes.SHA256()),
    "ec-p384": (P384, RigKey(key_id(2), lib.VKS_KEY_TYPE_EC_P384, pkcs8(P384)), hashes.SHA384()),
    "x25519": (X25519, RigKey(key_id(3), lib.VKS_KEY_TYPE_X25519, pkcs8(X25519)), hashes.SHA256()),
}
HASHES = {"SHA256": hashes.SHA256(), "SHA384": hashes.SHA384(), "SHA512": hashes.SHA512()}
MACS = {name: RigKey(key_id(4), getattr(lib, f"VKS_KEY_TYPE_HMAC_{name}"), os.urandom(40)) for name in HASHES}
AES = RigKey(key_id(5), lib.VKS_KEY_TYPE_AES_256, bytes(range(32)), nonce_lease=0x0A0B0C0D)
CHACHA = RigKey(key_id(6), lib.VKS_KEY_TYPE_CHACHA20_POLY1305, bytes(range(32)), nonce_lease=0x0A0B0C0D)
RELEASE = 1 << lib.VKS_OP_RELEASE
INFO_REQUEST = bytes(ffi.buffer(ffi.new("struct vks_info_request *", {"abi_version_min": 1, "abi_version_max": 1})))


def derive(bench: Bench, key: RigKey, output_bytes: int = 32, **fields: Any) -> Answer:
    """One request; a refused one must leave nothing but zeros."""
    answer = bench.vault.request(DERIVE, key_id=key.key_id, output_bytes=output_bytes, **fields)
    if answer.status != OK:
        assert answer.output.strip(b"\0") == b""
    return answer


def point_of(public: ec.EllipticCurvePublicKey | x25519.X25519PublicKey) -> bytes:
    """As the device takes a peer's key."""
    if isinstance(public, x25519.X25519PublicKey):
        return public.public_bytes_raw()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def meet(private: Any) -> tuple[bytes, bytes]:
    """A new peer's public key, and what it shares with *private*."""
    if isinstance(private, x25519.X25519PrivateKey):
        peer = x25519.X25519PrivateKey.generate()
        return point_of(peer.public_key()), peer.exchange(private.public_key())
    other = ec.generate_private_key(private.curve)
    return point_of(other.public_key()), other.exchange(ec.ECDH(), private.public_key())


def expanded(secret: bytes, size: int, hash_: hashes.HashAlgorithm, salt: bytes, info: bytes) -> bytes:
    """HKDF by another implementation."""
    return HKDF(hash_, size, salt or None, info).derive(secret)


@pytest.mark.parametrize("name", PAIRS)
def test_agreement(bench: Bench, name: str) -> None:
    """The shared secret, and secrets of any size expanded from it, are the peer's as well (MUST-38, MUST-39)."""
    private, key, default = PAIRS[name]
    bench.rig.give(key)
    for size in (1, 32, 33, 255, SECRET_MAX):
        peer, shared = meet(private)
        assert derive(bench, key, parameter=peer, mechanism=ECDH, output_bytes=64).data == shared
        salt, info = os.urandom(size), os.urandom(SECRET_MAX + 1 - size)
        for hash_name, hash_ in HASHES.items():
            mechanism = getattr(lib, f"VKS_MECHANISM_ECDH_HKDF_{hash_name}")
            asked: dict[str, Any] = {"parameter": peer, "aad": salt, "data": info}
            made = derive(bench, key, size, mechanism=mechanism, **asked).data
            assert made == expanded(shared, size, hash_, salt, info)
        assert derive(bench, key, size, parameter=peer).data == expanded(shared, size, default, b"", b"")


@pytest.mark.parametrize("name", PAIRS)
def test_peers_that_are_none(bench: Bench, name: str) -> None:
    """A point that is not on the curve, or no point at all: refused, and told from a wrong length only (MUST-38)."""
    private, key, _default = PAIRS[name]
    bench.rig.give(key)
    peer, shared = meet(private)
    for wrong in (b"", peer[:-1], peer + b"\0", peer[: len(peer) // 2 + 1]):
        for mechanism in (ECDH, 0):
            assert derive(bench, key, 64, parameter=wrong, mechanism=mechanism).status == INPUT_SIZE
    bad = [bytes(len(peer))]
    if name != "x25519":
        y_changed = peer[:-1] + bytes([peer[-1] ^ 1])
        too_large = b"\x04" + b"\xff" * (len(peer) - 1)
        hybrid = bytes([6 + (peer[-1] & 1)]) + peer[1:]
        bad += [y_changed, too_large, hybrid, b"\x02" + peer[1:], b"\x00" + peer[1:]]
    else:
        # The points of small order of RFC 7748, 6.1, and of its clause 7's list: their secret would be zero.
        order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
        bad += [b"\1" + bytes(31), bytes.fromhex(order_8), b"\xed" + b"\xff" * 30 + b"\x7f"]
    for wrong in bad:
        for mechanism in (ECDH, 0):
            assert derive(bench, key, 64, parameter=wrong, mechanism=mechanism).status == AUTH_FAILED
    assert derive(bench, key, 64, parameter=peer, mechanism=ECDH).data == shared


@pytest.mark.parametrize("name", MACS)
def test_of_an_hmac_key(bench: Bench, name: str) -> None:
    """HKDF with the key's own hash; other inputs give other secrets (MUST-39)."""
    key = MACS[name]
    bench.rig.give(key)
    for size in (1, 16, 64, SECRET_MAX):
        for salt, info in ((b"", b""), (b"salt", b""), (b"", b"info"), (b"salt", b"info")):
            made = derive(bench, key, size, aad=salt, data=info).data
            assert made == expanded(key.material, size, HASHES[name], salt, info)
    for other in set(HASHES) - {name}:
        assert derive(bench, key, mechanism=getattr(lib, f"VKS_MECHANISM_HKDF_{other}")).status == UNSUPPORTED
    assert derive(bench, key, parameter=bytes(32)).status == INPUT_SIZE


@pytest.mark.parametrize("key", [PAIRS["ec-p256"][1], MACS["SHA256"]], ids=["agreement", "hkdf"])
def test_derive_sizes(bench: Bench, key: RigKey) -> None:
    """Salt and info have a bound each, the area says how much, and the shared secret takes neither (MUST-39)."""
    bench.rig.give(key)
    peer = meet(P256)[0] if key.key_type == lib.VKS_KEY_TYPE_EC_P256 else b""
    assert derive(bench, key, SECRET_MAX, parameter=peer).status == OK
    for size in (0, SECRET_MAX + 1, 1 << 14):
        assert derive(bench, key, size, parameter=peer).status == MALFORMED
    for field in ("aad", "data"):
        fits: dict[str, Any] = {"parameter": peer, field: bytes(SECRET_MAX)}
        assert derive(bench, key, **fits).status == OK
        assert derive(bench, key, **fits | {field: bytes(SECRET_MAX + 1)}).status == INPUT_SIZE
        if peer:
            assert derive(bench, key, **fits | {field: b"x", "mechanism": ECDH}).status == INPUT_SIZE
    if peer:
        small = derive(bench, key, 31, parameter=peer, mechanism=ECDH)
        assert (small.status, small.output_bytes) == (lib.VKS_STATUS_OUTPUT_SIZE, 32)


def data_key(bench: Bench, key: RigKey, size: int, aad: bytes = b"", **fields: Any) -> Answer:
    """One request for a secret of *size*; a refused one must leave nothing but zeros."""
    asked: dict[str, Any] = {"key_id": key.key_id, "aad": aad, "output_bytes": 2 * size + AROUND} | fields
    answer = bench.vault.request(DATA_KEY, **asked)
    if answer.status != OK:
        assert (answer.output_bytes, answer.output.strip(b"\0")) == (0, b"")
    return answer


@pytest.mark.parametrize("key", [AES, CHACHA], ids=["aes-256", "chacha20-poly1305"])
def test_data_key(bench: Bench, key: RigKey) -> None:
    """A secret and what encrypt would give of it, under the next nonce; both decrypts open it (MUST-41, MUST-28)."""
    bench.rig.give(key)
    other = AESGCM(key.material) if key is AES else ChaCha20Poly1305(key.material)
    seen = set()
    for counter, size in enumerate((1, 16, 32, 64, SECRET_MAX), 1):
        made = data_key(bench, key, size, b"where it is for").data
        secret, nonce, sealed = made[:size], made[size : size + 12], made[size + 12 :]
        assert nonce == b"\x0a\x0b\x0c\x0d" + counter.to_bytes(8, "big")
        assert other.decrypt(nonce, sealed, b"where it is for") == secret
        back: dict[str, Any] = {"key_id": key.key_id, "data": nonce + sealed, "output_bytes": size}
        assert bench.vault.request(DECRYPT, aad=b"where it is for", **back).data == secret
        assert bench.vault.request(DECRYPT, aad=b"elsewhere", **back).status == AUTH_FAILED
        seen.add(secret[:16])
    assert len(seen) == 5


def test_data_key_sizes(bench: Bench) -> None:
    """An area that no data key fills, a parameter or an input: malformed; not for every mechanism (MUST-41)."""
    bench.rig.give(AES)
    for area in (0, 1, AROUND, AROUND + 1, AROUND + 3, 2 * SECRET_MAX + AROUND + 2, 1 << 14):
        assert data_key(bench, AES, 0, output_bytes=area).status == MALFORMED
    assert data_key(bench, AES, 32, parameter=bytes(12)).status == MALFORMED
    assert data_key(bench, AES, 32, data=b"x").status == MALFORMED
    for mechanism in range(lib.VKS_MECHANISM_DEFAULT + 1, lib.VKS_MECHANISM_COUNT):
        taken = mechanism == lib.VKS_MECHANISM_AES_GCM
        assert data_key(bench, AES, 32, mechanism=mechanism).status == (OK if taken else UNSUPPORTED)


@pytest.mark.parametrize("op", [DERIVE, DATA_KEY], ids=["derive", "data-key"])
def test_only_where_the_grant_says_release(bench: Bench, op: int) -> None:
    """The operation alone is not enough, nor is release; release is nothing that can be asked for (MUST-40)."""
    key = MACS["SHA256"] if op == DERIVE else AES
    asked: dict[str, Any] = {"key_id": key.key_id, "output_bytes": 2 * 16 + AROUND}
    bench.rig.give(key)
    assert bench.vault.request(op, **asked).status == OK
    for op_mask in (1 << op, RELEASE, (1 << lib.VKS_OP_COUNT) - 1, RELEASE | 1 << (DERIVE + DATA_KEY - op)):
        bench.rig.publish(key.with_(op_mask=op_mask))
        answer = bench.vault.request(op, **asked)
        assert (answer.status, answer.output.strip(b"\0")) == (DENIED, b"")
    bench.rig.publish(key.with_(op_mask=RELEASE | 1 << op))
    assert bench.vault.request(op, **asked).status == OK
    assert bench.vault.request(lib.VKS_OP_RELEASE, **asked).status == UNSUPPORTED
    info = bench.vault.request(lib.VKS_OP_INFO, data=INFO_REQUEST, output_bytes=512)
    content: Any = ffi.from_buffer("struct vks_info *", info.data)
    assert (content.op_mask >> op & 1, content.op_mask & RELEASE) == (1, 0)


def test_states(bench: Bench) -> None:
    """Deriving is processing, a data key protects (MUST-31)."""
    active, deactivated = lib.VKS_KEY_STATE_ACTIVE, lib.VKS_KEY_STATE_DEACTIVATED
    processing = {active, deactivated, lib.VKS_KEY_STATE_COMPROMISED}
    bench.rig.give(MACS["SHA256"], AES)
    for state in range(lib.VKS_KEY_STATE_DESTROYED):
        bench.rig.publish(MACS["SHA256"].with_(state=state), AES.with_(state=state))
        assert derive(bench, MACS["SHA256"]).status == (OK if state in processing else KEY_STATE)
        assert data_key(bench, AES, 16).status == (OK if state == active else KEY_STATE)


def test_each_in_a_record_of_its_own(bench: Bench) -> None:
    """However equal and however close: no release hides among others (MUST-42, promise P4)."""
    bench.rig.give(AES, MACS["SHA256"])
    for op, key in ((DERIVE, MACS["SHA256"]), (DATA_KEY, AES), (lib.VKS_OP_MAC, MACS["SHA256"])):
        for _ in range(20):
            bench.vault.submit(op, key_id=key.key_id, output_bytes=32 if op != DATA_KEY else 32 + AROUND)
        bench.ring.kick()
        assert {answer.status for _head, answer in bench.vault.collect(20)} == {OK}
        records = bench.rig.records()
        assert {record.op for record in records} == {op}
        if op == lib.VKS_OP_MAC:  # the control: these do share
            assert len(records) < 20
        else:
            assert [lib.vks_audit_covered_requests(record.covered) for record in records] == [1] * 20


def test_p384_holds_nothing_up(bench: Bench) -> None:
    """It goes to the slow lane as its signatures do: a MAC behind it is answered first (MUST-13)."""
    _private, key, _default = PAIRS["ec-p384"]
    bench.rig.give(key, MACS["SHA256"])
    peer, _shared = meet(P384)
    slow = {bench.vault.submit(DERIVE, key_id=key.key_id, parameter=peer, output_bytes=32) for _ in range(20)}
    mac = bench.vault.submit(lib.VKS_OP_MAC, key_id=MACS["SHA256"].key_id, data=b"m", output_bytes=32)
    bench.ring.kick()
    order = [head for head, _answer in bench.vault.collect(21)]
    assert set(order) == slow | {mac}
    assert order.index(mac) < 10
