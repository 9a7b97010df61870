# SPDX-License-Identifier: Apache-2.0
"""The vault as its guests have it: a real keystored and worker, policy and audit on, a ring in shared memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from framework.frontend import QEMU_7_2, FrontEnd
from framework.guest_ram import GuestRam
from framework.keystored import Keystored
from framework.ring_guest import RingGuest
from framework.ring_load import RingLoad, Sample, tell_event_idx
from framework.split_ring import SplitRing
from framework.vault import HEAD_BYTES, TAIL_BYTES, Vault

from bench.operation import OPERATIONS, Operation
from vmm_keystore.policy.vocabulary import Mechanism

GUEST = "bench"
CRYPTO_CPU = 0
"""Where whatever does the cryptography runs: the worker, or plain libcrypto."""
LOAD_CPU = 1
"""Where everybody else runs: who asks, and keystored."""
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
        readable_bytes = HEAD_BYTES + len(operation.parameter) + size_bytes
        writable_bytes = output_bytes + TAIL_BYTES
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
        self._load = RingLoad(
            guest,
            operation.op,
            output_bytes=operation.output_bytes(size_bytes),
            key_id=guest.key_id(operation.name),
            mechanism=operation.mechanism,
            parameter=operation.parameter,
            data=os.urandom(size_bytes),
        )

    def run(self, depth: int, milliseconds: int, spin_us: int) -> Sample:
        """Keep *depth* of them under way for so long."""
        return self._load.finish(self._load.start(depth, milliseconds, spin_us=spin_us, cpu=LOAD_CPU))


@contextmanager
def vault_subject(poll_us: int) -> Iterator[VaultSubject]:
    """Start a daemon with a guest and its keys, whose workers poll for so long."""
    with Keystored(arguments=("--poll-us", str(poll_us))) as daemon:
        socket = daemon.add_guest(GUEST)
        for operation in OPERATIONS:
            daemon.api.generate(operation.name, operation.key_type)
            mechanisms = [Mechanism(operation.mechanism).text]
            daemon.api.grant(GUEST, operation.name, operation.grant.split(","), mechanisms=mechanisms)
        yield VaultSubject(daemon, socket)
