# SPDX-License-Identifier: Apache-2.0
"""What is said of a key or of its version, as several commands take it."""

from __future__ import annotations

from typing import Annotated

import typer

NewLabel = Annotated[str, typer.Argument(metavar="LABEL", help="Letters, digits, '.', '_' and '-', at most 63.")]
NewTags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME=VALUE", help="A tag that the key shall have; may be given several times."),
]
Inactive = Annotated[bool, typer.Option("--inactive", help="Leave the key in pre-activation.")]
Version = Annotated[
    int | None, typer.Option("--version", metavar="N", min=1, help="This version of the key, not the current one.")
]
