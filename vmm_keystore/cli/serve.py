# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore serve``: runs keystored in the foreground."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vmm_keystore.cli.data_plane_options import (
    Accelerators,
    NoncePool,
    PollUs,
    PollWorkers,
    Rings,
    WorkerCpus,
    parse_cpus,
)
from vmm_keystore.cli.hsm_options import HsmEnvironment, HsmModule, HsmPin, HsmTokenLabel, hsm_place
from vmm_keystore.cli.session import CONTROL_SOCKET_NAME, ControlSocketOption, Place, StateDirOption
from vmm_keystore.policy.approval import APPROVALS_MAX, APPROVALS_MIN, ApprovalRules
from vmm_keystore.settings import HISTOGRAMS_MAX, Settings

app = typer.Typer()

HISTOGRAMS_LIMIT = 1_000_000


Who = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHO",
        help="Give a user, a uid, or with @ before it a group this role; may be given several times. Auditors look, "
        "operators make the changes of every day, admins all; root is one.",
    ),
]


class DescriptorStoreName(StrEnum):
    """Who keeps descriptors for the next keystored."""

    HOLDER = "holder"
    SYSTEMD = "systemd"


@app.command("serve")
def serve(
    ctx: typer.Context,
    *,
    state_dir: StateDirOption = None,
    control_socket: ControlSocketOption = None,
    runtime_dir: Annotated[
        Path | None,
        typer.Option("--runtime-dir", metavar="DIR", help="Folder on tmpfs for what survives keystored, not the host."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="NAME", help="User that root becomes at start; without it vmm-keystore, if there is one."
        ),
    ] = None,
    poll_us: PollUs = 0,
    poll_workers: PollWorkers = None,
    accelerators: Accelerators = True,
    nonce_pool: NoncePool = False,
    rings: Rings = 1,
    worker_cpus: WorkerCpus = "",
    histograms: Annotated[
        int,
        typer.Option(
            "--histograms",
            metavar="N",
            min=0,
            max=HISTOGRAMS_LIMIT,
            help="Latency histograms that metrics give at most, one for each guest, key and operation in use; what is "
            "beyond is added up by operation.",
        ),
    ] = HISTOGRAMS_MAX,
    descriptor_store: Annotated[
        DescriptorStoreName,
        typer.Option(
            "--descriptor-store",
            help="Who keeps guests' devices going while keystored is restarted: a process of its own, or systemd, "
            "in a unit with FileDescriptorStoreMax.",
        ),
    ] = DescriptorStoreName.HOLDER,
    program_sockets: Annotated[
        Path | None,
        typer.Option(
            "--program-sockets",
            metavar="DIR",
            readable=False,
            help="Folder with the sockets at which systemd starts zygote, custodian and what runs event handlers' "
            "programs, for a keystored that has no right to; else it starts them itself.",
        ),
    ] = None,
    root_secret: Annotated[
        Path | None,
        typer.Option(
            "--root-secret",
            metavar="FILE",
            readable=False,
            help="What opens the root of trust, where that is a passphrase or a credential (vmm-keystore root); else "
            "systemd's credential vmm-keystore-root.",
        ),
    ] = None,
    tpm: Annotated[
        Path | None,
        typer.Option(
            "--tpm",
            metavar="PATH",
            readable=False,
            help="Device of the TPM 2.0, or socket of a software one; else /dev/tpmrm0, if there is one.",
        ),
    ] = None,
    hsm_module: HsmModule = None,
    hsm_token: HsmTokenLabel = None,
    hsm_pin: HsmPin = None,
    hsm_env: HsmEnvironment = None,
    event_handlers: Annotated[
        Path | None,
        typer.Option(
            "--event-handlers",
            metavar="FILE",
            readable=False,
            help="File that says which programs and servers are told of events; only root and keystored's own user may "
            "be able to change it. It is read at the start.",
        ),
    ] = None,
    approvals: Annotated[
        int,
        typer.Option(
            "--approvals",
            metavar="N",
            min=APPROVALS_MIN,
            max=APPROVALS_MAX,
            help="How many administrators must approve before a guarded key (vmm-keystore key guard) is given to guests "
            "or destroyed.",
        ),
    ] = APPROVALS_MIN,
    approve_destruction: Annotated[
        bool, typer.Option("--approve-destruction", help="They must approve of the destruction of every other key too.")
    ] = False,
    admin: Who = None,
    operator: Who = None,
    auditor: Who = None,
    journal: Annotated[
        bool, typer.Option("--journal", help="Copy the audit log to systemd's journal as well.")
    ] = False,
    journal_socket: Annotated[
        Path, typer.Option("--journal-socket", metavar="PATH", help="Where the journal listens.")
    ] = Path("/run/systemd/journal/socket"),
) -> None:
    """Run keystored in the foreground until SIGTERM.

    SIGUSR2 ends it too, but guests keep their devices until the next keystored on the same folders takes them over.
    """
    hsm = hsm_place(hsm_module, hsm_token, hsm_pin, hsm_env)
    from vmm_keystore import daemon  # noqa: PLC0415  # the whole server, for this command only

    place = Place(control_socket, state_dir)
    outer: Place = ctx.obj or Place()
    folder = (state_dir or outer.state_dir or Place().resolve_state_dir(os.environ)).absolute()
    socket = place.control_socket or outer.control_socket or folder / CONTROL_SOCKET_NAME
    settings = Settings(
        folder,
        runtime_dir=runtime_dir.absolute() if runtime_dir else None,
        control_socket=socket.absolute(),
        journal=journal_socket if journal else None,
        user=user,
        systemd_store=descriptor_store is DescriptorStoreName.SYSTEMD,
        program_sockets=program_sockets.absolute() if program_sockets else None,
        roles={"admin": admin or [], "operator": operator or [], "auditor": auditor or []},
        rules=ApprovalRules(approvals, every_destruction=approve_destruction),
        root_secret=root_secret,
        tpm=tpm,
        hsm=hsm,
        event_handlers=event_handlers.absolute() if event_handlers else None,
        poll_us=poll_us,
        poll_workers=poll_workers,
        accelerators=accelerators,
        nonce_pool=nonce_pool,
        rings=rings,
        worker_cpus=parse_cpus(worker_cpus),
        histograms_max=histograms,
    )
    daemon.serve(settings)
