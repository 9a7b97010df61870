# SPDX-License-Identifier: Apache-2.0
"""Entry of ``vmm-keystore``: the tree of commands, and the one place where a failure becomes text and exit status."""

from __future__ import annotations

import os
import signal
import sys

import typer

from vmm_keystore.cli import completion
from vmm_keystore.cli.command_tree import CommandTree
from vmm_keystore.cli.failure import ExitStatus, exit_status
from vmm_keystore.cli.session import ControlSocketOption, Place, StateDirOption
from vmm_keystore.errors import KeystoreError

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
    try:
        answer = app(arguments, prog_name="vmm-keystore", standalone_mode=False)
        sys.stdout.flush()
    except KeystoreError as error:
        return _fail(exit_status(error), error.message, error.hint)
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        return _fail(ExitStatus.FAILED, "interrupted")
    except BrokenPipeError:
        # The reader of our output went away; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _fail(ExitStatus.FAILED, f"{error.filename or 'cannot go on'}: {(error.strerror or str(error)).lower()}")
    return answer if isinstance(answer, int) else ExitStatus.OK


def _usage(error: typer.TyperException) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return ExitStatus.USAGE
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "vmm-keystore"
    message = " ".join(error.format_message().split()).rstrip(".")
    return _fail(ExitStatus(error.exit_code), message[:1].lower() + message[1:], f"{path} --help")


def _fail(status: ExitStatus, message: str, hint: str = "") -> int:
    print(f"vmm-keystore: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return status
