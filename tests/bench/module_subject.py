# SPDX-License-Identifier: Apache-2.0
"""The vault by its PKCS#11 module: the same client as the token behind p11-kit has, over a guest's socket."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from framework.keystored import Keystored
from framework.pinned import pin, start_pinned
from framework.pkcs11_guest import MODULE, Pkcs11Guest
from framework.ring_load import PROGRAMS, Sample, read_sample

from bench.operation import OPERATIONS, Operation
from bench.peers import P11_DEPTHS
from bench.take import CRYPTO_CPU, LOAD_CPU, Take
from bench.vault_subject import LIBCRYPTO

SUBJECT = "vault, PKCS#11 module"
WANTED = ("p256-sign", "ed25519-sign", "rsa2048-sign", "hmac-sha256")
GUEST = "module"
READY = "ready\n"


class ModuleSubject:
    """A guest with a key for each operation. A depth is so many threads of one client, each with a session."""

    def __init__(self, daemon: Keystored, guest: Pkcs11Guest, poll_us: int) -> None:
        self._daemon = daemon
        self._guest = guest
        self._is_polling = poll_us > 0

    @contextmanager
    def takes(self, operation: Operation, size_bytes: int) -> Iterator[Sequence[Take]]:
        """Every depth that the token behind p11-kit has."""
        if operation.name not in WANTED:
            yield []
            return
        pin(self._daemon.pid, [LOAD_CPU])
        yield [
            Take(SUBJECT, depth, partial(self._run, operation, size_bytes, depth), LIBCRYPTO, self._is_polling)
            for depth in P11_DEPTHS
        ]

    def _run(self, operation: Operation, size_bytes: int, depth: int, milliseconds: int) -> Sample:
        command = [PROGRAMS / "vks-bench-p11", MODULE, operation.name, size_bytes, milliseconds, depth]
        # Any PIN will do.
        client = start_pinned(command, [LOAD_CPU], self._guest.environment({"VKS_BENCH_PIN": "0"}))
        if client.stderr is not None and (said := client.stderr.readline()) != READY:
            client.communicate()
            raise RuntimeError(said.strip())
        # It has opened the device, and waits.
        worker: Any = self._daemon.api.get(f"/guests/{GUEST}")["worker"]
        pin(worker["pid"], [CRYPTO_CPU])
        return read_sample(client)


@contextmanager
def module_subject(poll_us: int) -> Iterator[ModuleSubject]:
    """Start a daemon with a guest and its keys, whose workers poll for so long."""
    with Keystored(arguments=["--poll-us", str(poll_us), "--no-accelerators"]) as daemon:
        guest = Pkcs11Guest(daemon.add_guest(GUEST))
        for operation in OPERATIONS:
            if operation.name in WANTED:
                daemon.api.generate(operation.name, operation.key_type)
                daemon.api.grant(GUEST, operation.name, operation.grant.split(","))
        yield ModuleSubject(daemon, guest, poll_us)
