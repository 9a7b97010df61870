# SPDX-License-Identifier: Apache-2.0
"""A worker's life: spawn, wires that break, live changes, SIGKILL and its successor."""

import errno
import os
import select
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from framework.checked_work import Run, attempts_by_request
from framework.guest_ram import GuestRam
from framework.split_ring import SplitRing
from framework.vault import Vault
from protocol.worker_rig import Bench, RigKey, WorkerRig, Zygote, key_id, pkcs8, receive, send

from vmm_keystore._vks import lib
from vmm_keystore.workers.ipc import pack_message

OK = lib.VKS_STATUS_OK
MAC = RigKey(key_id(5), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(64, 96)))
RSA = RigKey(key_id(3), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(rsa.generate_private_key(65537, 2048)))
DO_MAC: dict[str, Any] = {"key_id": MAC.key_id, "data": b"m", "output_bytes": 32}
SIGN_SLOWLY: dict[str, Any] = {"key_id": RSA.key_id, "data": b"slow", "output_bytes": 256}


def next_base(rig: WorkerRig) -> int:
    """What keystored computes from state memory when a worker died."""
    slots = lib.vks_state_slots(rig.state, 0)
    taken = sum(slots[i].inflight for i in range(lib.VKS_STATE_QUEUE_SIZE_MAX))
    return int(lib.vks_state_queue(rig.state, 0).used_idx + taken) & 0xFFFF


