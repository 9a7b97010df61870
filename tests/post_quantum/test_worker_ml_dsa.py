# SPDX-License-Identifier: Apache-2.0
"""ML-DSA in the real worker on Debian 13's OpenSSL, against known answers and another library."""

import os
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from framework.secret_forms import secret_bytes
from framework.secret_search import SecretSearch
from post_quantum.keys import DSA, KEM, SPKI_HEAD_BYTES, Kind, dsa_answers
from protocol.worker_rig import Bench, RigKey, key_id

from vmm_keystore._vks import ffi, lib

OK, AUTH_FAILED, UNSUPPORTED = lib.VKS_STATUS_OK, lib.VKS_STATUS_AUTH_FAILED, lib.VKS_STATUS_UNSUPPORTED
OUTPUT_SIZE, KEY_STATE = lib.VKS_STATUS_OUTPUT_SIZE, lib.VKS_STATUS_KEY_STATE
SIGN, VERIFY, PUBLIC = lib.VKS_OP_SIGN, lib.VKS_OP_VERIFY, lib.VKS_OP_PUBLIC
PRIVATE: dict[str, Any] = {
    "ml-dsa-44": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
}
KINDS = pytest.mark.parametrize("kind", DSA, ids=lambda kind: kind.name)
INFO_REQUEST = bytes(ffi.buffer(ffi.new("struct vks_info_request *", {"abi_version_min": 1, "abi_version_max": 1})))


def key_of(kind: Kind, seed: bytes, number: int = 1) -> RigKey:
    return RigKey(key_id(number), kind.number, seed)


@KINDS
def test_public_keys_of_known_seeds(bench: Bench, kind: Kind) -> None:
    """Key generation is that of FIPS 204: the seed gives the public key that it must."""
    answers = dsa_answers(kind, 20)
    keys = [key_of(kind, answer["xi"], number) for number, answer in enumerate(answers, 1)]
    bench.rig.give(*keys)
    for key, answer in zip(keys, answers, strict=True):
        public = bench.vault.request(PUBLIC, key_id=key.key_id, output_bytes=4096).data
        assert public[SPKI_HEAD_BYTES:] == answer["pk"]
        assert len(public) == SPKI_HEAD_BYTES + kind.public_bytes


@KINDS
def test_both_sides_take_each_others_signatures(bench: Bench, kind: Kind) -> None:
    """Messages of any length, the longest too: ours verify elsewhere, theirs here, and neither twice alike (MUST-43)."""
    seed = os.urandom(32)
    private = PRIVATE[kind.name].from_seed_bytes(seed)
    key = key_of(kind, seed)
    bench.rig.give(key)
    seen = set()
    for size in (0, 1, 64, 4096, 20000):
        message = os.urandom(size)
        made = bench.vault.request(SIGN, key_id=key.key_id, data=message, output_bytes=8192)
        assert (made.status, len(made.data)) == (OK, kind.made_bytes)
        private.public_key().verify(made.data, message)
        with pytest.raises(InvalidSignature):
            private.public_key().verify(made.data, message + b"x")
        for signature in (made.data, private.sign(message)):
            asked: dict[str, Any] = {"key_id": key.key_id, "data": message}
            assert bench.vault.request(VERIFY, parameter=signature, **asked).status == OK
        seen |= {made.data, bench.vault.request(SIGN, key_id=key.key_id, data=message, output_bytes=8192).data}
    assert len(seen) == 10


@KINDS
def test_signatures_that_are_none(bench: Bench, kind: Kind) -> None:
    """A bit changed, cut, lengthened, of another context or another message: refused, and nothing told apart."""
    seed, message = os.urandom(32), b"message"
    private = PRIVATE[kind.name].from_seed_bytes(seed)
    key = key_of(kind, seed)
    bench.rig.give(key)
    signature = private.sign(message)
    places = (0, 31, 32, kind.made_bytes // 2, kind.made_bytes - 1)
    changed = [signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :] for at in places]
    changed += [b"", signature[:-1], signature + b"\0", bytes(kind.made_bytes), bytes(lib.VKS_PARAMETER_BYTES_MAX)]
    changed.append(private.sign(message, b"another context"))
    for wrong in changed:
        assert bench.vault.request(VERIFY, key_id=key.key_id, data=message, parameter=wrong).status == AUTH_FAILED
    asked: dict[str, Any] = {"key_id": key.key_id, "parameter": signature}
    assert bench.vault.request(VERIFY, data=message + b"\0", **asked).status == AUTH_FAILED
    assert bench.vault.request(VERIFY, data=message, **asked).status == OK


