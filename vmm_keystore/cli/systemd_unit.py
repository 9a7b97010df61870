# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore systemd-unit``: the service that keeps keystored running, with guests at work while it is restarted."""

from __future__ import annotations

import os
import pwd
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vmm_keystore.cli.session import (
    CONTROL_SOCKET_NAME,
    DEFAULT_CONTROL_SOCKET,
    ControlSocketOption,
    Place,
    StateDirOption,
)
from vmm_keystore.cli.systemd_texts import SERVICE, SOCKET, SYSUSERS, TMPFILES
from vmm_keystore.process import CONTROL_FD_NAME, DEFAULT_USER

app = typer.Typer()

SOCKET_UNIT = "vmm-keystore.socket"

OUT_OF_REACH = {
    "ProtectSystem=full": ("/usr", "/boot", "/efi", "/etc"),
    "ProtectHome=read-only": ("/home", "/root", "/run/user"),
}
"""What keystored may not write to by each directive (systemd.exec(5), SANDBOXING)."""


class Kind(StrEnum):
    """What is wanted."""

    SERVICE = "service"
    SOCKET = "socket"
    SYSUSERS = "sysusers"
    TMPFILES = "tmpfiles"


@app.command("systemd-unit")
def systemd_unit(
    ctx: typer.Context,
    kind: Annotated[
        Kind,
        typer.Argument(
            help="The service; its control socket, which is there before keystored is; the user that keystored "
            "becomes (sysusers.d); or its folders (tmpfiles.d)."
        ),
    ] = Kind.SERVICE,
    *,
    state_dir: StateDirOption = None,
    control_socket: ControlSocketOption = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="User that keystored becomes; see serve --help.")
    ] = None,
    event_handlers: Annotated[
        Path | None,
        typer.Option(
            "--event-handlers", metavar="FILE", readable=False, help="Who is told of events; see serve --help."
        ),
    ] = None,
    program: Annotated[
        Path | None,
        typer.Option("--program", metavar="PATH", readable=False, help="What the service starts; else this program."),
    ] = None,
) -> None:
    """Print a systemd unit that runs keystored from where this program is installed.

    vmm-keystore systemd-unit >/etc/systemd/system/vmm-keystore.service; then systemctl daemon-reload, and
    systemctl enable --now vmm-keystore.

    With a user of its own, and with the control socket there before keystored, first: systemd-unit sysusers
    >/etc/sysusers.d/vmm-keystore.conf, systemd-sysusers; systemd-unit tmpfiles >/etc/tmpfiles.d/vmm-keystore.conf,
    systemd-tmpfiles --create; systemd-unit socket >/etc/systemd/system/vmm-keystore.socket. Give all of them the same
    options.

    keystored cannot write to the system's folders and home folders then, unless its own files are there. For guests'
    sockets in home folders: ProtectHome=no, by systemctl edit vmm-keystore. Nor has it a network, which event handlers may
    need: PrivateNetwork=no, IPAddressDeny= and RestrictAddressFamilies=AF_INET AF_INET6.
    """
    outer: Place = ctx.obj or Place()
    folder = (state_dir or outer.state_dir or Place().resolve_state_dir(os.environ)).absolute()
    socket = control_socket or outer.control_socket
    socket = socket.absolute() if socket else None
    match kind:
        case Kind.SERVICE:
            print(_service(program or Path(sys.argv[0]), folder, socket, user, event_handlers), end="")
        case Kind.SOCKET:
            print(_socket(socket or folder / CONTROL_SOCKET_NAME, folder, user or _user_here()), end="")
        case Kind.SYSUSERS:
            print(SYSUSERS.format(user=user or DEFAULT_USER, home=quote(str(folder))), end="")
        case Kind.TMPFILES:
            folders = {"state_dir": quote(str(folder)), "runtime_dir": DEFAULT_CONTROL_SOCKET.parent}
            print(TMPFILES.format(user=user or DEFAULT_USER, **folders), end="")


def _service(program: Path, folder: Path, socket: Path | None, user: str | None, event_handlers: Path | None) -> str:
    words = [str(program.absolute()), "serve", "--descriptor-store", "systemd", "--state-dir", str(folder)]
    words += ["--control-socket", str(socket)] if socket else []
    words += ["--user", user] if user else []
    words += ["--event-handlers", str(event_handlers.absolute())] if event_handlers else []
    written = [folder.resolve(), *([socket.parent.resolve()] if socket else [])]
    out_of_reach = "".join(f"{line}\n" for line, tops in OUT_OF_REACH.items() if not _reaches(written, tops))
    command = " ".join(quote(word).replace("$", "$$") for word in words)
    return SERVICE.format(command=command, out_of_reach=out_of_reach, socket_unit=SOCKET_UNIT)


def _socket(path: Path, folder: Path, user: str) -> str:
    # The state folder is nobody else's.
    mode = "0700" if path.parent == folder else "0755"
    return SOCKET.format(socket=percent(str(path)), name=CONTROL_FD_NAME, user=user, folder_mode=mode)


def _user_here() -> str:
    """Whom a keystored started by root becomes on this machine, when nobody names anybody."""
    try:
        return pwd.getpwnam(DEFAULT_USER).pw_name
    except KeyError:
        return "root"


def _reaches(written: list[Path], tops: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(top) for path in written for top in tops)


def percent(text: str) -> str:
    """Write text where systemd replaces specifiers."""
    return text.replace("%", "%%")


def quote(word: str) -> str:
    """Write one word as systemd reads it (systemd.syntax(7), QUOTING); a command line doubles dollar signs as well."""
    escaped = percent(word.replace("\\", "\\\\").replace('"', '\\"'))
    return escaped if escaped == word and not set(word) & set(" \t'$") else f'"{escaped}"'
