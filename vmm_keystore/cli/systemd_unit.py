# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore systemd-unit``: the service that keeps keystored running, with guests at work while it is restarted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmm_keystore.cli.session import ControlSocketOption, Place, StateDirOption

UNIT = """\
[Unit]
Description=Key vault for virtual machines
After=local-fs.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=30s
ExecStart={command}
Restart=on-failure
RestartSec=300ms

# Guests keep their devices over a crash and over "systemctl restart": their workers go on, and systemd keeps what the
# next keystored needs to take them over. "systemctl stop" lets go of it, and then the workers end by themselves.
KillMode=process
FileDescriptorStoreMax=16384

LimitNOFILE=524288
LimitMEMLOCK=160M
LimitCORE=0
UMask=0077

# What keystored has no use for, taken from whoever takes it over. Guests' sockets may lie anywhere but in the system's
# own folders and at home; workers still become users with namespaces of their own.
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_CHOWN CAP_KILL CAP_SETGID CAP_SETPCAP CAP_SETUID
{out_of_reach}PrivateDevices=yes
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=user mnt net ipc uts
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


OUT_OF_REACH = {
    "ProtectSystem=full": ("/usr", "/boot", "/efi", "/etc"),
    "ProtectHome=read-only": ("/home", "/root", "/run/user"),
}
"""What keystored may not write to by each directive (systemd.exec(5), SANDBOXING)."""


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command("systemd-unit")(systemd_unit)


def systemd_unit(
    ctx: typer.Context,
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
) -> None:
    """Print a systemd unit that runs keystored from where this program is installed.

    vmm-keystore systemd-unit >/etc/systemd/system/vmm-keystore.service; then systemctl daemon-reload, and
    systemctl enable --now vmm-keystore.

    keystored cannot write to the system's folders and home folders then, unless its own files are there. For guests'
    sockets in home folders: ProtectHome=no, by systemctl edit vmm-keystore. Nor has it a network, which event handlers may
    need: PrivateNetwork=no, IPAddressDeny= and RestrictAddressFamilies=AF_INET AF_INET6.
    """
    outer: Place = ctx.obj or Place()
    folder = (state_dir or outer.state_dir or Place().resolve_state_dir(os.environ)).absolute()
    socket = control_socket or outer.control_socket
    words = [str(Path(sys.argv[0]).absolute()), "serve", "--descriptor-store", "systemd", "--state-dir", str(folder)]
    words += ["--control-socket", str(socket.absolute())] if socket else []
    words += ["--user", user] if user else []
    words += ["--event-handlers", str(event_handlers.absolute())] if event_handlers else []
    written = [folder.resolve(), *([socket.absolute().parent.resolve()] if socket else [])]
    out_of_reach = "".join(f"{line}\n" for line, tops in OUT_OF_REACH.items() if not _reaches(written, tops))
    print(UNIT.format(command=" ".join(map(quote, words)), out_of_reach=out_of_reach), end="")


def _reaches(written: list[Path], tops: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(top) for path in written for top in tops)


def quote(word: str) -> str:
    """Write one word of a command line as systemd reads it (systemd.service(5), COMMAND LINES)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped == word and not set(word) & set(" \t'") else f'"{escaped}"'
