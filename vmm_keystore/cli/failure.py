# SPDX-License-Identifier: Apache-2.0
"""How a command fails: the exit status that scripts rely on, and the failures only the CLI knows."""

from enum import IntEnum

from vmm_keystore.errors import DaemonError, InvalidRequestError, KeystoreError, PinRefusedError


class ExitStatus(IntEnum):
    """What the program returns to its caller."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    PIN_REFUSED = 4
    """Starting again with the same PIN may lock the token: the unit does not."""


class CommandError(KeystoreError):
    """The command did not do what was asked, for the reason keystored or a program of ours gave."""


class MissingError(CommandError):
    """keystored has nothing of that name."""


class UsageError(InvalidRequestError):
    """The arguments contradict each other, lack something or have the wrong form."""


class UnreachableError(DaemonError):
    """No answer came from keystored: not running, not permitted, or gone meanwhile."""


def exit_status(error: KeystoreError) -> ExitStatus:
    """Say which exit status *error* ends the program with."""
    match error:
        case UnreachableError():
            return ExitStatus.UNREACHABLE
        case PinRefusedError():
            return ExitStatus.PIN_REFUSED
        case UsageError():
            return ExitStatus.USAGE
        case _:
            return ExitStatus.FAILED
