# SPDX-License-Identifier: Apache-2.0
"""Runs a C program that has a secret: most encrypt it to the custodian, vks-recovery has the KEK.

The secret exists in that program only; what comes back through the pipe is ciphertext.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmm_keystore.workers.programs import program_path

IMPORT = "vks-import"
WRAPPED_BYTES = 1 + 32 + 4 + 16 + 32
"""VKS_IMPORT_WRAPPED_OVERHEAD, and what a root of trust gives: VKS_TPM_SECRET_BYTES, VKS_HSM_SECRET_BYTES."""


class SecretProgramError(Exception):
    """The program ended with *status* and said why."""

    def __init__(self, status: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


def wrap_secret(offer: str, arguments: Sequence[str | Path], *, pass_fds: Sequence[int] = ()) -> bytes:
    """Have a secret read and wrapped.

    Args:
        offer: id and public key of the custodian's offer, in hex.
        arguments: what to read, as ``vks-import --help`` says.
        pass_fds: descriptors that the arguments name.

    Raises:
        SecretProgramError: it could not; the message is the program's own.
    """
    return run_program(IMPORT, ["--offer", offer, *arguments], pass_fds=pass_fds)


def run_program(
    name: str,
    arguments: Sequence[str | Path],
    *,
    stdin: bytes | None = None,
    pass_fds: Sequence[int] = (),
    timeout_s: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end and give what it wrote; input and environment are ours unless it is said otherwise.

    Raises:
        SecretProgramError: it failed; the message is its own.
        TimeoutExpired: it did not end in time, and was killed.
    """
    command = [program_path(name), *arguments]
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        check=False,
        pass_fds=pass_fds,
        timeout=timeout_s,
        env=environment,
    )
    if done.returncode == 0:
        return done.stdout
    raise failure_of(name, done.returncode, done.stderr)


def failure_of(name: str, status: int, stderr: bytes) -> SecretProgramError:
    """Read what a program said before it ended with *status*."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line]
    message = next((line for line in lines if not line.startswith("hint: ")), f"it ended with {status}")
    hint = next((line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")), "")
    return SecretProgramError(status, message.removeprefix(f"{name}: "), hint)