def test_what_it_does_not_take(bench: Bench) -> None:
    """A digest, an area too small, another mechanism, a state: the statuses of every signature (MUST-26, MUST-16)."""
    kind = DSA[2]
    key = key_of(kind, os.urandom(32))
    bench.rig.give(key)
    asked: dict[str, Any] = {"key_id": key.key_id, "data": bytes(64), "output_bytes": 8192}
    assert bench.vault.request(SIGN, flags=lib.VKS_REQUEST_F_DIGEST, **asked).status == UNSUPPORTED
    for mechanism in range(1, lib.VKS_MECHANISM_COUNT):
        expected = OK if mechanism == lib.VKS_MECHANISM_ML_DSA else UNSUPPORTED
        assert bench.vault.request(SIGN, mechanism=mechanism, **asked).status == expected
    small = bench.vault.request(SIGN, **asked | {"output_bytes": kind.made_bytes - 1})
    assert (small.status, small.output_bytes) == (OUTPUT_SIZE, kind.made_bytes)
    bench.rig.publish(key.with_(state=lib.VKS_KEY_STATE_DEACTIVATED))
    assert bench.vault.request(SIGN, **asked).status == KEY_STATE


def test_info_has_the_mechanisms(bench: Bench) -> None:
    """Where libcrypto has them, the device says so (MUST-45)."""
    info = bench.vault.request(lib.VKS_OP_INFO, data=INFO_REQUEST, output_bytes=512)
    content: Any = ffi.from_buffer("struct vks_info *", info.data)
    assert content.mechanism_mask == (1 << lib.VKS_MECHANISM_COUNT) - 2
    assert content.op_mask == (1 << lib.VKS_OP_GENERATE) - 2  # it may make no keys of its own


def test_it_holds_nothing_up(bench: Bench) -> None:
    """Signing tries until it may show the result: it goes to the slow lane, a MAC behind it is answered first."""
    key, mac = key_of(DSA[2], os.urandom(32)), RigKey(key_id(2), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(32))
    bench.rig.give(key, mac)
    slow = {bench.vault.submit(SIGN, key_id=key.key_id, data=b"m", output_bytes=8192) for _ in range(20)}
    fast = bench.vault.submit(lib.VKS_OP_MAC, key_id=mac.key_id, data=b"m", output_bytes=32)
    bench.ring.kick()
    order = [head for head, _answer in bench.vault.collect(21)]
    assert set(order) == slow | {fast}
    assert order.index(fast) < 10


def test_known_seeds_are_not_in_its_memory(bench: Bench) -> None:
    """Used on both lanes, in keys of every set: no seed where root may look, while a key id is (promise P1)."""
    control = os.urandom(16)
    keys = [RigKey(os.urandom(16), kind.number, os.urandom(kind.seed_bytes)) for kind in (*DSA, *KEM)]
    keys.append(RigKey(control, DSA[0].number, os.urandom(32)))
    bench.rig.give(*keys)
    for key in keys[:3]:
        assert bench.vault.request(SIGN, key_id=key.key_id, data=b"m", output_bytes=8192).status == OK
    for key, kind in zip(keys[3:6], KEM, strict=True):
        asked: dict[str, Any] = {"key_id": key.key_id, "data": bytes(kind.made_bytes), "output_bytes": 32}
        assert bench.vault.request(lib.VKS_OP_DECAPSULATE, **asked).status == OK
    secrets = [secret_bytes(f"type {key.key_type}", key.material) for key in keys[:6]]
    planted = secret_bytes("control", control)
    report = SecretSearch([*secrets, planted]).in_process(bench.rig.pid)
    assert report.of([planted]), "the control was not found: the search proves nothing"
    if bench.rig.ready.body[0] == lib.VKS_SECRET_MEMORY_MEMFD:
        assert report.of(secrets) == []
