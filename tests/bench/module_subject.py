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
from bench.peers import P11_DEPTHS, TRY_MS
from bench.take import CPUS, CRYPTO_CPU, LOAD_CPU, Take
from bench.vault_subject import LIBCRYPTO, engine_of

MODULE_SUBJECT = "vault, PKCS#11 module"
MODULE_POOL = f"{MODULE_SUBJECT}, nonce pool"
WANTED = ("p256-sign", "ed25519-sign", "rsa2048-sign", "hmac-sha256")
GUEST = "module"
READY = "ready\n"


class ModuleSubject:
    """A guest with a key for each operation. A depth is so many threads of one client, each with a session."""

    def __init__(self, daemon: Keystored, guest: Pkcs11Guest, poll_us: int, *, nonce_pool: bool) -> None:
        self._daemon = daemon
        self._guest = guest
        self._is_polling = poll_us > 0
        self._nonce_pool = nonce_pool

    @contextmanager
    def takes(self, operation: Operation, size_bytes: int) -> Iterator[Sequence[Take]]:
        """Every depth that the token behind p11-kit has."""
        if operation.name not in wanted(nonce_pool=self._nonce_pool):
            yield []
            return
        pin(self._daemon.pid, [LOAD_CPU])
        run = partial(self._run, operation, size_bytes)
        if self._nonce_pool:
            run(1, TRY_MS)
            if engine_of(self._worker, operation) == LIBCRYPTO:
                yield []
                return
        subject, engine = (
            (MODULE_POOL, engine_of(self._worker, operation)) if self._nonce_pool else (MODULE_SUBJECT, LIBCRYPTO)
        )
        yield [Take(subject, depth, partial(run, depth), engine, self._is_polling) for depth in P11_DEPTHS]

    @property
    def _worker(self) -> Any:
        return self._daemon.api.get(f"/guests/{GUEST}")["worker"]

    def _run(self, operation: Operation, size_bytes: int, depth: int, milliseconds: int) -> Sample:
        command = [PROGRAMS / "vks-bench-p11", MODULE, operation.name, size_bytes, milliseconds, depth]
        # Any PIN will do.
        # Where it begins with one processor it never looks for answers, but sleeps at once.
        begins_on = CPUS if self._is_polling else [LOAD_CPU]
        client = start_pinned(command, begins_on, self._guest.environment({"VKS_BENCH_PIN": "0"}))
        if client.stderr is not None and (said := client.stderr.readline()) != READY:
            client.communicate()
            raise RuntimeError(said.strip())
        # It has opened the device, and waits.
        pin(client.pid, [LOAD_CPU])
        pin(self._worker["pid"], [CRYPTO_CPU])
        return read_sample(client)


def wanted(*, nonce_pool: bool) -> tuple[str, ...]:
    """What it is asked for."""
    return ("p256-sign",) if nonce_pool else WANTED


@contextmanager
def module_subject(poll_us: int, *, nonce_pool: bool = False) -> Iterator[ModuleSubject]:
    """Start a daemon with a guest and its keys, whose workers poll for so long, with libcrypto or a nonce pool."""
    setting = "--nonce-pool" if nonce_pool else "--no-accelerators"
    with Keystored(arguments=["--poll-us", str(poll_us), setting]) as daemon:
        guest = Pkcs11Guest(daemon.add_guest(GUEST))
        for operation in OPERATIONS:
            if operation.name in wanted(nonce_pool=nonce_pool):
                daemon.api.generate(operation.name, operation.key_type)
                daemon.api.grant(GUEST, operation.name, operation.grant.split(","))
        yield ModuleSubject(daemon, guest, poll_us, nonce_pool=nonce_pool)
