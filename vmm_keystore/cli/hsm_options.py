# SPDX-License-Identifier: Apache-2.0
"""Options that say which PKCS#11 token opens the key encryption key: of ``serve`` and of ``restore``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from vmm_keystore.cli.failure import UsageError
from vmm_keystore.policy.hsm import HsmPlace

HsmModule = Annotated[
    Path | None,
    typer.Option(
        "--hsm-module",
        metavar="PATH",
        readable=False,
        help="The vendor's PKCS#11 module, where a token opens the root of trust: an absolute path to a file that only "
        "root can change. It runs in a process of its own.",
    ),
]
HsmTokenLabel = Annotated[
    str | None,
    typer.Option(
        "--hsm-token",
        metavar="LABEL",
        help="Label of the token that root change hsm seals to, where there are several. What is sealed already is "
        "opened by the token of its serial number, whatever that is called.",
    ),
]
HsmPin = Annotated[
    Path | None,
    typer.Option(
        "--hsm-pin",
        metavar="FILE",
        readable=False,
        help="File with the PIN of the token's user, in its first line.",
    ),
]
HsmEnvironment = Annotated[
    list[str] | None,
    typer.Option(
        "--hsm-env",
        metavar="NAME",
        help="Variable of the environment that the module gets to see, such as SOFTHSM2_CONF; it sees no other. May be "
        "given several times.",
    ),
]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_LOADER = ("LD_", "GLIBC_")


def hsm_place(
    module: Path | None, token: str | None, pin: Path | None, environment: list[str] | None
) -> HsmPlace | None:
    """Put the options together; None where none was given.

    Raises:
        UsageError: one is missing or has the wrong form.
    """
    if module is None:
        if token or pin or environment:
            raise UsageError("--hsm-token, --hsm-pin and --hsm-env go with --hsm-module")
        return None
    if pin is None:
        raise UsageError("--hsm-module takes --hsm-pin FILE, the file with the token's pin")
    if not module.is_absolute():
        raise UsageError(f"--hsm-module takes an absolute path, which {module} is not")
    for name in environment or ():
        if not _NAME.fullmatch(name):
            raise UsageError(f"--hsm-env takes the name of a variable, which {name} is not")
        if name.startswith(_OF_THE_LOADER):
            raise UsageError(f"--hsm-env does not take {name}: it would change what is loaded beside the module")
    return HsmPlace(module, pin, token or "", tuple(environment or ()))
