# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore systemd-unit``: the services that keep keystored running, with guests at work while it is restarted."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from collections.abc import Sequence
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
from vmm_keystore.cli.systemd_texts import (
    CALLS_NEVER,
    CONFINEMENT,
    HANDLER_SERVICE,
    LIMITS,
    PROGRAM_SERVICE,
    PROGRAM_SOCKET,
    RESTRICTIONS,
    SERVICE,
    SOCKET,
    SPAWNER_CAPABILITIES,
    STATE_FOLDER,
    SYSUSERS,
    TMPFILES,
)
from vmm_keystore.process import CONTROL_FD_NAME, DEFAULT_USER

app = typer.Typer()

SERVICE_UNIT = "vmm-keystore.service"
SOCKET_UNIT = "vmm-keystore.socket"
STATE_FOLDERS = Path("/var/lib")
PROGRAM_SOCKETS = Path("/run/vmm-keystore-programs")
"""Root's folder: where a user may put files, systemd, which is root, gives none away."""
PROGRAMS = {
    "zygote": ("vks-zygote", "Workers of the key vault for virtual machines"),
    "custodian": ("vks-custodian", "Custodian of the key vault for virtual machines"),
    "handler": ("vks-handler", "Event handler of the key vault for virtual machines"),
}
"""Programs that have rights which keystored has not, and what their services are called."""

OUT_OF_REACH = {
    "ProtectSystem=full": ("/usr", "/boot", "/efi", "/etc"),
    "ProtectHome=read-only": ("/home", "/root", "/run/user"),
}
"""What keystored may not write to by each directive (systemd.exec(5), SANDBOXING)."""


class Kind(StrEnum):
    """What is wanted."""

    SERVICE = "service"
    SOCKET = "socket"
    ZYGOTE = "zygote"
    ZYGOTE_SOCKET = "zygote-socket"
    CUSTODIAN = "custodian"
    CUSTODIAN_SOCKET = "custodian-socket"
    HANDLER = "handler"
    HANDLER_SOCKET = "handler-socket"
    SYSUSERS = "sysusers"
    TMPFILES = "tmpfiles"


@app.command("systemd-unit")
def systemd_unit(
    ctx: typer.Context,
    kind: Annotated[
        Kind,
        typer.Argument(
            help="The service; its control socket, which is there before keystored is; the services of the three "
            "programs that need rights, and the sockets at which keystored has them started; the user that keystored "
            "runs as (sysusers.d); or its folders (tmpfiles.d)."
        ),
    ] = Kind.SERVICE,
    *,
    state_dir: StateDirOption = None,
    control_socket: ControlSocketOption = None,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="User that keystored runs as; not root.")
    ] = DEFAULT_USER,
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
    programs: Annotated[
        Path | None,
        typer.Option(
            "--programs",
            metavar="DIR",
            readable=False,
            help="Where vks-zygote, vks-custodian and vks-handler are; else beside this.",
        ),
    ] = None,
) -> None:
    """Print a systemd unit that runs keystored, as a user without rights, from where this program is installed.

    Each has its file. In /etc/systemd/system: vmm-keystore.service; zygote >vmm-keystore-zygote@.service, zygote-socket
    >vmm-keystore-zygote.socket; custodian and handler, custodian-socket and handler-socket alike; and, for a control
    socket that is there before keystored, socket >vmm-keystore.socket. Then sysusers
    >/etc/sysusers.d/vmm-keystore.conf, systemd-sysusers; tmpfiles
    >/etc/tmpfiles.d/vmm-keystore.conf, systemd-tmpfiles --create. Then systemctl daemon-reload, and systemctl enable
    --now vmm-keystore. Give all of them the same options. The user must be able to enter the folder that this program
    is installed in.

    keystored cannot write to the system's folders and home folders, unless its own files are there. For guests'
    sockets in home folders: ProtectHome=no, by systemctl edit vmm-keystore. Nor has it a network, which webhooks
    need: PrivateNetwork=no, IPAddressDeny= and RestrictAddressFamilies=AF_INET AF_INET6.

    Event handlers' programs have a network, a system and home folders that they cannot write to, and a /tmp that goes
    with them. They can have less or more by systemctl edit vmm-keystore-handler@, such as a folder that all may write
    to: ReadWritePaths=/var/spool/alerts.
    """
    if user == "root":
        raise typer.BadParameter("keystored has no rights there, and root is nobody without them", param_hint="--user")
    outer: Place = ctx.obj or Place()
    folder = (state_dir or outer.state_dir or Place().resolve_state_dir(os.environ)).absolute()
    socket = control_socket or outer.control_socket
    socket = socket.absolute() if socket else None
    match kind:
        case Kind.SERVICE:
            print(_service(program or Path(sys.argv[0]), folder, socket, user, event_handlers), end="")
        case Kind.SOCKET:
            print(_socket(socket or folder / CONTROL_SOCKET_NAME, folder, user), end="")
        case Kind.ZYGOTE | Kind.CUSTODIAN | Kind.HANDLER:
            own = (folder, DEFAULT_CONTROL_SOCKET.parent, *([socket] if socket else []), PROGRAM_SOCKETS)
            print(_program_service(kind, programs, user, own), end="")
        case Kind.ZYGOTE_SOCKET | Kind.CUSTODIAN_SOCKET | Kind.HANDLER_SOCKET:
            program_name, _description = PROGRAMS[kind.value.removesuffix("-socket")]
            path = PROGRAM_SOCKETS / f"{program_name}.sock"
            print(PROGRAM_SOCKET.format(program=program_name, socket=path, user=user), end="")
        case Kind.SYSUSERS:
            print(SYSUSERS.format(user=user, home=quote(str(folder))), end="")
        case Kind.TMPFILES:
            folders = {"state_dir": quote(str(folder)), "runtime_dir": DEFAULT_CONTROL_SOCKET.parent}
            print(TMPFILES.format(user=user, group=_group_of(user), **folders), end="")


