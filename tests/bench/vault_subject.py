# SPDX-License-Identifier: Apache-2.0
"""The vault as its guests have it: a real keystored and worker, policy and audit on, a ring in shared memory."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from framework.frontend import QEMU_7_2, FrontEnd
from framework.guest_ram import GuestRam
from framework.keystored import Keystored
from framework.pinned import pin
from framework.ring_guest import RingGuest
from framework.ring_load import RingLoad, Sample, tell_event_idx
from framework.split_ring import SplitRing
from framework.vault import HEAD_BYTES, TAIL_BYTES, Vault

from bench.operation import OPERATIONS, Operation, depths
from bench.take import CPUS, CRYPTO_CPU, LOAD_CPU, PINNED, SHARED, Take, added_up
from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import Mechanism

VAULT = "vault"
VAULT_ON_TWO = f"{VAULT} on 2 cores"
"""Worker and guest wherever the scheduler puts them: with a ring what peers with two clients are compared with."""
NONCE_POOL = f"{VAULT}, nonce pool"
ON_TWO_OPERATION, ON_TWO_DEPTH = "p256-sign", 32
LIBCRYPTO = "libcrypto"
SPIN_US = 50
"""How long both sides of a polling ring look at it before they sleep."""
GUEST = "bench"
RING_ENTRIES = 256
SPARE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Variant:
    """A vault with some of its settings; *accelerated*: of interest only where an engine other than libcrypto serves.

    *only* are the operations that the settings are about, all when empty.
    """

    subject: str
    arguments: tuple[str, ...]
    accelerated: bool = False
    only: tuple[str, ...] = ()
    rings: int = 1

    @property
    def operations(self) -> list[Operation]:
        """What it is asked for."""
        return [operation for operation in OPERATIONS if operation.name in self.only or not self.only]


VARIANTS = (
    Variant(VAULT, ("--no-accelerators",)),
    Variant(VAULT, ("--accelerators",), accelerated=True),
    Variant(VAULT_ON_TWO, ("--no-accelerators", "--rings", "2"), rings=2),
    Variant(VAULT_ON_TWO, ("--accelerators", "--rings", "2"), accelerated=True, rings=2),
    Variant(NONCE_POOL, ("--accelerators", "--nonce-pool"), accelerated=True, only=("p256-sign",)),
)


class VaultSubject:
    """A guest with a key for every operation."""

    def __init__(self, daemon: Keystored, socket: Path, variant: Variant, poll_us: int) -> None:
        self._daemon = daemon
        self._socket = socket
        self._variant = variant
        # Who is asleep is asked by who sleeps: both sides, or neither.
        self._spin_us = poll_us

    @contextmanager
    def takes(self, operation: Operation, size_bytes: int) -> Iterator[Sequence[Take]]:
        """Every depth of what the variant is about."""
        if operation not in self._variant.operations:
            yield []
            return
        subject, polling, rings = self._variant.subject, self._spin_us > 0, self._variant.rings
        shared = subject == VAULT_ON_TWO
        with connected(
            self._socket, operation, size_bytes, max(depths(size_bytes)), operation.name, rings=rings
        ) as load:
            engine = engine_of(self._worker, operation)
            if self._variant.accelerated and engine == LIBCRYPTO:
                yield []
                return
            takes = [
                Take(
                    subject,
                    depth,
                    partial(self._run, load, depth, shared=shared),
                    engine,
                    polling,
                    cpus=SHARED if shared else PINNED,
                    rings=rings,
                )
                for depth in depths(size_bytes)
            ]
            if subject == VAULT and operation.name == ON_TWO_OPERATION:
                run = partial(self._run, load, ON_TWO_DEPTH, shared=True)
                takes.append(Take(VAULT_ON_TWO, ON_TWO_DEPTH, run, engine, polling, cpus=SHARED))
            yield takes

    @property
    def _worker(self) -> Any:
        return self._daemon.api.get(f"/guests/{GUEST}")["worker"]

    def _run(self, load: "Load", depth: int, milliseconds: int, *, shared: bool) -> Sample:
        worker = self._worker["pid"]
        pin(worker, CPUS if shared else [CRYPTO_CPU])
        pin(self._daemon.pid, CPUS if shared else [LOAD_CPU])
        return load.run(depth, milliseconds, self._spin_us, None if shared else LOAD_CPU)


@contextmanager
def connected(
    socket: Path,
    operation: Operation,
    size_bytes: int,
    depth_max: int,
    key: str,
    *,
    spare: bool = False,
    rings: int = 1,
) -> Iterator["Load"]:
    """Connect with requests of one kind built, up to *depth_max* at once on each ring, for the key of that name.

    With *spare* there is room for one request besides.
    """
    slot_count = depth_max + spare
    output_bytes = operation.output_bytes(size_bytes)
    readable_bytes = HEAD_BYTES + len(operation.parameter) + size_bytes
    writable_bytes = output_bytes + TAIL_BYTES
    ram_bytes = ((readable_bytes + writable_bytes + 128) * slot_count + SPARE_BYTES) * rings
    with ExitStack() as stack:
        ram = stack.enter_context(GuestRam(-(-ram_bytes // 4096) * 4096))
        all_rings = [stack.enter_context(SplitRing(ram, RING_ENTRIES, index=index)) for index in range(rings)]
        frontend = stack.enter_context(FrontEnd.connect(socket, ram, QEMU_7_2))
        frontend.negotiate()
        frontend.start(*all_rings)
        guests = []
        for ring in all_rings:
            vault = Vault(
                ram,
                ring,
                slot_count=slot_count,
                readable_bytes_max=max(readable_bytes, 4096),
                writable_bytes_max=max(writable_bytes, 16384),
            )
            tell_event_idx(vault, ring)
            guests.append(RingGuest(frontend, vault, ring))
        yield Load(guests, operation, size_bytes, key, spare=spare)


class Load:
    """Requests that were built once and are sent again and again, the same on every ring of a guest.

    With *spare* the guest may ask in between on the first one.
    """

    def __init__(
        self, rings: Sequence[RingGuest], operation: Operation, size_bytes: int, key: str, *, spare: bool
    ) -> None:
        self.guest = rings[0]
        key_id = self.guest.key_id(key)
        if spare:
            # Under way while the others are taken: this slot stays the guest's.
            self.guest.vault.submit(lib.VKS_OP_RANDOM, output_bytes=0)
        self._loads = [
            RingLoad(
                ring,
                operation.op,
                output_bytes=operation.output_bytes(size_bytes),
                key_id=key_id,
                mechanism=operation.mechanism,
                parameter=operation.parameter,
                data=os.urandom(size_bytes),
            )
            for ring in rings
        ]
        if spare:
            self.guest.vault.ring.kick()
            self.guest.vault.collect()

    def can_sign(self, key_id: bytes) -> bool:
        """Whether a key signs; needs the spare slot, and nothing under way."""
        answer = self.guest.vault.request(lib.VKS_OP_SIGN, key_id=key_id, data=bytes(32), output_bytes=96)
        return bool(answer.status == lib.VKS_STATUS_OK)

    def run(self, depth: int, milliseconds: int, spin_us: int, cpu: int | None) -> Sample:
        """Keep *depth* of them under way on each ring for so long, from one processor or from any."""
        running = [(load, load.start(depth, milliseconds, spin_us=spin_us, cpu=cpu)) for load in self._loads]
        return added_up([load.finish(process) for load, process in running])


def engine_of(worker: Any, operation: Operation) -> str:
    """Say who computes, by the facts of a guest's worker; a worker that knows one way only does not say."""
    engine: str = worker.get("engines", {}).get(operation.function, LIBCRYPTO)
    return engine


@contextmanager
def vault_subject(variant: Variant, poll_us: int) -> Iterator[VaultSubject]:
    """Start a daemon with a guest and its keys, whose workers poll for so long."""
    with Keystored(arguments=["--poll-us", str(poll_us), *variant.arguments]) as daemon:
        socket = daemon.add_guest(GUEST)
        for operation in variant.operations:
            daemon.api.generate(operation.name, operation.key_type)
            mechanisms = [Mechanism(operation.mechanism).text]
            daemon.api.grant(GUEST, operation.name, operation.grant.split(","), mechanisms=mechanisms)
        yield VaultSubject(daemon, socket, variant, poll_us)
