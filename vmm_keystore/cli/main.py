# SPDX-License-Identifier: Apache-2.0
"""Entry of ``vmm-keystore``: the tree of commands."""

from __future__ import annotations

import os
import sys

import typer

from vmm_keystore.cli import completion
from vmm_keystore.cli.command_tree import CommandTree
from vmm_keystore.cli.program import run_program
from vmm_keystore.cli.session import ControlSocketOption, Place, StateDirOption

app = typer.Typer(
    name="vmm-keystore",
    cls=CommandTree,
    help="Key vault for virtual machines: guests use keys they can never read.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def main_options(
    ctx: typer.Context, control_socket: ControlSocketOption = None, state_dir: StateDirOption = None
) -> None:
    """Key vault for virtual machines: guests use keys they can never read."""
    ctx.obj = Place(control_socket, state_dir)


def main() -> None:
    """Run one command and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit status, having said on stderr what went wrong."""
    if completion.VARIABLE in os.environ:
        completion.prepare()
    return run_program(app, "vmm-keystore", arguments)
