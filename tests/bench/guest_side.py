# SPDX-License-Identifier: Apache-2.0
"""What a guest sees: user-mode Linux at native speed, with our module, and ``vks bench`` in it.

Its kernel is a process of this host with one processor; what is a trap or an interrupt under KVM is a system call or a
signal here. The figures are of the way through character device and virtqueue as it is there, and of nothing else.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from framework.keystored import Keystored
from framework.pinned import pin
from framework.ring_load import Sample
from framework.uml import UmlGuest
from qemu_images.apt import AptError
from qemu_images.images import uml_image
from qemu_images.kernel import BuildError
from qemu_images.keystore import content

from bench.operation import OPERATIONS, Operation
from bench.take import CRYPTO_CPU, LOAD_CPU, SHARED, Take, left_out
from bench.vault_subject import engine_of

SUBJECT = "vault, from user-mode Linux"
GUEST = "uml"
WANTED = ("p256-sign", "ed25519-sign", "hmac-sha256")
SIZE_BYTES_MAX = 64
DEPTHS = (1, 8, 32)
CPUS = f"{CRYPTO_CPU} | {SHARED}"
"""The guest is where the scheduler puts it."""
SECONDS = 1
"""Of each figure in each round, whatever the others have: it counts in whole ones."""


class GuestSide:
    """A booted guest with a key for each operation."""

    def __init__(self, daemon: Keystored, guest: UmlGuest) -> None:
        self._daemon = daemon
        self._guest = guest

    @contextmanager
    def takes(self, operation: Operation, size_bytes: int) -> Iterator[Sequence[Take]]:
        """A few depths of what is small."""
        if operation.name not in WANTED or size_bytes > SIZE_BYTES_MAX:
            yield []
            return
        worker: Any = self._daemon.api.get(f"/guests/{GUEST}")["worker"]
        pin(worker["pid"], [CRYPTO_CPU])
        pin(self._daemon.pid, [LOAD_CPU])
        engine = engine_of(worker, operation)
        yield [
            Take(SUBJECT, depth, partial(self._run, operation, size_bytes, depth), engine, cpus=CPUS)
            for depth in DEPTHS
        ]

    def _run(self, operation: Operation, size_bytes: int, depth: int, _milliseconds: int) -> Sample:
        command = f"vks bench {operation.name} --json --size {size_bytes} --depth {depth} --seconds {SECONDS}"
        facts = json.loads(self._guest.run(command).stdout)
        return Sample(facts["ops_per_s"], facts["p50_us"], facts["p99_us"])


@contextmanager
def guest_side() -> Iterator[list[GuestSide]]:
    """Boot it; nobody, and why, where its kernel cannot be had."""
    try:
        image = uml_image("plain", content())
    except (AptError, BuildError, OSError) as error:
        left_out(SUBJECT, str(error))
        yield []
        return
    with Keystored() as daemon:
        socket: Path = daemon.add_guest(GUEST)
        for operation in OPERATIONS:
            if operation.name in WANTED:
                daemon.api.generate(operation.name, operation.key_type)
                daemon.api.grant(GUEST, operation.name, operation.grant.split(","))
        with UmlGuest(image.kernel, image.initrd, devices=[(socket, 20)]) as guest:
            yield [GuestSide(daemon, guest)]
