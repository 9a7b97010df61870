# SPDX-License-Identifier: Apache-2.0
"""What else keeps keys out of a program's reach: a PKCS#11 token behind a socket, and a software TPM.

Both are Debian's packages as they come. What is missing, or cannot do an operation, is told and left out.
"""

import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from framework.p11_server import CLIENT_MODULE, PACKAGES, P11Server
from framework.pinned import begin, pin, start_pinned
from framework.ring_load import PROGRAMS, Sample, read_sample
from framework.software_hsm import SoftwareHsm
from framework.software_tpm import SoftwareTpm

from bench.operation import Operation
from bench.take import CPUS, CRYPTO_CPU, LOAD_CPU, SHARED, Subject, Take, added_up, left_out

P11, TPM = "p11-kit+softhsm2", "swtpm"
P11_TWO_CLIENTS = f"{P11}, 2 clients on 2 cores"
P11_DEPTHS = (1, 2, 8)
P11_OPERATIONS = frozenset(
    ("p256-sign", "p384-sign", "ed25519-sign", "rsa2048-sign", "rsa3072-sign", "aes256gcm-encrypt", "hmac-sha256")
)
TPM_OPERATIONS = frozenset(("p256-sign", "p384-sign", "rsa2048-sign", "rsa3072-sign", "hmac-sha256"))
TPM_BYTES_MAX = 1024
"""TPM2B_MAX_BUFFER."""
READY = "ready\n"
TRY_MS = 1


class P11Subject:
    """SoftHSM2 behind ``p11-kit server``; keys are private objects of the token, which keeps them on disk.

    A depth is so many threads of one client, each with a session. Two clients are two programs of one thread each.
    """

    def __init__(self, hsm: SoftwareHsm, pinned: P11Server, shared: P11Server) -> None:
        self._hsm = hsm
        self._pinned = pinned
        self._shared = shared

    @contextmanager
    def takes(self, operation: Operation, size_bytes: int) -> Iterator[Sequence[Take]]:
        """Every depth, and two clients where the vault is compared with those."""
        run = partial(self._run, operation, size_bytes)
        takes = []
        if operation.name in P11_OPERATIONS and _can(P11, operation, size_bytes, partial(run, 1)):
            takes += [Take(P11, depth, partial(run, depth)) for depth in P11_DEPTHS]
            if operation.name == "p256-sign":
                two = partial(self._run_two, operation, size_bytes)
                takes.append(Take(P11_TWO_CLIENTS, 2, two, clients=2, cpus=SHARED))
        yield takes

    def _run(self, operation: Operation, size_bytes: int, depth: int, milliseconds: int) -> Sample:
        arguments = [operation.name, size_bytes, milliseconds, depth]
        return read_sample(self._start(self._pinned, [LOAD_CPU], arguments))

    def _run_two(self, operation: Operation, size_bytes: int, milliseconds: int) -> Sample:
        clients = [self._start(self._shared, CPUS, [operation.name, size_bytes, milliseconds, 1]) for _ in range(2)]
        for client in clients:
            begin(client)
        return added_up([read_sample(client) for client in clients])

    def _start(self, server: P11Server, cpus: Collection[int], arguments: Sequence[object]) -> subprocess.Popen[str]:
        """Start one client; it has its session, or has failed, and waits."""
        environment = {**server.environment, "VKS_BENCH_PIN": self._hsm.pin}
        client = start_pinned([PROGRAMS / "vks-bench-p11", CLIENT_MODULE, *arguments], cpus, environment)
        if client.stderr is not None and (said := client.stderr.readline()) != READY:
            client.communicate()
            raise RuntimeError(said.strip())
        return client


class TpmSubject:
    """swtpm at a UNIX socket, asked through libtss2-esys; it takes one command at a time."""

    @contextmanager
    def takes(self, operation: Operation, size_bytes: int) -> Iterator[Sequence[Take]]:
        """One depth."""
        if operation.name not in TPM_OPERATIONS or size_bytes > TPM_BYTES_MAX:
            yield []
            return
        with SoftwareTpm() as tpm:
            pin(tpm.pid, [CRYPTO_CPU])
            run = partial(self._run, tpm, operation, size_bytes)
            yield [Take(TPM, 1, run)] if _can(TPM, operation, size_bytes, run) else []

    def _run(self, tpm: SoftwareTpm, operation: Operation, size_bytes: int, milliseconds: int) -> Sample:
        command = [PROGRAMS / "vks-bench-tpm", tpm.socket, operation.name, size_bytes, milliseconds]
        return read_sample(start_pinned(command, [LOAD_CPU]))


@contextmanager
def peers() -> Iterator[list[Subject]]:
    """Start those that are installed."""
    with ExitStack() as stack:
        found: list[Subject] = []
        missing = [package for path, package in PACKAGES.items() if not path.exists()]
        if missing:
            left_out(P11, f"no Debian package {', '.join(missing)}")
        else:
            hsm = stack.enter_context(SoftwareHsm())
            pinned = stack.enter_context(P11Server(hsm, "pinned.sock", [CRYPTO_CPU]))
            shared = stack.enter_context(P11Server(hsm, "shared.sock", CPUS))
            found.append(P11Subject(hsm, pinned, shared))
        if shutil.which("swtpm") is None:
            left_out(TPM, "no Debian package swtpm")
        else:
            found.append(TpmSubject())
        yield found


def _can(subject: str, operation: Operation, size_bytes: int, run: partial[Sample]) -> bool:
    """Whether it does the operation at all; this also makes its key."""
    try:
        run(TRY_MS)
    except RuntimeError as error:
        left_out(f"{subject}: {operation.name}, {size_bytes} bytes", str(error))
        return False
    return True
