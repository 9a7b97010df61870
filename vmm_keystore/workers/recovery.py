# SPDX-License-Identifier: Apache-2.0
"""Shares of the KEK: vks-recovery makes them of what the custodian gives it, and a KEK file of them again.

The KEK and its shares exist in that program, and in the files that it writes by the descriptors it is given.
"""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from vmm_keystore.workers.programs import program_path
from vmm_keystore.workers.secret_program import SecretProgramError, failure_of, run_program

PROGRAM = "vks-recovery"
THRESHOLD_MIN = 2
SHARES_MAX = 16
OFFER_ID_DIGITS = 32
"""Of the offer's 96; the others are its public key."""


def split_kek(threshold: int, share_fds: Sequence[int], export: Callable[[str, str], bytes]) -> None:
    """Write a share of the KEK into each of the files.

    Args:
        threshold: how many of them give the KEK again.
        share_fds: empty files.
        export: gives the KEK, wrapped to an offer: its id and public key, both in hex.

    Raises:
        SecretProgramError: no shares were made; what was written into the files is no good.
    """
    command: list[str | Path] = [program_path(PROGRAM), "split", str(threshold), *map(str, share_fds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=share_fds) as program:
        try:
            offer = program.stdout.readline().decode().strip() if program.stdout else ""
            wrapped = export(offer[:OFFER_ID_DIGITS], offer[OFFER_ID_DIGITS:]) if offer else b""
        except BaseException:
            program.kill()
            raise
        _, said = program.communicate(wrapped)
    if program.returncode != 0:
        raise failure_of(PROGRAM, program.returncode, said)


def combine_shares(kek_fd: int, share_fds: Sequence[int]) -> str:
    """Make a KEK file of shares.

    Args:
        kek_fd: an empty file, of this user alone.
        share_fds: files with a share each.

    Returns:
        What the KEK is told by, in hex.

    Raises:
        SecretProgramError: the shares are no good; the message says which.
    """
    words = ["combine", str(kek_fd), *map(str, share_fds)]
    return run_program(PROGRAM, words, pass_fds=[kek_fd, *share_fds]).decode().strip()


__all__ = ["SHARES_MAX", "THRESHOLD_MIN", "SecretProgramError", "combine_shares", "split_kek"]
