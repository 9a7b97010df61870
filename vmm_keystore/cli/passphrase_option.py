# SPDX-License-Identifier: Apache-2.0
"""The option that says where a passphrase stands, as several commands take it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        readable=False,
        help="File whose first line is the passphrase; else it is asked.",
    ),
]
