# SPDX-License-Identifier: Apache-2.0
"""Orders in the worker: what keystored is asked to do for a guest, once each, and what becomes of the answer.

Proves MUST-47, MUST-48 and MUST-50 as far as they are the worker's.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from framework.guest_ram import GuestRam
from framework.kill_points import KillPoints, kill_points_libexec
from framework.split_ring import SplitRing
from framework.vault import Answer, Vault
from protocol.worker_rig import Bench, RigKey, WorkerRig, Zygote, key_id, make_state, running_zygote

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.ipc import pack

OK, DENIED, MALFORMED = lib.VKS_STATUS_OK, lib.VKS_STATUS_DENIED, lib.VKS_STATUS_MALFORMED
GENERATE, ROTATE, DESTROY = lib.VKS_OP_GENERATE, lib.VKS_OP_ROTATE, lib.VKS_OP_DESTROY
USE_OPS = (1 << lib.VKS_OP_MAC) | (1 << lib.VKS_OP_MAC_VERIFY)
OWN = RigKey(
    key_id(1),
    lib.VKS_KEY_TYPE_HMAC_SHA256,
    bytes(32),
    op_mask=USE_OPS | 1 << ROTATE | 1 << DESTROY,
    ops_max=5,
    budget=1,
)
OTHER = RigKey(key_id(2), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(32)), op_mask=USE_OPS)
NEW_ID = bytes(range(100, 116))
START_ID = 7


def generate_input(key_type: int = lib.VKS_KEY_TYPE_EC_P256, label: bytes = b"session", **fields: int) -> bytes:
    """Input of generate."""
    return pack("vks_generate_request", {"type": key_type, "label": label, **fields})


def submit(bench: Bench, op: int, **fields: Any) -> int:
    """Send a request without waiting."""
    if op == GENERATE:
        fields = {"data": generate_input(), "output_bytes": 16} | fields
    head = bench.vault.submit(op, **fields)
    bench.ring.kick(force=True)
    return head


def order_of(rig: WorkerRig) -> Any:
    """The order that keystored gets next."""
    return ffi.from_buffer("struct vks_worker_order *", rig.event(lib.VKS_WORKER_ORDER).body)


def carry_out(rig: WorkerRig, sequence: int, *, error: int = 0, **fields: Any) -> None:
    """Answer an order."""
    body = pack("vks_worker_ordered", {"request_sequence": sequence, **fields})
    rig.ask(lib.VKS_WORKER_ORDERED, body, error=error)


def collected(bench: Bench, head: int) -> Answer:
    """The answer to *head*, the next that comes."""
    [(found, answer)] = bench.vault.collect(1)
    assert found == head
    return answer


@pytest.fixture
def owner(bench: Bench) -> Bench:
    """A guest with a key of its own and one that is not, which may make more."""
    bench.rig.own_keys_max = 4
    bench.rig.open_budget(OWN, leased=5)
    bench.rig.give(OWN, OTHER)
    return bench


def test_generate(owner: Bench) -> None:
    """What the guest asks for goes to keystored, what that says to the guest, and the record names the key."""
    head = submit(owner, GENERATE, flags=lib.VKS_REQUEST_F_UID, uid=1000)
    order = order_of(owner.rig)
    assert (order.op, order.type, order.flags, order.uid) == (
        GENERATE,
        lib.VKS_KEY_TYPE_EC_P256,
        lib.VKS_ORDER_F_UID,
        1000,
    )
    assert bytes(order.label).rstrip(b"\0") == b"session"
    assert bytes(order.key_id) == bytes(16)
    carry_out(owner.rig, order.request_sequence, status=OK, key_version=1, key_id=NEW_ID)
    answer = collected(owner, head)
    assert (answer.status, answer.data, answer.key_version) == (OK, NEW_ID, 1)
    [record] = owner.rig.records()
    assert (record.op, record.status, bytes(record.key_id), record.uid) == (GENERATE, OK, NEW_ID, 1000)
    assert record.request_sequence == answer.sequence == order.request_sequence


@pytest.mark.parametrize(("op", "version"), [(ROTATE, 2), (DESTROY, 0)])
def test_own_key(owner: Bench, op: int, version: int) -> None:
    """Rotate and destroy name the key, give nothing back but the version, and cost nothing of its grant's budget."""
    head = submit(owner, op, key_id=OWN.key_id)
    order = order_of(owner.rig)
    assert (order.op, order.type, order.flags, bytes(order.key_id)) == (op, 0, 0, OWN.key_id)
    assert bytes(order.label) == bytes(64)
    # The key is gone from what is in force before the order is answered: what it came to stays.
    owner.rig.publish(OTHER)
    carry_out(owner.rig, order.request_sequence, status=OK, key_version=version, key_id=OWN.key_id)
    answer = collected(owner, head)
    assert (answer.status, answer.output_bytes) == (OK, 0)
    assert answer.key_version == version
    assert owner.rig.used(OWN) == 0


