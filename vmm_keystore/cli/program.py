# SPDX-License-Identifier: Apache-2.0
"""How a program of ours runs: the one place where a failure becomes text and exit status."""

from __future__ import annotations

import os
import signal
import sys

import typer

from vmm_keystore.cli.failure import ExitStatus, exit_status
from vmm_keystore.errors import KeystoreError


def run_program(app: typer.Typer, name: str, arguments: list[str]) -> int:
    """Run *app* as the program *name*; returns the exit status, having said on stderr what went wrong."""
    try:
        answer = app(arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except KeystoreError as error:
        return _fail(name, exit_status(error), error.message, error.hint)
    except typer.TyperException as error:
        return _usage(name, error)
    except typer.Abort:
        return _fail(name, ExitStatus.FAILED, "interrupted")
    except BrokenPipeError:
        # The reader of our output went away; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return _fail(name, ExitStatus.FAILED, f"{error.filename or 'cannot go on'}: {reason}")
    return answer if isinstance(answer, int) else ExitStatus.OK


def _usage(name: str, error: typer.TyperException) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return ExitStatus.USAGE
    context = getattr(error, "ctx", None)
    path = context.command_path if context else name
    message = " ".join(error.format_message().split()).rstrip(".")
    return _fail(name, ExitStatus(error.exit_code), message[:1].lower() + message[1:], f"{path} --help")


def _fail(name: str, status: ExitStatus, message: str, hint: str = "") -> int:
    print(f"{name}: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return status
