# SPDX-License-Identifier: Apache-2.0
"""How long requests took, counted in state memory: each answer once, under its key and operation, waiting included."""

import os
import random
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from framework.guest_ram import GuestRam
from framework.latency_rows import latency_rows, requests_counted
from framework.split_ring import Segment, SplitRing
from framework.vault import Vault
from protocol.worker_rig import Bench, RigKey, WorkerRig, Zygote, key_id, pkcs8

from vmm_keystore._vks import ffi, lib

OK = lib.VKS_STATUS_OK
KEY, NONE = lib.VKS_LATENCY_KEY, lib.VKS_LATENCY_NONE
NO_KEY_ID = bytes(16)
TICK_NS = 1 << 20
START_ID = 5
MAC = RigKey(key_id(1), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(32))
RSA = RigKey(key_id(2), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(rsa.generate_private_key(65537, 2048)))
EC = RigKey(
    key_id(3), lib.VKS_KEY_TYPE_EC_P256, pkcs8(ec.generate_private_key(ec.SECP256R1())), op_mask=1 << lib.VKS_OP_SIGN
)


def counts(state: Any) -> dict[tuple[int, bytes, int], int]:
    """Requests by kind, key and operation."""
    return {(row.kind, bytes(row.key_id), row.op): sum(row.bucket) for row in latency_rows(state)}


def mac(bench: Bench, key: RigKey = MAC) -> None:
    answer = bench.vault.request(lib.VKS_OP_MAC, key_id=key.key_id, data=b"message", output_bytes=32)
    assert answer.status == OK


def test_every_answer_is_counted_once(bench: Bench) -> None:
    """Allowed, refused, failed, without a key, of an unknown operation, without a shape."""
    bench.rig.give(MAC, EC, RSA)
    for _ in range(7):
        mac(bench)
    for _ in range(3):
        bench.vault.request(lib.VKS_OP_SIGN, key_id=EC.key_id, data=b"m", output_bytes=64)
    denied = bench.vault.request(lib.VKS_OP_VERIFY, key_id=EC.key_id, parameter=bytes(64), data=b"m")
    assert denied.status == lib.VKS_STATUS_DENIED
    for _ in range(2):
        bench.vault.request(lib.VKS_OP_MAC, key_id=os.urandom(16), data=b"m", output_bytes=32)
    bench.vault.request(lib.VKS_OP_RANDOM, output_bytes=8)
    bench.vault.request(100, key_id=MAC.key_id)
    # No address of the guest's memory.
    head = bench.ring.add([Segment(1 << 60, 1, writable=True)])
    bench.ring.publish(head)
    bench.ring.kick(force=True)
    assert bench.ring.wait(1)[0][0] == head
    for _ in range(4):
        bench.vault.submit(lib.VKS_OP_SIGN, key_id=RSA.key_id, data=b"m", output_bytes=256)
    bench.ring.kick(force=True)
    assert len(bench.vault.collect(4, timeout_s=30)) == 4
    bench.rig.records()
    assert counts(bench.rig.state) == {
        (KEY, MAC.key_id, lib.VKS_OP_MAC): 7,
        (KEY, EC.key_id, lib.VKS_OP_SIGN): 3,
        (KEY, EC.key_id, lib.VKS_OP_VERIFY): 1,
        (KEY, RSA.key_id, lib.VKS_OP_SIGN): 4,
        (NONE, NO_KEY_ID, lib.VKS_OP_MAC): 2,
        (NONE, NO_KEY_ID, lib.VKS_OP_RANDOM): 1,
        (NONE, NO_KEY_ID, 0): 2,
    }
    assert all(row.sum_ns > 0 for row in latency_rows(bench.rig.state))


def test_waiting_for_the_slow_lane_is_part_of_it(bench: Bench) -> None:
    """Of many at once the last one has waited for all: together they took longer than the clock on the wall says."""
    bench.rig.give(RSA)
    for _ in range(40):
        bench.vault.submit(lib.VKS_OP_SIGN, key_id=RSA.key_id, data=b"m", output_bytes=256)
    begun_ns = time.monotonic_ns()
    bench.ring.kick(force=True)
    assert len(bench.vault.collect(40, timeout_s=30)) == 40
    elapsed_ns = time.monotonic_ns() - begun_ns
    bench.rig.records()
    (row,) = latency_rows(bench.rig.state)
    assert sum(row.bucket) == 40
    assert row.sum_ns > 2 * elapsed_ns