def test_refused_before_keystored_is_asked(owner: Bench) -> None:
    """By a grant that is not the owner's, for want of a key, by the key's state, or since the guest may have none."""
    ask = owner.vault.request
    assert ask(ROTATE, key_id=OTHER.key_id).status == DENIED
    assert ask(DESTROY, key_id=OTHER.key_id).status == DENIED
    assert ask(DESTROY, key_id=key_id(9)).status == lib.VKS_STATUS_NO_KEY
    owner.rig.publish(OWN.with_(state=lib.VKS_KEY_STATE_SUSPENDED), OTHER)
    assert ask(DESTROY, key_id=OWN.key_id).status == lib.VKS_STATUS_KEY_STATE
    owner.rig.own_keys_max = 0
    owner.rig.publish(OWN, OTHER)
    assert ask(GENERATE, data=generate_input(), output_bytes=16).status == DENIED
    owner.rig.ask(lib.VKS_WORKER_DRAINED)
    assert owner.rig.events == []


def test_info_says_who_may(owner: Bench) -> None:
    """The three operations are there where a guest may have keys of its own, and nowhere else."""
    told = pack("vks_info_request", {"abi_version_min": 1, "abi_version_max": 1})

    def ops() -> set[int]:
        data = owner.vault.request(lib.VKS_OP_INFO, data=told, output_bytes=256).data
        info: Any = ffi.from_buffer("struct vks_info *", data)
        return {op for op in (GENERATE, ROTATE, DESTROY) if info.op_mask >> op & 1}

    assert ops() == {GENERATE, ROTATE, DESTROY}
    owner.rig.own_keys_max = 0
    owner.rig.publish(OWN, OTHER)
    assert ops() == set()


@pytest.mark.parametrize(
    ("data", "output_bytes", "status"),
    [
        (generate_input(reserved=1), 16, MALFORMED),
        (generate_input(label=b""), 16, MALFORMED),
        (generate_input(label=b"a" * 64), 16, MALFORMED),
        (generate_input(label=b"a\0b"), 16, MALFORMED),
        (generate_input()[:-1], 16, MALFORMED),
        (generate_input() + b"\0", 16, MALFORMED),
        (b"", 16, MALFORMED),
        (generate_input(), 15, lib.VKS_STATUS_OUTPUT_SIZE),
    ],
)
def test_form_of_generate(owner: Bench, data: bytes, output_bytes: int, status: int) -> None:
    """What has not the form of an order never leaves the worker."""
    answer = owner.vault.request(GENERATE, data=data, output_bytes=output_bytes)
    assert answer.status == status
    assert answer.output_bytes == (16 if status == lib.VKS_STATUS_OUTPUT_SIZE else 0)
    assert answer.output == bytes(output_bytes)
    owner.rig.ask(lib.VKS_WORKER_DRAINED)
    assert owner.rig.events == []


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        (GENERATE, {"key_id": OWN.key_id}),
        (GENERATE, {"mechanism": 1}),
        (GENERATE, {"parameter": b"p"}),
        (GENERATE, {"aad": b"a"}),
        (ROTATE, {"key_version": 1}),
        (ROTATE, {"data": b"d"}),
        (DESTROY, {"key_version": 1}),
        (DESTROY, {"mechanism": 1}),
        (DESTROY, {"parameter": b"p"}),
        (DESTROY, {"data": b"d"}),
    ],
)
def test_form_of_a_head(owner: Bench, op: int, fields: dict[str, Any]) -> None:
    """MUST-23 of these operations."""
    asked = {"key_id": OWN.key_id} if op != GENERATE else {"data": generate_input(), "output_bytes": 16}
    assert owner.vault.request(op, **(asked | fields)).status == MALFORMED


@pytest.mark.parametrize("status", [lib.VKS_STATUS_EXISTS, lib.VKS_STATUS_LIMIT, lib.VKS_STATUS_UNAVAILABLE])
def test_refused_by_keystored(owner: Bench, status: int) -> None:
    """The guest is told what keystored says, without a key id that comes with it."""
    head = submit(owner, GENERATE)
    carry_out(owner.rig, order_of(owner.rig).request_sequence, status=status, key_version=9, key_id=NEW_ID)
    answer = collected(owner, head)
    assert (answer.status, answer.output, answer.key_version) == (status, bytes(16), 0)


def test_one_at_a_time_and_nobody_waits(owner: Bench) -> None:
    """The second order is sent when the first is answered, in their order; other requests complete meanwhile."""
    heads = [submit(owner, GENERATE), submit(owner, DESTROY, key_id=OWN.key_id), submit(owner, GENERATE)]
    first = order_of(owner.rig)
    for _ in range(20):
        assert owner.vault.free
        head = submit(owner, lib.VKS_OP_MAC, key_id=OTHER.key_id, data=b"m", output_bytes=32)
        assert collected(owner, head).status == OK
    assert owner.rig.events == []
    for place in range(3):
        order = order_of(owner.rig) if place else first
        assert order.op == (DESTROY if place == 1 else GENERATE)
        carry_out(owner.rig, order.request_sequence, status=OK, key_version=1, key_id=NEW_ID)
        assert collected(owner, heads[place]).status == OK


