# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore completion``: the script a shell needs to complete our commands."""

from __future__ import annotations

from typing import Annotated

import typer

from vmm_keystore.cli.failure import UsageError

app = typer.Typer()

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "vmm-keystore"
VARIABLE = "_VMM_KEYSTORE_COMPLETE"
"""Set by the shell's script when it calls us for proposals."""


def prepare() -> None:
    """Teach typer to answer a shell; it does so by itself only with options of its own that install files."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # noqa: PLC0415  # only when a shell asks

    completion_init()


@app.command("completion")
def completion(shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> None:
    """Print the completion script of a shell.

    For bash: eval "$(vmm-keystore completion bash)"
    """
    if shell not in SHELLS:
        raise UsageError(f"no completion for the shell '{shell}'", f"one of: {', '.join(SHELLS)}")
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # noqa: PLC0415

    print(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))
