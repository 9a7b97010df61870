# SPDX-License-Identifier: Apache-2.0
"""Guest B can neither use, list nor detect keys of guest A: operations, key states, grants; by status, by size."""

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest
from framework.vault import RESULT_BYTES, Answer
from protocol.worker_rig import RigKey, WorkerRig, Zygote, key_id, pkcs8, running_bench

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy import vocabulary
from vmm_keystore.policy.decision import PolicyRequest, decide
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.mechanisms import default_mechanism
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Mechanism, Op, Status, mask

KEYED_OPS = (Op.PUBLIC, *vocabulary.KEYED_OPS)
GRANT_OPS = {
    "ed25519": ["sign", "verify"],
    "ec-p256": ["sign", "verify", "derive", "release"],
    "rsa-2048": ["sign", "verify", "encrypt", "decrypt"],
    "aes-256": ["encrypt", "decrypt", "data-key", "release"],
    "hmac-sha256": ["mac", "mac-verify"],
    "chacha20-poly1305": ["encrypt", "decrypt"],
    "aes-256-xts": ["encrypt", "decrypt"],
    "x25519": ["derive", "release"],
}
GRANT_LIMITS: dict[str, dict[str, Any]] = {"aes-256-xts": {"mechanisms": ["aes-xts"]}}
MOVES = {
    "pre-activation": [],
    "active": ["activate"],
    "suspended": ["activate", "suspend"],
    "deactivated": ["activate", "deactivate"],
    "compromised": ["compromise"],
    "destroyed": ["destroy"],
}
PARAMETERS = {Op.VERIFY: bytes(64), Op.DECRYPT: b"", Op.MAC_VERIFY: bytes(32)}
OUTPUT_BYTES = 256


