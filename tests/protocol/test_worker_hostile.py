# SPDX-License-Identifier: Apache-2.0
"""The real worker and a lying driver or front-end: it neither dies nor answers another request wrongly."""

import itertools
import os
import random
import select
import struct
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from framework.guest_ram import PAGE_BYTES, GuestRam
from framework.split_ring import F_INDIRECT, F_NEXT, F_WRITE, Segment, SplitRing
from framework.vault import TAIL_BYTES, Vault
from protocol.worker_rig import Bench, RigKey, WorkerRig, Zygote, key_id, pkcs8, running_bench

from vmm_keystore._vks import lib
from vmm_keystore.workers.ipc import pack

MAC = RigKey(key_id(5), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(64, 96)))
AES = RigKey(key_id(6), lib.VKS_KEY_TYPE_AES_256, bytes(range(32)))
EC = RigKey(key_id(7), lib.VKS_KEY_TYPE_EC_P256, pkcs8(ec.generate_private_key(ec.SECP256R1())))
MALFORMED = lib.VKS_STATUS_MALFORMED
SPARE = 500  # descriptors from here on are used by no slot
MISSING_GPA = 1 << 40


def expected_mac(message: bytes) -> bytes:
    mac = hmac.HMAC(MAC.material, hashes.SHA256())
    mac.update(message)
    return mac.finalize()


def check_honest(bench: Bench, message: bytes = b"honest") -> None:
    """An honest request right behind a lie is answered as ever."""
    answer = bench.vault.request(lib.VKS_OP_MAC, key_id=MAC.key_id, data=message, output_bytes=32)
    assert (answer.status, answer.data) == (lib.VKS_STATUS_OK, expected_mac(message))


def send_chain(bench: Bench, head: int) -> int:
    """Publish a chain that the test wrote; its used length."""
    bench.ring.publish(head)
    bench.ring.kick()
    [(used, length)] = bench.ring.wait(keep=True)
    assert used == head
    return length


@pytest.fixture(autouse=True)
def keys(bench: Bench) -> None:
    bench.rig.give(MAC)


Descriptor = tuple[int, int, int, int]


def broken_chains(status_gpa: int, table_gpa: int) -> list[tuple[str, list[Descriptor], int | None]]:
    """(name, descriptors from SPARE on, status expected at *status_gpa* or None for a used length of 0)."""
    n, w, i = F_NEXT, F_WRITE, F_INDIRECT
    status = (status_gpa, 1, w, 0)
    ok_head = PAGE_BYTES
    return [
        ("loops on itself", [(ok_head, 8, n, SPARE)], None),
        ("loop behind the status", [(ok_head, 8, n, SPARE + 1), (status_gpa, 1, w | n, SPARE + 1)], None),
        ("next beyond the table", [(ok_head, 8, n, 512)], None),
        ("next far beyond", [(ok_head, 8, n, 0xFFFF)], None),
        ("no writable byte", [(ok_head, 72, 0, 0)], None),
        ("head outside memory", [(MISSING_GPA, 72, n, SPARE + 1), status], MALFORMED),
        ("status outside memory", [(ok_head, 72, n, SPARE + 1), (MISSING_GPA, 1, w, 0)], None),
        ("length reaches outside", [(ok_head, 0xFFFFFFFF, n, SPARE + 1), status], MALFORMED),
        ("address wraps", [((1 << 64) - 8, 72, n, SPARE + 1), status], MALFORMED),
        ("readable behind writable", [(status_gpa, 1, w | n, SPARE + 1), (ok_head, 72, 0, 0)], MALFORMED),
        ("readable and writable overlap", [(status_gpa - 71, 72, n, SPARE + 1), status], MALFORMED),
        ("short head", [(ok_head, 71, n, SPARE + 1), status], MALFORMED),
        ("status only", [status], MALFORMED),
        ("indirect table outside", [(MISSING_GPA, 32, i, 0)], None),
        ("indirect table of no entry", [(table_gpa, 0, i, 0)], None),
        ("indirect table and a half", [(table_gpa, 24, i, 0)], None),
        ("indirect table too long", [(table_gpa, 16 * 1025, i, 0)], None),
        ("indirect and next", [(table_gpa, 16, i | n, SPARE + 1), status], None),
        ("indirect in indirect", [(table_gpa, 16, i, 0)], None),
    ]


