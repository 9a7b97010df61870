# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between keystored and its C programs: a branch of WorkerError.

::

    WorkerError
    ├── ProgramError
    │   ├── ProgramMissingError     not installed
    │   ├── ProgramLostError        ended, or did not answer in time
    │   ├── ProtocolError           sent something that is no message of ours
    │   └── ProgramRefusedError     answered with an errno
    └── StateMemoryError            not usable, or not to be believed
"""

import os
from pathlib import Path

from vmm_keystore.errors import WorkerError


class ProgramError(WorkerError):
    """A program of ours did not do what it was asked."""


class ProgramMissingError(ProgramError):
    """A program is not installed."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(f"{name} is not installed at {path}", "install the package again")


class ProgramLostError(ProgramError):
    """The program ended or hung; it is being replaced."""


class WorkerGoneError(ProgramLostError):
    """The worker that it was for has ended."""


class VaultLockedError(ProgramLostError):
    """The custodian has no KEK: nothing can be opened until somebody unlocks it."""


class ProtocolError(ProgramError):
    """The program sent what is no message; it is ended."""


class ProgramRefusedError(ProgramError):
    """The program answered with an error of its own."""

    def __init__(self, what: str, error: int) -> None:
        super().__init__(f"{what}: {os.strerror(error).lower()}")
        self.errno = error


class StateMemoryError(WorkerError):
    """State memory cannot be used, or what is in it cannot be believed."""