def test_a_key_that_is_taken_away_leaves_no_histogram(bench: Bench) -> None:
    """Its place is another's then; given back it begins at nothing."""
    bench.rig.give(MAC, EC)
    mac(bench)
    bench.rig.publish(EC)
    assert counts(bench.rig.state) == {}
    bench.rig.give(MAC, EC)
    mac(bench)
    bench.rig.records()
    assert counts(bench.rig.state) == {(KEY, MAC.key_id, lib.VKS_OP_MAC): 1}


def test_a_new_version_is_the_same_key(bench: Bench) -> None:
    bench.rig.give(MAC)
    mac(bench)
    bench.rig.give(MAC.with_(current=False), MAC.with_(version=2))
    mac(bench)
    bench.rig.records()
    assert counts(bench.rig.state) == {(KEY, MAC.key_id, lib.VKS_OP_MAC): 2}


def serve_on(rig: WorkerRig, ram: GuestRam, ring: SplitRing, base: int) -> None:
    """What keystored does with a new worker."""
    rig.share(ram)
    rig.give(MAC, RSA)
    rig.start(ring, base=base, start_id=START_ID)


def test_the_death_of_a_worker_is_part_of_it(zygote: Zygote) -> None:
    """What was in flight took as long as the guest waited; what was counted before still counts."""
    with GuestRam() as ram, SplitRing(ram) as ring, WorkerRig(zygote) as first:
        serve_on(first, ram, ring, 0)
        vault = Vault(ram, ring, slot_count=20)
        assert vault.request(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"m", output_bytes=32).status == OK
        for _ in range(20):
            vault.submit(lib.VKS_OP_SIGN, key_id=RSA.key_id, data=b"m", output_bytes=256)
        ring.kick(force=True)
        while not lib.vks_state_in_flight(first.state, 0):
            pass
        first.kill()
        taken = lib.vks_state_in_flight(first.state, 0)
        begun_ns = time.monotonic_ns()
        time.sleep(0.05)
        with WorkerRig(zygote, first.state_fd) as second:
            waited_ns = time.monotonic_ns() - begun_ns
            serve_on(second, ram, ring, lib.vks_state_next_base(second.state, 0))
            while requests_counted(second.state) < 20:
                vault.collect(0)
            rows = {row.op: row for row in latency_rows(second.state)}
            assert sum(rows[lib.VKS_OP_MAC].bucket) == 1
            # The one that the dead worker had answered last may be missing.
            assert 19 <= sum(rows[lib.VKS_OP_SIGN].bucket) <= 20
            assert rows[lib.VKS_OP_SIGN].sum_ns >= (taken - 1) * (waited_ns - 2 * TICK_NS)


def test_whatever_a_fallen_worker_left(zygote: Zygote) -> None:
    """Its successor serves on a table of garbage, and writes nowhere else."""
    chance = random.Random(8)  # noqa: S311 - the same at each run
    for _ in range(5):
        with GuestRam() as ram, SplitRing(ram) as ring, WorkerRig(zygote) as rig:
            table = ffi.buffer(
                lib.vks_state_latencies(rig.state), lib.VKS_LATENCY_MAX * ffi.sizeof("struct vks_latency")
            )
            table[:] = chance.randbytes(len(table))
            for head in range(lib.VKS_STATE_QUEUE_SIZE_MAX):
                lib.vks_state_slots(rig.state, 0)[head].taken = chance.getrandbits(32)
            serve_on(rig, ram, ring, 0)
            vault = Vault(ram, ring)
            for _ in range(50):
                assert vault.request(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"m", output_bytes=32).status == OK
            assert lib.vks_state_check(rig.state, lib.vks_state_bytes()) == 0
            assert len(rig.records()) >= 1