def test_broken_chains_cost_one_request(bench: Bench) -> None:
    """Each is used with a status where one can be written, else with length 0 (MUST-8, MUST-10, MUST-11)."""
    status_gpa, table_gpa = bench.ram.alloc(128) + 100, bench.ram.alloc(64)
    bench.ram.at(table_gpa, 16)[:] = struct.pack("<QIHH", table_gpa, 16, F_INDIRECT, 0)
    for name, descriptors, status in broken_chains(status_gpa, table_gpa):
        bench.rig.records()
        bench.ram.at(status_gpa, 1)[0] = 0xEE
        for place, descriptor in enumerate(descriptors):
            bench.ring.set_desc(SPARE + place, *descriptor)
        length = send_chain(bench, SPARE)
        assert (length > 0, bench.ram.at(status_gpa, 1)[0]) == (status is not None, status or 0xEE), name
        assert [record.status for record in bench.rig.records()] == [MALFORMED], name
        check_honest(bench)


def test_lying_lengths(bench: Bench) -> None:
    """Whatever a head announces, only a chain of exactly that size is served, and result and zeros come (MUST-6)."""
    fields = ("parameter_bytes", "aad_bytes", "input_bytes", "output_bytes")
    lies = (1, 71, 4097, 65537, (1 << 20) + 1, (1 << 31), (1 << 32) - 72, (1 << 32) - 1)
    for field in fields:
        for lie in lies:
            head, slot = bench.vault.take()
            slot.fill(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"message", output_bytes=32)
            slot.writable[:32] = b"\xaa" * 32
            setattr(slot.head, field, lie)
            bench.vault.send(head)
            bench.ring.kick()
            [(_, answer)] = bench.vault.collect()
            assert (answer.status, answer.output) == (MALFORMED, bytes(32)), (field, lie)
    check_honest(bench)


def test_malformed_heads(bench: Bench) -> None:
    """Another service, reserved fields, flags and a uid without its flag are refused (MUST-7, MUST-23)."""
    for field, value in (("opcode", 0x104), ("flags", 4), ("reserved0", 1), ("reserved1", 1 << 40), ("uid", 5)):
        head, slot = bench.vault.take()
        slot.fill(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"m", output_bytes=32)
        setattr(slot.head, field, value)
        bench.vault.send(head)
        bench.ring.kick()
        [(_, answer)] = bench.vault.collect()
        slot.head.reserved0 = slot.head.reserved1 = 0
        assert answer.status == MALFORMED, field
    for op, bad in ((lib.VKS_OP_MAC, {"aad": b"x"}), (lib.VKS_OP_LIST, {"mechanism": 1}), (lib.VKS_OP_INFO, {})):
        assert bench.vault.request(op, **bad).status == MALFORMED


