# SPDX-License-Identifier: Apache-2.0
"""Two lanes, one ring: slow operations hold nothing up, what a guest changes meanwhile has no effect."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from framework.checked_work import Run, attempts_by_request
from framework.split_ring import ByteFlipper
from framework.vault import HEAD_BYTES, RESULT_BYTES, Answer
from protocol.worker_rig import Bench, RigKey, key_id, pkcs8

from vmm_keystore._vks import lib
from vmm_keystore.workers.ipc import pack

pytestmark = pytest.mark.alone

OK, NO_KEY = lib.VKS_STATUS_OK, lib.VKS_STATUS_NO_KEY
MAC = RigKey(key_id(5), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(64, 96)))
ED = RigKey(key_id(2), lib.VKS_KEY_TYPE_ED25519, pkcs8(ed25519.Ed25519PrivateKey.generate()))
SIGN_SLOWLY: dict[str, Any] = {"key_id": key_id(3), "data": b"slow", "output_bytes": 512}
F_EVENT_IDX = 29
CHANGES = 12


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let a thread that wants the interpreter have it soon, not after 5 ms."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(before_s)


@pytest.fixture(scope="module")
def rsa_key() -> RigKey:
    return RigKey(key_id(3), lib.VKS_KEY_TYPE_RSA_4096, pkcs8(rsa.generate_private_key(65537, 4096)))


def test_mac_behind_100_signatures(bench: Bench, rsa_key: RigKey) -> None:
    """An HMAC queued behind 100 RSA-4096 signatures completes after at most one of them (MUST-12, MUST-13)."""
    bench.rig.give(rsa_key, MAC)
    slow = [bench.vault.submit(lib.VKS_OP_SIGN, **SIGN_SLOWLY) for _ in range(100)]
    fast = bench.vault.submit(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"fast", output_bytes=32)
    bench.ring.kick()
    answers = bench.vault.collect(101, timeout_s=30)
    order = [head for head, _ in answers]
    assert order.index(fast) <= 1
    assert sorted(order) == sorted([*slow, fast])
    assert {answer.status for _, answer in answers} == {OK}
    assert [head for head in order if head != fast] == slow  # one slow lane: their own order is kept


@pytest.mark.usefixtures("quick_switches")
def test_guest_changes_the_message_while_it_is_signed(bench: Bench) -> None:
    """100,000 Ed25519 signatures over changing bytes: no two share R with different S (MUST-9)."""
    bench.rig.give(ED)
    rounds, batch = 1000, 100
    nonces: dict[bytes, bytes] = {}
    slots = []
    for _ in range(batch):
        head, slot = bench.vault.take()
        slot.fill(lib.VKS_OP_SIGN, key_id=ED.key_id, data=bytes(64), output_bytes=64)
        bench.ring.set_sizes(head, slot.readable_bytes, slot.writable_bytes)
        slots.append((slot.readable_gpa, head, slot))
    slots.sort(key=lambda taken: taken[0])
    heads = [head for _, head, _ in slots]
    start = slots[0][0]
    view = bench.ram.at(start, slots[-1][0] + HEAD_BYTES + 64 - start)
    offsets = [gpa - start + HEAD_BYTES for gpa, _, _ in slots[:: batch // 4]]
    # No bookkeeping in between: the flipper shall have the interpreter while the worker signs.
    with ByteFlipper(view, offsets) as flipper:
        for _ in range(rounds):
            bench.ring.publish(*heads)
            bench.ring.kick()
            bench.ring.wait(batch, keep=True)
            for _, _, slot in slots:
                signature = bytes(slot.writable[:64])
                other = nonces.setdefault(signature[:32], signature[32:])
                assert other == signature[32:], "two signatures with one nonce: the private key is out"
            assert {slot.writable[64 + RESULT_BYTES] for _, _, slot in slots} == {OK}
            bench.rig.records()
    assert flipper.flips > rounds
    assert len(nonces) == 2  # the two messages there are


def test_stop_with_slow_operations_under_way(bench: Bench, rsa_key: RigKey) -> None:
    """A stop is answered within 10 ms; a start at its base redoes what was not answered, each exactly once."""
    bench.rig.give(rsa_key, MAC)
    took_s = []
    for round_number in range(9):
        sent = {bench.vault.submit(lib.VKS_OP_SIGN, **SIGN_SLOWLY) for _ in range(20)}
        bench.ring.kick()
        time.sleep(round_number * 0.0012)
        before_s = time.monotonic()
        base = bench.rig.stop()
        took_s.append(time.monotonic() - before_s)
        # Some may have been taken while the rest was still being published; none was answered and left out.
        ahead = (base - bench.ring.used_head[1]) & 0xFFFF
        assert ahead <= (bench.ring.avail_idx - bench.ring.used_head[1]) & 0xFFFF
        bench.rig.start(bench.ring, base=base)
        answers = bench.vault.collect(20, timeout_s=30)
        assert {head for head, _ in answers} == sent
        assert {answer.status for _, answer in answers} == {OK}
        runs = attempts_by_request(map(Run.of_record, bench.rig.records()))
        assert len(runs) == 20
        assert all(attempts == list(range(1, len(attempts) + 1)) for attempts in runs.values())
    # The median: on a busy machine a single round measures the scheduler.
    assert statistics.median(took_s) < 0.010


@pytest.mark.parametrize(
    ("change", "status", "late_max"),
    [
        (None, NO_KEY, 0),
        # The one that runs may end after the answer; the one behind it must not begin.
        ({"op_mask": 1 << lib.VKS_OP_VERIFY}, lib.VKS_STATUS_DENIED, 1),
        ({"state": lib.VKS_KEY_STATE_SUSPENDED}, lib.VKS_STATUS_KEY_STATE, 1),
    ],
)
def test_grant_changed_while_slow_operations_wait(
    bench: Bench, rsa_key: RigKey, change: dict[str, Any] | None, status: int, late_max: int
) -> None:
    """No operation that contradicts a change begins after its answer: waiting ones are decided again (P6)."""
    bench.rig.give(rsa_key, MAC)
    for _ in range(60):
        bench.vault.submit(lib.VKS_OP_SIGN, **SIGN_SLOWLY)
    bench.ring.kick()
    first = bench.vault.collect(1)
    assert first[0][1].status == OK
    bench.rig.publish(MAC, *([] if change is None else [rsa_key.with_(**change)]))
    replied_ns = time.time_ns()
    bench.vault.collect(60 - len(first), timeout_s=30)
    records = bench.rig.records()
    assert {record.status for record in records} == {OK, status}
    counts: Counter[str] = Counter()
    for record in records:
        late = "late " if record.time_ns > replied_ns else ""
        counts[late + str(record.status)] += lib.vks_audit_covered_requests(record.covered)
    assert counts.total() == 60
    assert counts[f"late {OK}"] <= late_max
    assert counts[str(status)] + counts[f"late {status}"] > 40


def run_while_changed(bench: Bench, key: RigKey, *after: RigKey) -> list[Answer]:
    """One slow signature after the other; while each runs the snapshot changes to *after*, and back."""
    answers = []
    for _ in range(CHANGES):
        bench.rig.give(MAC, key)
        bench.rig.load(*after)
        head = bench.vault.submit(lib.VKS_OP_SIGN, **SIGN_SLOWLY)
        bench.ring.kick()
        slot = lib.vks_state_slots(bench.rig.state, 0)[head]
        while not (slot.inflight and slot.run & lib.VKS_STATE_RUN_EXECUTING):
            if bench.ring.used_head[1] != bench.ring.last_used:
                break  # over before it was seen: a busy machine
        tag = bench.rig.post_snapshot(MAC, *after)
        [(_, answer)] = bench.vault.collect(1)
        bench.rig.wait(tag)
        answers.append(answer)
    return answers


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op_mask": 1 << lib.VKS_OP_VERIFY}, lib.VKS_STATUS_DENIED),
        ({"state": lib.VKS_KEY_STATE_SUSPENDED}, lib.VKS_STATUS_KEY_STATE),
        (None, NO_KEY),
    ],
)
def test_result_is_withheld_when_its_right_is_gone(
    bench: Bench, rsa_key: RigKey, change: dict[str, Any] | None, status: int
) -> None:
    """What ran while its grant was taken away is decided once more before it goes out, and on record as refused (P6)."""
    bench.rig.give(MAC, rsa_key)
    answers = run_while_changed(bench, rsa_key, *([] if change is None else [rsa_key.with_(**change)]))
    refused = [answer for answer in answers if answer.status == status]
    # On a busy machine most may be done before the worker looks at the change.
    assert refused
    assert {answer.status for answer in answers} <= {OK, status}
    assert not any(answer.output.strip(b"\0") or answer.output_bytes for answer in refused)
    records = {record.request_sequence: record.status for record in bench.rig.records()}
    assert {records[answer.sequence] for answer in refused} == {status}


def test_rotation_lets_finish_what_began(bench: Bench, rsa_key: RigKey) -> None:
    """The version that was current when it began signs; nobody is refused because a key is rotated."""
    bench.rig.give(MAC, rsa_key)
    old = rsa_key.with_(state=lib.VKS_KEY_STATE_DEACTIVATED, current=False)
    answers = run_while_changed(bench, rsa_key, old, rsa_key.with_(version=2))
    assert {answer.status for answer in answers} == {OK}
    assert 1 in {answer.key_version for answer in answers}


def test_no_notification_is_suppressed_before_info(bench: Bench) -> None:
    """used_event counts only once info told that EVENT_IDX was negotiated, and only the first info counts (MUST-3)."""
    bench.rig.give(MAC)
    bench.ring.avail[2 + bench.ring.size] = 0x8000  # used_event: far away
    fields: dict[str, Any] = {"key_id": MAC.key_id, "data": b"m", "output_bytes": 32}
    assert bench.vault.request(lib.VKS_OP_MAC, **fields).status == OK
    told = pack("vks_info_request", {"abi_version_min": 1, "abi_version_max": 1, "driver_features": 1 << F_EVENT_IDX})
    silent = pack("vks_info_request", {"abi_version_min": 1, "abi_version_max": 1})
    bench.ring.event_idx = True
    bench.ring.avail[2 + bench.ring.size] = bench.ring.last_used
    assert bench.vault.request(lib.VKS_OP_INFO, data=told, output_bytes=256).status == OK
    assert bench.vault.request(lib.VKS_OP_INFO, data=silent, output_bytes=256).status == OK
    bench.ring.take_call()
    bench.ring.avail[2 + bench.ring.size] = 0x8000
    bench.vault.submit(lib.VKS_OP_MAC, **fields)
    bench.ring.kick()
    end_s = time.monotonic() + 5
    while bench.ring.used_head[1] == bench.ring.last_used and time.monotonic() < end_s:
        pass
    time.sleep(0.01)
    assert not bench.ring.take_call()
    assert len(bench.vault.collect(1)) == 1


def test_avail_flag_suppresses(bench: Bench) -> None:
    """VIRTQ_AVAIL_F_NO_INTERRUPT is always honoured, avail_event always written (MUST-2, MUST-3)."""
    bench.rig.give(MAC)
    bench.ring.take_call()
    bench.ring.avail[0] = 1
    bench.vault.submit(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"m", output_bytes=32)
    bench.ring.kick()
    end_s = time.monotonic() + 5
    while bench.ring.avail_event[0] != bench.ring.avail_idx and time.monotonic() < end_s:
        pass
    assert bench.ring.avail_event[0] == bench.ring.avail_idx
    time.sleep(0.01)
    assert not bench.ring.take_call()
    assert len(bench.vault.collect(1)) == 1
