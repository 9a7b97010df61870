# SPDX-License-Identifier: Apache-2.0
"""Which key, and which of its versions, as several commands take it."""

from __future__ import annotations

from typing import Annotated

import typer

from vmm_keystore.cli.complete import complete_key

NewLabel = Annotated[str, typer.Argument(metavar="LABEL", help="Letters, digits, '.', '_' and '-', at most 63.")]
Inactive = Annotated[bool, typer.Option("--inactive", help="Leave the key in pre-activation.")]
Label = Annotated[str, typer.Argument(metavar="LABEL", help="Label of the key.", autocompletion=complete_key)]
Version = Annotated[
    int | None, typer.Option("--version", metavar="N", min=1, help="This version of the key, not the current one.")
]