def test_huge_areas_do_not_stall(bench: Bench) -> None:
    """An area far above the limit is refused without being filled."""
    _, slot = bench.vault.take()
    slot.fill(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"m")
    region = bench.ram.regions[0]
    half, count = (region.size_bytes // 2) & ~15, 300
    bench.ram.at(half, 16)[:] = b"\xaa" * 16
    table = bench.ram.alloc(16 * (count + 1))
    entries = [(slot.readable_gpa, slot.readable_bytes, F_NEXT, 1)]
    entries += [(half, half - 16, F_WRITE | F_NEXT, i + 2) for i in range(count - 1)]
    entries += [(half + 1024, TAIL_BYTES, F_WRITE, 0)]
    bench.ram.at(table, 16 * (count + 1))[:] = b"".join(struct.pack("<QIHH", *entry) for entry in entries)
    bench.ring.set_desc(SPARE, table, 16 * (count + 1), F_INDIRECT)
    assert send_chain(bench, SPARE) == 0xFFFFFFFF
    assert bytes(bench.ram.at(half, 16)) == b"\xaa" * 16
    assert bench.ram.at(half + 1024 + TAIL_BYTES - 1, 1)[0] == MALFORMED


def jump(ring: SplitRing) -> None:
    ring.set_avail_idx(ring.avail_idx + ring.size + 1)


def run_back(ring: SplitRing) -> None:
    ring.set_avail_idx(ring.avail_idx - 1)


def head_beyond(ring: SplitRing) -> None:
    ring.publish(ring.size)


def head_far_beyond(ring: SplitRing) -> None:
    ring.publish(0xFFFF)


@pytest.mark.parametrize("lie", [jump, run_back, head_beyond, head_far_beyond])
def test_broken_ring_stops_that_queue(bench: Bench, zygote: Zygote, lie: Callable[[SplitRing], None]) -> None:
    """The queue stops, err is signalled, keystored is told; another guest's worker does not notice (MUST-11)."""
    with GuestRam() as ram, SplitRing(ram) as ring, WorkerRig(zygote) as other:
        other.give(MAC)
        other.share(ram)
        other.start(ring)
        check_honest(bench)
        lie(bench.ring)
        bench.ring.kick(force=True)
        event = bench.rig.event(lib.VKS_WORKER_RING_BROKEN)
        assert struct.unpack("<Ii", event.body) == (0, -71)  # EPROTO
        assert bench.ring.take_err()
        check_honest(Bench(other, ram, ring, Vault(ram, ring)))
    # A reset by the driver brings it back.
    bench.rig.stop()
    bench.ring.reset()
    bench.rig.start(bench.ring)
    bench.ring.take_call()
    vault = Vault(bench.ram, bench.ring)
    check_honest(Bench(bench.rig, bench.ram, bench.ring, vault))


def test_same_head_twice(bench: Bench) -> None:
    """A head that is offered again before it was used breaks the ring: nothing is answered twice (MUST-12)."""
    big = bench.ram.alloc(72 + (1 << 20))
    head, slot = bench.vault.take()
    slot.fill(lib.VKS_OP_MAC, key_id=MAC.key_id, output_bytes=32)
    slot.head.input_bytes = 1 << 20
    bench.ram.at(big, 72)[:] = slot.readable[:72]
    bench.ring.set_desc(head, big, 72 + (1 << 20), F_NEXT, SPARE)
    bench.ring.set_desc(SPARE, slot.writable_gpa, slot.writable_bytes, F_WRITE)
    bench.ring.publish(*[head] * 4)
    bench.ring.kick()
    bench.rig.event(lib.VKS_WORKER_RING_BROKEN)
    assert len(bench.ring.reap(keep=True)) <= 1


def test_front_end_takes_memory_away(bench: Bench) -> None:
    """A region whose file shrinks under the worker stops the ring, not the worker."""
    check_honest(bench)
    bench.ram.view.release()
    os.ftruncate(bench.ram.fd, PAGE_BYTES)
    os.eventfd_write(bench.ring.kick_fd, 1)
    event = bench.rig.event(lib.VKS_WORKER_RING_BROKEN)
    assert struct.unpack("<Ii", event.body)[0] == 0
    with GuestRam() as ram, SplitRing(ram) as ring:
        bench.rig.share(ram)
        bench.rig.start(ring)
        check_honest(Bench(bench.rig, ram, ring, Vault(ram, ring)))
        bench.rig.stop()


def test_memory_goes_while_the_worker_polls(zygote: Zygote) -> None:
    """It notices by itself, without a kick, that the ring it looks at is gone; an empty one reads like zeros."""
    untouched = 0x1234

    def noticed() -> bool | None:
        with GuestRam(1 << 20) as ram, SplitRing(ram, 16) as ring, WorkerRig(zygote) as rig:
            rig.poll_us = lib.VKS_SNAPSHOT_POLL_US_MAX
            rig.give()
            rig.share(ram)
            ring.avail_event[0] = untouched
            rig.start(ring)
            if ring.avail_event[0] != untouched:
                return None  # a busy machine: it sleeps already
            os.ftruncate(ram.fd, 0)
            return bool(select.select([ring.err_fd], [], [], 1)[0])

    found: list[bool] = []
    while len(found) < 8:
        outcome = noticed()
        found += [] if outcome is None else [outcome]
    # It may fall asleep between the two looks at it.
    assert found.count(True) >= 6


def test_wrong_starts(bench: Bench) -> None:
    """Rings that do not fit, wrong flags and wrong descriptors are refused; the worker lives on."""
    rig, ring = bench.rig, bench.ring
    rig.start(ring, error=-16)  # EBUSY: it runs
    for message_type, fds in ((lib.VKS_WORKER_RING_STOP, []), (lib.VKS_WORKER_RING_KICK, [ring.kick_fd])):
        rig.ask(message_type, pack("vks_worker_ring", {"queue": 1}), fds, error=-22)
    rig.stop()
    uva = ring.ram.uva
    for fields in (
        {"queue": 1},
        {"size": 0},
        {"size": 3},
        {"size": 2048},
        {"base": 65536},
        {"flags": 1},
        {"flags": 7},
        {"desc_uva": uva(ring.desc_gpa) + 8},
        {"used_uva": uva(ring.used_gpa) + 2},
    ):
        rig.start(ring, error=-22, **fields)
    for fields in ({"desc_uva": 16}, {"avail_uva": (1 << 64) - 2}, {"used_uva": uva(1 << 30)}):
        rig.start(ring, error=-14, **fields)
    rig.start(ring, error=-95, features=1 << 34)
    rig.set_ring_fd(lib.VKS_WORKER_RING_CALL, [ring.call_fd], error=-107)
    bad = pack("vks_worker_mem_table", {"region_count": 2})
    rig.ask(lib.VKS_WORKER_MEM_TABLE, bad, [bench.ram.fd], error=-22)
    rig.start(ring, error=-14)  # the failed table counts as empty
    rig.share(bench.ram)
    rig.start(ring, base=ring.avail_idx)
    check_honest(bench)


def test_random_lies(bench: Bench) -> None:
    """Random descriptors, indirect tables and heads, with honest requests in between."""
    rng = random.Random(20)  # noqa: S311, the same lies in every run
    slot_gpa = bench.ram.alloc(4096)
    interesting = [0, 1, 16, 24, 71, 72, 73, 97, 4096, 1 << 20, (1 << 31), (1 << 32) - 1]
    # Only memory that nobody else uses: the worker does write where a driver tells it to.
    addresses = [slot_gpa, slot_gpa + 72, slot_gpa + 4095, MISSING_GPA, (1 << 64) - 1, (64 << 20) - 1]
    for round_number in range(3000):
        bench.ram.at(slot_gpa, 128)[:] = rng.randbytes(128)
        if rng.random() < 0.8:
            fields = [lib.VKS_SERVICE << 8 | rng.randrange(13), rng.randrange(23), 0, rng.randrange(4), 0]
            fields += [rng.choice(interesting) for _ in range(4)]
            bench.ram.at(slot_gpa, 24)[:] = struct.pack("<IIQII", *fields[:5])
            bench.ram.at(slot_gpa + 44, 16)[:] = struct.pack("<IIII", *fields[5:])
            bench.ram.at(slot_gpa + 60, 12)[:] = struct.pack("<HHQ", 1, 0, 0)
        for place in range(6):
            flags = rng.randrange(8) if rng.random() < 0.3 else rng.choice([F_NEXT, F_NEXT | F_WRITE, F_WRITE])
            following = SPARE + min(place + 1, 5) if rng.random() < 0.9 else rng.randrange(1 << 16)
            bench.ring.set_desc(SPARE + place, rng.choice(addresses), rng.choice(interesting), flags, following)
        send_chain(bench, SPARE)
        if round_number % 50 == 0:
            check_honest(bench, rng.randbytes(20))


def test_chain_of_segments_limit(bench: Bench) -> None:
    """A chain of 1024 descriptors in an indirect table is served, one more is not (MUST-10)."""
    for extra, status in ((0, lib.VKS_STATUS_OK), (1, None)):
        _, slot = bench.vault.take()
        slot.fill(lib.VKS_OP_MAC, key_id=MAC.key_id, data=bytes(1000 + extra), output_bytes=32)
        segments = [Segment(slot.readable_gpa + i, 1) for i in range(999 + extra)]
        segments += [Segment(slot.readable_gpa + 999 + extra, 73), Segment(slot.writable_gpa, 34, writable=True)]
        segments += [Segment(slot.writable_gpa + 34 + i, 1, writable=True) for i in range(23)]
        assert len(segments) == 1024 + extra
        chain = bench.ring.add_indirect(segments)
        bench.ring.publish(chain)
        bench.ring.kick()
        [(_, length)] = bench.ring.wait()
        if status is None:
            assert length == 0
        else:
            assert (length, slot.answer(length).status) == (32 + TAIL_BYTES, status)


@pytest.mark.parametrize("op", range(lib.VKS_OP_COUNT + 1))
def test_each_part_as_large_as_it_may_be(zygote: Zygote, op: int) -> None:
    """No operation has a lane whose buffers are smaller than what a head may announce: the worker lives and answers."""
    parts = {
        "parameter": bytes(lib.VKS_PARAMETER_BYTES_MAX),
        "aad": bytes(lib.VKS_AAD_BYTES_MAX),
        "data": bytes(lib.VKS_INPUT_BYTES_MAX),
    }
    subsets = [names for count in range(4) for names in itertools.combinations(parts, count)]
    used = (1 << lib.VKS_OP_COUNT) - 1 & ~(1 << lib.VKS_OP_ROTATE | 1 << lib.VKS_OP_DESTROY) | 1 << lib.VKS_OP_RELEASE
    keys = [key.with_(op_mask=used) for key in (MAC, AES, EC)]
    with running_bench(zygote, slot_count=1, slot_bytes=(1 << 21)) as bench:
        bench.rig.own_keys_max = 1
        bench.rig.give(*keys)
        for named, names in itertools.product((bytes(16), *(key.key_id for key in keys)), subsets):
            fields: dict[str, Any] = {name: parts[name] for name in names}
            answer = bench.vault.request(op, key_id=named, output_bytes=16, **fields)
            assert answer.status != lib.VKS_STATUS_INTERNAL
            assert bench.rig.alive, f"killed by {names}"