def test_answer_to_nothing(owner: Bench) -> None:
    """What is not away is not answered; the worker goes on."""
    carry_out(owner.rig, 1, status=OK, error=-3)
    head = submit(owner, GENERATE)
    sequence = order_of(owner.rig).request_sequence
    carry_out(owner.rig, sequence + 1, status=OK, error=-3)
    carry_out(owner.rig, sequence, status=OK, key_version=1, key_id=NEW_ID)
    carry_out(owner.rig, sequence, status=OK, error=-3)
    assert collected(owner, head).data == NEW_ID


def test_ring_that_is_stopped_asks_again(owner: Bench) -> None:
    """Under the same number, once the first order is answered, which is given to nobody but the log."""
    head = submit(owner, GENERATE)
    sequence = order_of(owner.rig).request_sequence
    owner.rig.start(owner.ring, base=owner.rig.stop())
    owner.rig.ask(lib.VKS_WORKER_DRAINED)
    assert owner.rig.events == []
    carry_out(owner.rig, sequence, status=OK, key_version=1, key_id=NEW_ID)
    again = order_of(owner.rig)
    assert again.request_sequence == sequence
    assert owner.vault.collect(0) == []
    carry_out(owner.rig, sequence, status=OK, key_version=1, key_id=NEW_ID)
    assert collected(owner, head).data == NEW_ID
    assert [(record.attempt, record.status) for record in owner.rig.records()] == [(1, OK), (2, OK)]


def test_asked_again_after_its_key_is_gone(owner: Bench) -> None:
    """It may have been carried out: whether there is such a key is not for the worker to say."""
    head = submit(owner, DESTROY, key_id=OWN.key_id)
    sequence = order_of(owner.rig).request_sequence
    base = owner.rig.stop()
    owner.rig.publish(OTHER)
    owner.rig.start(owner.ring, base=base)
    carry_out(owner.rig, sequence, status=OK)
    assert order_of(owner.rig).request_sequence == sequence
    carry_out(owner.rig, sequence, status=OK)
    assert collected(owner, head).status == OK


def test_memory_that_goes_away_meanwhile(owner: Bench) -> None:
    """The answer is not written where the guest has no memory any more."""
    head = submit(owner, GENERATE)
    order = order_of(owner.rig)
    owner.rig.share(owner.ram)
    carry_out(owner.rig, order.request_sequence, status=OK, key_version=1, key_id=NEW_ID)
    assert collected(owner, head).data == NEW_ID


@pytest.fixture(scope="module")
def killing_zygote() -> Iterator[Zygote]:
    """Give the zygote of the test build."""
    with kill_points_libexec() as libexec, running_zygote(libexec) as running:
        yield running


@pytest.mark.parametrize("point", ["DECIDED", "ORDERED", "RECORDED", "MID_RESULT", "USED_ELEMENT", "USED_IDX"])
def test_worker_that_dies(killing_zygote: Zygote, point: str) -> None:
    """Its successor asks under the same number, unless the answer is out; the guest gets one answer."""
    state_fd = make_state()
    points = KillPoints(state_fd)
    with GuestRam(1 << 20) as ram, SplitRing(ram, 16) as ring:
        vault = Vault(ram, ring, readable_bytes_max=512, writable_bytes_max=512)
        with WorkerRig(killing_zygote, state_fd) as first:
            _prepare(first, ram)
            first.post_start(ring, start_id=START_ID)
            points.arm(point)
            head = vault.submit(GENERATE, data=generate_input(), output_bytes=16)
            ring.kick(force=True)
            if point != "DECIDED":
                sequence = order_of(first).request_sequence
            if point not in {"DECIDED", "ORDERED"}:
                body = {"request_sequence": sequence, "status": OK, "key_version": 1, "key_id": NEW_ID}
                first.post(lib.VKS_WORKER_ORDERED, pack("vks_worker_ordered", body))
            first.wait_ended()
            with WorkerRig(killing_zygote, state_fd) as second:
                _prepare(second, ram)
                base = lib.vks_state_next_base(second.state, 0)
                second.post_start(ring, base=base, start_id=START_ID)
                if point != "USED_IDX":
                    order = order_of(second)
                    assert order.request_sequence == (1 if point == "DECIDED" else sequence)
                    carry_out(second, order.request_sequence, status=OK, key_version=1, key_id=NEW_ID)
                [(found, answer)] = vault.collect(1)
                assert (found, answer.status, answer.data) == (head, OK, NEW_ID)
                second.ask(lib.VKS_WORKER_DRAINED)
                assert vault.collect(0) == []
    os.close(state_fd)


def _prepare(rig: WorkerRig, ram: GuestRam) -> None:
    rig.own_keys_max = 4
    rig.share(ram)
    rig.give(OTHER)