def _service(program: Path, folder: Path, socket: Path | None, user: str, event_handlers: Path | None) -> str:
    words = [str(program.absolute()), "serve", "--descriptor-store", "systemd", "--state-dir", str(folder)]
    words += ["--program-sockets", str(PROGRAM_SOCKETS)]
    words += ["--control-socket", str(socket)] if socket else []
    words += ["--event-handlers", str(event_handlers.absolute())] if event_handlers else []
    written = [folder.resolve(), *([socket.parent.resolve()] if socket else [])]
    out_of_reach = "".join(f"{line}\n" for line, tops in OUT_OF_REACH.items() if not _reaches(written, tops))
    of_systemd = folder.is_relative_to(STATE_FOLDERS)
    return SERVICE.format(
        user=user,
        command=command_line(words),
        program_sockets=" ".join(f"vmm-keystore-{name}.socket" for name in PROGRAMS),
        socket_unit=SOCKET_UNIT,
        state_folder=STATE_FOLDER.format(name=quote(str(folder.relative_to(STATE_FOLDERS)))) if of_systemd else "",
        runtime_folder=DEFAULT_CONTROL_SOCKET.parent.name,
        out_of_reach=out_of_reach,
        forbidden_calls=CALLS_NEVER,
        limits=LIMITS,
        confinement=CONFINEMENT,
    )


def _program_service(kind: Kind, folder: Path | None, user: str, own: Sequence[Path]) -> str:
    if folder is None:
        from vmm_keystore.workers.programs import LIBEXEC  # noqa: PLC0415  # loads the C extension

        folder = LIBEXEC
    name, description = PROGRAMS[kind.value]
    text = HANDLER_SERVICE if kind is Kind.HANDLER else PROGRAM_SERVICE
    return text.format(
        description=description,
        service_unit=SERVICE_UNIT,
        user=user,
        command=command_line([str(folder.absolute() / name)]),
        shown=f"BindReadOnlyPaths={quote(str(folder.absolute()))}\n" if is_temporary(folder) else "",
        hidden=" ".join(quote(f"-{path}") for path in own),
        capabilities=SPAWNER_CAPABILITIES,
        forbidden_calls=CALLS_NEVER,
        limits=LIMITS,
        confinement=CONFINEMENT,
        restrictions=RESTRICTIONS,
    )


def _socket(path: Path, folder: Path, user: str) -> str:
    # The state folder is nobody else's.
    mode = "0700" if path.parent == folder else "0755"
    return SOCKET.format(socket=percent(str(path)), name=CONTROL_FD_NAME, user=user, folder_mode=mode)


def _group_of(user: str) -> str:
    """Their own group; that of the same name where the user is made by what we print for systemd-sysusers."""
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return user


def is_temporary(folder: Path) -> bool:
    """Whether a service with a /tmp of its own does not see it."""
    return any(folder.resolve().is_relative_to(top) for top in ("/tmp", "/var/tmp"))  # noqa: S108 - looked at only


def _reaches(written: list[Path], tops: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(top) for path in written for top in tops)


def percent(text: str) -> str:
    """Write text where systemd replaces specifiers."""
    return text.replace("%", "%%")


def quote(word: str) -> str:
    """Write one word as systemd reads it (systemd.syntax(7), QUOTING); a command line doubles dollar signs as well."""
    escaped = percent(word.replace("\\", "\\\\").replace('"', '\\"'))
    return escaped if escaped == word and not set(word) & set(" \t'$") else f'"{escaped}"'


def command_line(words: Sequence[str]) -> str:
    """Write a command (systemd.service(5), COMMAND LINES)."""
    return " ".join(quote(word).replace("$", "$$") for word in words)
