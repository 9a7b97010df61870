# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore guest``: which virtual machines may connect, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmm_keystore.cli.complete import complete_guest
from vmm_keystore.cli.output import moment, show_facts, show_json, show_table
from vmm_keystore.cli.session import Session, command

app = typer.Typer(
    name="guest", help="Guests: one socket per virtual machine.", no_args_is_help=True, rich_markup_mode=None
)

GuestName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the guest.", autocompletion=complete_guest)]


@command(app, "add")
def guest_add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_' and '-', at most 63.")],
    socket: Annotated[Path, typer.Option("--socket", metavar="PATH", help="vhost-user socket that QEMU connects to.")],
    owner_uid: Annotated[
        int | None, typer.Option("--owner-uid", metavar="UID", min=0, help="User who runs this guest's QEMU.")
    ] = None,
) -> None:
    """Add a guest and listen on its socket."""
    body: dict[str, object] = {"name": name, "socket": str(socket.absolute())}
    if owner_uid is not None:
        body["owner_uid"] = owner_uid
    guest = session.keystored.post("guests", body=body)
    session.done(guest, f"guest {name} added; qemu options: vmm-keystore qemu-args {name}")


@command(app, "list")
def guest_list(session: Session) -> None:
    """List the guests."""
    guests = session.keystored.get("guests")["guests"]
    if session.as_json:
        show_json(guests)
        return
    rows = [
        [guest["name"], guest["worker"]["connected"], guest["grants"], guest["socket"], guest["worker"]["problem"]]
        for guest in guests
    ]
    show_table(["name", "connected", "grants", "socket", "problem"], rows, empty="no guest yet: vmm-keystore guest add")


@command(app, "show")
def guest_show(session: Session, name: GuestName) -> None:
    """Show one guest: its socket, its worker, how its secrets are kept."""
    guest = session.keystored.get("guests", name)
    if session.as_json:
        show_json(guest)
        return
    worker = guest["worker"]
    show_facts(
        {
            "name": guest["name"],
            "socket": guest["socket"],
            "owner uid": guest["owner_uid"],
            "created": moment(guest["created"]),
            "grants": guest["grants"],
            "connected": worker["connected"],
            "qemu pid": worker["front_end_pid"],
            "worker pid": worker["pid"],
            "secret memory": worker["secret_memory"],
            "sandbox": worker["sandbox"],
            "workers replaced": worker["replaced"],
            "requests set aside": worker["set_aside"],
            "requests in flight": worker["in_flight"],
            "audit records waiting": worker["records_waiting"],
            "problem": worker["problem"],
        }
    )


@command(app, "remove")
def guest_remove(session: Session, name: GuestName) -> None:
    """Remove a guest and its grants; a connected one is cut off at once."""
    removed = session.keystored.delete("guests", name)
    session.done(removed, f"guest {name} removed, with {removed['grants_removed']} grants")
