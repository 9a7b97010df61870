# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token as the command line names it, and as it names itself."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HsmPlace:
    """Where the token is found.

    *module* is the vendor's library, by an absolute path; *pin* the file with the user's PIN, which no Python reads;
    *token* the label of the one to seal to, empty where there is only one; *environment* names the variables that the
    module gets to see.
    """

    module: Path
    pin: Path
    token: str = ""
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HsmToken:
    """What a token says of itself, without blanks at the end and without control characters."""

    label: str
    serial: str
