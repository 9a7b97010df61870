# SPDX-License-Identifier: Apache-2.0
"""Entry of ``vhost-user-keystore``: what QEMU's conventions for vhost-user back-end programs want to have started.

The device is keystored's: this program stands for it, for one guest, in front of whoever starts and ends back-ends. It
never has the guest's socket. The front-end connects to keystored there, which knows the guest by that.

Source: QEMU, docs/interop/vhost-user.rst ("Backend program conventions") and docs/interop/vhost-user.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vmm_keystore.cli.failure import CommandError, ExitStatus, UnreachableError, UsageError
from vmm_keystore.cli.program import run_program
from vmm_keystore.cli.served_guest import GuestLostError, ServedGuest, find_guest
from vmm_keystore.cli.session import ControlSocketOption, Place, Session, StateDirOption

PROGRAM = "vhost-user-keystore"
CAPABILITIES_OPTION = "--print-capabilities"
CAPABILITIES = {"type": "crypto"}
"""VHostUserBackendCapabilities; the type has no features."""
DESCRIPTION = "vmm-keystore: keys of this host, for guests with its driver"
ASK_PERIOD_S = 2.0

app = typer.Typer(name=PROGRAM, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class _EndedBySignal(BaseException):
    """Whoever started us wants us to end."""


@app.command()
def back_end(
    socket_path: Annotated[
        Path | None,
        typer.Option("--socket-path", metavar="PATH", readable=False, help="Socket of the guest, as keystored has it."),
    ] = None,
    fd: Annotated[
        int | None,
        typer.Option("--fd", metavar="FDNUM", min=0, help="Refused: the guest is known by who connects to its socket."),
    ] = None,
    *,
    print_capabilities: Annotated[
        bool,
        typer.Option(CAPABILITIES_OPTION, help="Print the back-end's type as JSON, whatever else is given, and end."),
    ] = False,
    print_descriptor: Annotated[
        bool,
        typer.Option("--print-descriptor", help="Print the file by which QEMU's managers find this program, and end."),
    ] = False,
    binary: Annotated[
        Path | None,
        typer.Option(
            "--binary",
            metavar="PATH",
            readable=False,
            help="What --print-descriptor names as the program; else this one.",
        ),
    ] = None,
    control_socket: ControlSocketOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Stand for the vault device of one guest, for programs that start a back-end for each vhost-user device.

    It follows QEMU's conventions for back-end programs, as far as a device can that is served by keystored: that must
    be running, have the guest (vmm-keystore guest add NAME --socket PATH), and admit this program's user (vmm-keystore
    serve --auditor). QEMU connects to keystored at PATH. Meanwhile this program stays in the foreground. It ends with
    status 0 on SIGTERM or SIGINT, which leaves the device as it is, and with an error when the guest is removed or
    keystored cannot listen for it. While keystored is restarted it waits.

    Where there is no package: vhost-user-keystore --print-descriptor >/etc/qemu/vhost-user/50-vmm-keystore.json
    """
    if print_capabilities:
        _print_capabilities()
        return
    if print_descriptor:
        program = (binary or Path(sys.argv[0])).absolute()
        print(json.dumps({"description": DESCRIPTION, **CAPABILITIES, "binary": str(program)}, indent=2))
        return
    if binary is not None:
        raise UsageError("--binary goes with --print-descriptor", f"{PROGRAM} --help")
    path = _choose_socket(socket_path, fd)
    with _until_a_signal():
        _stand_for_device(Session(Place(control_socket, state_dir)), path)


def main() -> None:
    """Run and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run once; returns the exit status, having said on stderr what went wrong."""
    if CAPABILITIES_OPTION in arguments:
        # The conventions: nothing else that is given matters, not even what would be an error.
        _print_capabilities()
        return ExitStatus.OK
    return run_program(app, PROGRAM, arguments)


def _print_capabilities() -> None:
    print(json.dumps(CAPABILITIES, indent=2), flush=True)


def _choose_socket(socket_path: Path | None, fd: int | None) -> Path:
    if socket_path is not None and fd is not None:
        raise UsageError("--socket-path and --fd exclude each other", "give --socket-path alone")
    if fd is not None:
        raise CommandError(
            "--fd cannot be served: a socket that somebody else has made says who that was, not which guest it is",
            "give --socket-path, with the socket that keystored has for the guest, and have QEMU connect there",
        )
    if socket_path is None:
        raise UsageError("missing option '--socket-path'", f"{PROGRAM} --help")
    # As keystored writes it; a symbolic link is left as it is.
    return Path(os.path.normpath(socket_path.absolute()))


def _stand_for_device(session: Session, path: Path) -> NoReturn:
    guest = find_guest(session.keystored, path)
    _say(f"guest {guest.name}: keystored listens on {path}")
    silence_said = False
    while True:
        time.sleep(ASK_PERIOD_S)
        trouble = _ask(session, guest)
        if trouble and not silence_said:
            _say(f"guest {guest.name}: {trouble}; waiting for keystored")
        elif silence_said and not trouble:
            _say(f"guest {guest.name}: keystored is back")
        silence_said = bool(trouble)


def _ask(session: Session, guest: ServedGuest) -> str:
    try:
        guest.check(session.keystored)
    except GuestLostError:
        raise
    except (CommandError, UnreachableError) as error:
        # The guest's worker goes on without keystored.
        return error.message
    return ""


def _say(text: str) -> None:
    # A log that nobody reads any more is no reason to end.
    with contextlib.suppress(OSError):
        print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _until_a_signal() -> Iterator[None]:
    """Leave the block when SIGTERM or SIGINT comes, also in the middle of a request."""
    ours = (signal.SIGTERM, signal.SIGINT)

    def end(*_: object) -> None:
        ignore()
        raise _EndedBySignal

    def ignore() -> None:
        for number in ours:
            signal.signal(number, signal.SIG_IGN)

    for number in ours:
        signal.signal(number, end)
    try:
        with contextlib.suppress(_EndedBySignal):
            yield
    finally:
        ignore()