def test_what_a_worker_is(bench: Bench, zygote: Zygote) -> None:
    """No core file, no new privileges, no descriptor but its own, no zombie left of those before it."""
    process = Path(f"/proc/{bench.rig.pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert status["Name"] == "vks-worker"
    assert status["NoNewPrivs"] == "1"
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    # Whoever may not drop from the bounding set has nothing that could come from it either.
    if os.geteuid() == 0:
        assert status["CapBnd"] == "0" * 16
    assert status["Threads"] == "2"
    [core] = [line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core")]
    assert core.split()[4:6] == ["0", "0"]
    targets = [str(fd.readlink()) for fd in (process / "fd").iterdir() if int(fd.name) > 2]
    sockets = [target for target in targets if target.startswith("socket:")]
    others = [target for target in targets if not target.startswith(("socket:", "anon_inode:[eventfd]"))]
    assert (len(sockets), others) == (2, [])
    with WorkerRig(zygote) as gone:
        pid = gone.pid
    end_s = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.alone
def test_spawn_is_quick(zygote: Zygote) -> None:
    """A worker is ready within milliseconds: that is what the zygote is for."""
    before_s = time.monotonic()
    for _ in range(20):
        with WorkerRig(zygote) as rig:
            assert rig.ready.type == lib.VKS_WORKER_READY
    assert (time.monotonic() - before_s) / 20 < 0.1


@pytest.mark.parametrize(
    "packet",
    [
        pack_message(0x1FF, 1),
        pack_message(lib.VKS_WORKER_RING_STOP, 1),
        pack_message(lib.VKS_WORKER_RING_STOP, 1, bytes(9)),
        pack_message(lib.VKS_KEYS, 1, bytes(32)),
        b"short",
    ],
)
def test_broken_message_ends_the_worker(zygote: Zygote, packet: bytes) -> None:
    """Only a program that is not keystored sends such, and it shall not talk to a worker any longer."""
    with WorkerRig(zygote) as rig:
        send(rig.control, packet)
        rig.wait_ended()


def test_wrong_state_memory(zygote: Zygote) -> None:
    """A worker does not start on a state memory that is not one."""
    for size_bytes in (0, 4096, lib.vks_state_bytes()):
        fd = os.memfd_create("state", os.MFD_CLOEXEC)
        os.ftruncate(fd, size_bytes)
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control, theirs:
            _, pidfd = zygote.spawn(theirs.fileno(), theirs.fileno(), fd)
            theirs.close()
            assert select.select([pidfd], [], [], 10)[0]
            with pytest.raises(ConnectionError):
                receive(control)
        os.close(pidfd)
        os.close(fd)


def test_loads_that_fail(bench: Bench) -> None:
    """A load is all or nothing; the worker goes on with what it had."""
    bench.rig.give(MAC)
    good = MAC.with_(key_id=key_id(6))
    broken = RSA.with_(key_id=key_id(7), material=RSA.material[:-40])
    bench.rig.load(good, broken, error=-errno.EBADMSG)
    bench.rig.load(good, error=-errno.EINVAL, key_count=2)  # zeros are no slot
    bench.rig.load(good, error=-errno.ENOSPC, key_count=200000)
    bench.rig.publish(MAC, good)
    assert bench.vault.request(lib.VKS_OP_MAC, **DO_MAC).status == OK
    bench.vault.submit(lib.VKS_OP_MAC, **DO_MAC | {"key_id": good.key_id})
    bench.ring.kick(force=True)
    assert bench.rig.wanted() == [(good.key_id, good.version)]
    bench.rig.note_filled()
    assert [answer.status for _head, answer in bench.vault.collect(1)] == [lib.VKS_STATUS_UNAVAILABLE]
    bench.rig.keys.close()
    assert bench.vault.request(lib.VKS_OP_MAC, **DO_MAC).status == OK


def test_snapshots_that_fail(bench: Bench) -> None:
    """A snapshot of the wrong generation or size changes nothing."""
    bench.rig.give(MAC)
    with os.fdopen(os.memfd_create("unsealed", os.MFD_CLOEXEC), "wb") as file:
        file.write(bytes(88))
        file.flush()
        for generation, size_bytes, error in ((1, 88, errno.EINVAL), (2, 88, errno.EPROTO), (2, 1 << 60, errno.EPROTO)):
            body = generation.to_bytes(8, "little") + size_bytes.to_bytes(8, "little")
            bench.rig.ask(lib.VKS_WORKER_SNAPSHOT, body, [file.fileno()], error=-error)
    assert bench.vault.request(lib.VKS_OP_MAC, **DO_MAC).status == OK


def test_live_changes(bench: Bench) -> None:
    """Descriptors and memory table are replaced under a running ring, requests under way included."""
    bench.rig.give(MAC, RSA)
    ring = bench.ring
    for _ in range(10):
        bench.vault.submit(lib.VKS_OP_SIGN, **SIGN_SLOWLY)
    ring.kick()
    call, kick = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
    bench.rig.set_ring_fd(lib.VKS_WORKER_RING_CALL, [call])
    assert os.eventfd_read(call) >= 1  # signalled once: the old one may have been left unread
    bench.rig.set_ring_fd(lib.VKS_WORKER_RING_KICK, [kick])
    for _ in range(20):
        bench.rig.share(bench.ram)
    bench.rig.set_ring_fd(lib.VKS_WORKER_RING_CALL, [ring.call_fd])
    assert {answer.status for _, answer in bench.vault.collect(10, timeout_s=20)} == {OK}
    sent = bench.vault.submit(lib.VKS_OP_MAC, **DO_MAC)
    os.eventfd_write(kick, 1)
    assert [head for head, _ in bench.vault.collect(1)] == [sent]
    bench.rig.set_ring_fd(lib.VKS_WORKER_RING_ERR, [])
    bench.rig.set_ring_fd(lib.VKS_WORKER_RING_CALL, [])
    os.close(call)
    os.close(kick)


def test_memory_goes_while_a_request_is_under_way(bench: Bench) -> None:
    """A table without the ring's memory breaks the ring; the running operation's answer goes nowhere."""
    bench.rig.give(MAC, RSA)
    for _ in range(4):
        bench.vault.submit(lib.VKS_OP_SIGN, **SIGN_SLOWLY)
    bench.ring.kick()
    with GuestRam(1 << 20, uva_offset=0x1000_0000) as other:
        bench.rig.share(other)
        bench.rig.event(lib.VKS_WORKER_RING_BROKEN)
    bench.rig.share(bench.ram)
    bench.rig.start(bench.ring, base=bench.rig.stop())
    assert {answer.status for _, answer in bench.vault.collect(4, timeout_s=20)} == {OK}


def test_requests_wait_for_room_in_the_audit_ring(bench: Bench) -> None:
    """Without room for a record nothing is taken, and nothing is lost (MUST-17, P4)."""
    refused = DO_MAC | {"key_id": key_id(99)}  # has a record of its own
    bench.rig.records()
    answered = 0
    while answered < lib.VKS_AUDIT_RING_RECORDS - 50:
        for _ in range(100):
            bench.vault.submit(lib.VKS_OP_MAC, **refused)
        bench.ring.kick()
        answered += len(bench.vault.collect(min(100, lib.VKS_AUDIT_RING_RECORDS - answered)))
    with pytest.raises(TimeoutError):
        bench.vault.collect(1, timeout_s=0.1)
    drained = len(bench.rig.records())
    assert drained == lib.VKS_AUDIT_RING_RECORDS == answered
    bench.rig.ask(lib.VKS_WORKER_DRAINED)
    left = -answered % 100
    assert len(bench.vault.collect(left, timeout_s=1)) == left
    assert len(bench.rig.records()) == left


def test_successor_answers_what_the_dead_one_left(zygote: Zygote) -> None:
    """SIGKILL at any time: each request gets exactly one answer, runs are numbered, records survive (MUST-12, P5)."""
    with GuestRam(64 << 20) as ram, SplitRing(ram, 256) as ring:
        vault = Vault(ram, ring, slot_count=100)
        rig = WorkerRig(zygote)
        rig.share(ram)
        rig.start(ring)
        rig.give(MAC, RSA)
        records: list[Any] = []
        sent = answered = 0
        for round_number in range(12):
            while vault._free and sent < 100 * (round_number + 1):
                slow = sent % 10 == 0
                vault.submit(lib.VKS_OP_SIGN if slow else lib.VKS_OP_MAC, **(SIGN_SLOWLY if slow else DO_MAC))
                sent += 1
            ring.kick(force=True)
            time.sleep(round_number * 0.0007)
            rig.kill()
            successor = WorkerRig(zygote, rig.state_fd)
            base = next_base(successor)
            rig.close()
            rig = successor
            rig.share(ram)
            rig.give(MAC, RSA)
            rig.start(ring, base=base)
            answers = vault.collect(sent - answered, timeout_s=20)
            assert {answer.status for _, answer in answers} == {OK}
            answered += len(answers)
            records += rig.records()
        assert answered == sent
        runs = attempts_by_request(map(Run.of_record, records))
        assert len(runs) == sent
        assert all(sorted(set(attempts)) == attempts for attempts in runs.values())
        rig.close()
