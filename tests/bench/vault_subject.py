# SPDX-License-Identifier: Apache-2.0
"""The vault as its guests have it: a real keystored and worker, policy and audit on, a ring in shared memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from framework.frontend import F_EVENT_IDX, QEMU_7_2, FrontEnd
from framework.guest_ram import GuestRam
from framework.keystored import Keystored
from framework.ring_guest import RingGuest
from framework.split_ring import SplitRing
from framework.vault import HEAD_BYTES, TAIL_BYTES, Vault

from bench.operation import OPERATIONS, Operation
from bench.sample import CRYPTO_CPU, LOAD_CPU, Sample, run_program
from vmm_keystore._vks import lib
from vmm_keystore.workers.ipc import pack

GUEST = "bench"
RING_ENTRIES = 256
SPARE_BYTES = 4 << 20


class VaultSubject:
    """A guest with a key for every operation."""

    def __init__(self, daemon: Keystored, socket: Path) -> None:
        self._daemon = daemon
        self._socket = socket

    @contextmanager
    def connected(self, operation: Operation, size_bytes: int, depth_max: int) -> Iterator["Load"]:
        """Connect with requests of one kind built, up to *depth_max* at once."""
        output_bytes = operation.output_bytes(size_bytes)
        readable_bytes, writable_bytes = HEAD_BYTES + size_bytes, output_bytes + TAIL_BYTES
        ram_bytes = (readable_bytes + writable_bytes + 128) * depth_max + SPARE_BYTES
        with (
            GuestRam(-(-ram_bytes // 4096) * 4096) as ram,
            SplitRing(ram, RING_ENTRIES) as ring,
            FrontEnd.connect(self._socket, ram, QEMU_7_2) as frontend,
        ):
            vault = Vault(
                ram,
                ring,
                slot_count=depth_max,
                readable_bytes_max=max(readable_bytes, 4096),
                writable_bytes_max=max(writable_bytes, 16384),
            )
            frontend.negotiate()
            frontend.start(ring)
            tell_event_idx(vault, ring)
            self._pin()
            yield Load(RingGuest(frontend, vault, ring), operation, size_bytes)

    def _pin(self) -> None:
        worker: Any = self._daemon.api.get(f"/guests/{GUEST}")["worker"]["pid"]
        for task in Path(f"/proc/{worker}/task").iterdir():
            os.sched_setaffinity(int(task.name), {CRYPTO_CPU})
        for task in Path(f"/proc/{self._daemon.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {LOAD_CPU})


class Load:
    """Requests that were built once and are sent again and again."""

    def __init__(self, guest: RingGuest, operation: Operation, size_bytes: int) -> None:
        vault = guest.vault
        self._ram = guest.frontend.ram
        self._ring = guest.ring
        key_id = guest.key_id(operation.name)
        self._requests: list[tuple[int, int]] = []
        data = os.urandom(size_bytes)
        for _ in range(vault.free):
            head, slot = vault.take()
            output_bytes = operation.output_bytes(size_bytes)
            slot.fill(operation.op, key_id=key_id, mechanism=operation.mechanism, data=data, output_bytes=output_bytes)
            vault.set_sizes(head)
            self._requests.append((head, slot.writable_gpa + slot.writable_bytes - 1))

    def run(self, depth: int, milliseconds: int, spin_us: int) -> Sample:
        """Keep *depth* of them under way for so long."""
        ring = self._ring
        fds = (self._ram.fd, ring.kick_fd, ring.call_fd)
        arguments = [fds[0], len(self._ram.view), fds[1], fds[2], ring.avail_gpa, ring.used_gpa, ring.size]
        arguments += [ring.avail_idx, ring.last_used, int(ring.event_idx), spin_us, milliseconds]
        stdin = "".join(f"{head} {status_at}\n" for head, status_at in self._requests[:depth])
        sample = run_program("vks-bench-ring", arguments, cpu=LOAD_CPU, stdin=stdin, fds=fds)
        ring.avail_idx, ring.last_used = ring.avail[1], ring.used_head[1]
        return sample


def tell_event_idx(vault: Vault, ring: SplitRing) -> None:
    """The first request of a driver: without it no notification is suppressed."""
    features = {"abi_version_min": 1, "abi_version_max": 1, "driver_features": 1 << F_EVENT_IDX}
    answer = vault.request(lib.VKS_OP_INFO, data=pack("vks_info_request", features), output_bytes=256)
    if answer.status != lib.VKS_STATUS_OK:
        raise RuntimeError(f"info answered 0x{answer.status:x}")
    ring.event_idx = True


@contextmanager
def vault_subject() -> Iterator[VaultSubject]:
    """Start a daemon with a guest and its keys."""
    with Keystored() as daemon:
        socket = daemon.add_guest(GUEST)
        for operation in OPERATIONS:
            daemon.api.generate(operation.name, operation.key_type)
            daemon.api.grant(GUEST, operation.name, [operation.grant])
        yield VaultSubject(daemon, socket)