def request_fields(op: Op) -> dict[str, Any]:
    """A well-formed request of this operation for whatever key."""
    return {
        "parameter": PARAMETERS.get(op, b""),
        "data": b"" if op in {Op.PUBLIC, Op.DATA_KEY} else bytes(48),
        "output_bytes": OUTPUT_BYTES,
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """All that an answer shows, but for its own number: status, used length and every writable byte."""

    status: int
    used_bytes: int
    output: bytes
    result: bytes


def ask(guest: RingGuest, op: Op, **fields: Any) -> Seen:
    """Send one request into memory that says where nothing was written."""
    head, slot = guest.vault.take()
    slot.fill(op, **fields)
    slot.writable[: slot.writable_bytes] = b"\xee" * slot.writable_bytes
    guest.vault.send(head)
    guest.ring.kick()
    [(_, answer)] = guest.vault.collect()
    result = bytearray(slot.writable[slot.output_bytes : slot.output_bytes + RESULT_BYTES])
    at = ffi.offsetof("struct vks_result", "sequence")
    result[at : at + 8] = bytes(8)
    return Seen(answer.status, answer.used_bytes, answer.output, bytes(result))


@pytest.fixture(scope="module")
def foreign(shared_vault: Keystored) -> Iterator[tuple[RingGuest, dict[str, bytes]]]:
    """Guest B with a key of its own, and the ids of A's keys: one of each type in each state, all granted to A."""
    api = shared_vault.api
    shared_vault.add_guest("a")
    socket = shared_vault.add_guest("b")
    ids = {}
    for (key_type, ops), (state, moves) in itertools.product(GRANT_OPS.items(), MOVES.items()):
        label = f"{key_type}-{state}"
        ids[label] = bytes.fromhex(api.post("/keys", {"label": label, "type": key_type, "activate": False})["id"])
        api.grant("a", label, ops, **GRANT_LIMITS.get(key_type, {}))
        for move in moves:
            api.post(f"/keys/{label}/{move}")
    api.generate("own", "ed25519")
    api.grant("b", "own", ["sign"])
    with ring_guest(socket) as guest:
        yield guest, ids


@pytest.mark.parametrize("op", KEYED_OPS, ids=lambda op: op.text)
def test_foreign_key_answers_like_none(foreign: tuple[RingGuest, dict[str, bytes]], op: Op) -> None:
    """Every type, state, version and mechanism: the same status, used length and bytes as for a key nobody has."""
    guest, ids = foreign
    absent_id = os.urandom(16)
    for version, mechanism in ((0, 0), (1, 0), (2, 0), (0, 1), (0, 15), (0, 24), (0, 27), (0, 28), (0, 32), (0, 99)):
        fields = request_fields(op) | {"key_version": version, "mechanism": 0 if op == Op.PUBLIC else mechanism}
        absent = ask(guest, op, key_id=absent_id, **fields)
        assert absent.status == Status.NO_KEY
        for label, foreign_id in ids.items():
            assert ask(guest, op, key_id=foreign_id, **fields) == absent, label


def test_foreign_keys_are_not_listed(foreign: tuple[RingGuest, dict[str, bytes]]) -> None:
    """From any point on, a list has B's own key or nothing; info counts that one."""
    guest, ids = foreign
    [own] = guest.list_keys()
    assert own.label == "own"
    for after_id in [*ids.values(), bytes(16), b"\xff" * 16]:
        request: Any = ffi.new("struct vks_list_request *", {"after_key_id": after_id, "after_version": 0})
        answer = guest.vault.request(lib.VKS_OP_LIST, data=bytes(ffi.buffer(request)), output_bytes=16000)
        head: Any = ffi.from_buffer("struct vks_list_head *", answer.data)
        assert (head.entry_count, head.more) == (int(own.key_id > after_id), 0)
        assert not answer.output[answer.output_bytes :].strip(b"\0")
    info = guest.vault.request(
        lib.VKS_OP_INFO,
        data=bytes(ffi.buffer(ffi.new("struct vks_info_request *", {"abi_version_min": 1, "abi_version_max": 1}))),
        output_bytes=512,
    )
    content: Any = ffi.from_buffer("struct vks_info *", info.data)
    assert content.key_count == 1


NOW_S = int(time.time())
UNBOUNDED = Permission(op_mask=mask(Op), mechanism_mask=mask(Mechanism))
GRANTS = {
    "all": UNBOUNDED,
    "no operation": replace(UNBOUNDED, op_mask=0),
    "verify only": replace(UNBOUNDED, op_mask=1 << Op.VERIFY),
    "no release": replace(UNBOUNDED, op_mask=mask(Op) & ~(1 << Op.RELEASE)),
    "no mechanism": replace(UNBOUNDED, mechanism_mask=0),
    "other user": replace(UNBOUNDED, uids=(7,)),
    "expired": replace(UNBOUNDED, not_after_s=NOW_S - 3600),
    "not yet": replace(UNBOUNDED, not_before_s=NOW_S + 3600),
    "small requests": replace(UNBOUNDED, input_bytes_max=16),
}
ED_MATERIAL = pkcs8(ed25519.Ed25519PrivateKey.generate())
REFUSALS = {Status.NO_KEY, Status.UNSUPPORTED, Status.DENIED, Status.KEY_STATE}


def own_keys() -> list[tuple[str, RigKey]]:
    """One Ed25519 and one HMAC key of B's own for each state and grant."""
    kinds = [(KeyType.ED25519, ED_MATERIAL), (KeyType.HMAC_SHA256, bytes(range(32)))]
    combinations = itertools.product(KeyState, GRANTS.items(), kinds)
    found = []
    for number, (state, (name, grant), (key_type, material)) in enumerate(combinations, 1):
        key = RigKey(
            key_id(number),
            key_type,
            material,
            state=state,
            op_mask=grant.op_mask,
            mechanism_mask=grant.mechanism_mask & lib.vks_policy_type_mechanisms(key_type),
            input_bytes_max=grant.input_bytes_max,
            uids=grant.uids,
        )
        found.append((f"{key_type.text} {state.text} {name}", key))
    return found


def test_own_keys_answer_as_the_reference_decides(zygote: Zygote) -> None:
    """The worker refuses exactly what the decision in Python refuses, with its status, and nothing is written then."""
    keys = own_keys()
    times = {name: (grant.not_before_s, grant.not_after_s) for name, grant in GRANTS.items()}
    with running_bench(zygote) as bench:
        publish(bench.rig, [(name, key, times[name.split(" ", 2)[2]]) for name, key in keys])
        for (name, key), op, uid in itertools.product(keys, KEYED_OPS, (None, 7, 8)):
            fields = request_fields(op) | {"flags": 0 if uid is None else lib.VKS_REQUEST_F_UID, "uid": uid or 0}
            answer = bench.vault.request(op, key_id=key.key_id, **fields)
            permitted = permit(key, times[name.split(" ", 2)[2]])
            mechanism = default_mechanism(permitted.key_type, op)
            wanted = decide(
                permitted,
                PolicyRequest(op=op, mechanism=mechanism, uid=uid, input_bytes=len(fields["data"]), now_s=NOW_S),
            )
            check_answer(answer, wanted, f"{name}, {op.text}, uid {uid}")


def check_answer(answer: Answer, wanted: Status, what: str) -> None:
    if wanted == Status.OK:
        assert answer.status not in REFUSALS, what
        return
    assert answer.status == wanted, what
    assert not answer.output.strip(b"\0"), what


def permit(key: RigKey, times: tuple[int, int]) -> PermittedKey:
    permitted = key.permitted()
    not_before_s, not_after_s = times
    return replace(
        permitted, permission=replace(permitted.permission, not_before_s=not_before_s, not_after_s=not_after_s)
    )


def publish(rig: WorkerRig, keys: list[tuple[str, RigKey, tuple[int, int]]]) -> None:
    for start in range(0, len(keys), 16):
        rig.load(*(key for _, key, _ in keys[start : start + 16]))
    rig.publish_permitted([permit(key, times) for _, key, times in keys])
