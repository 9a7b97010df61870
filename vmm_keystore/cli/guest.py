# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore guest``: which virtual machines may connect, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmm_keystore.cli.complete import complete_guest
from vmm_keystore.cli.output import moment, show_facts, show_json, show_table
from vmm_keystore.cli.session import Session, command
from vmm_keystore.policy.vocabulary import OWN_KEYS_MAX

app = typer.Typer(
    name="guest", help="Guests: one socket per virtual machine.", no_args_is_help=True, rich_markup_mode=None
)

OwnKeysOption = Annotated[
    int,
    typer.Option(
        "--own-keys", metavar="N", min=0, max=OWN_KEYS_MAX, help="How many keys it may make for itself; 0: none."
    ),
]
GuestName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the guest.", autocompletion=complete_guest)]


@command(app, "add")
def guest_add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_' and '-', at most 63.")],
    socket: Annotated[Path, typer.Option("--socket", metavar="PATH", help="vhost-user socket that QEMU connects to.")],
    owner_uid: Annotated[
        int | None, typer.Option("--owner-uid", metavar="UID", min=0, help="User who runs this guest's QEMU.")
    ] = None,
    own_keys: OwnKeysOption = 0,
) -> None:
    """Add a guest and listen on its socket."""
    body: dict[str, object] = {"name": name, "socket": str(socket.absolute())}
    if owner_uid is not None:
        body["owner_uid"] = owner_uid
    if own_keys:
        body["own_keys_max"] = own_keys
    guest = session.keystored.post("guests", body=body)
    session.done(guest, f"guest {name} added; qemu options: vmm-keystore qemu-args {name}")


@command(app, "set")
def guest_set(session: Session, name: GuestName, own_keys: OwnKeysOption) -> None:
    """Let a guest make keys of its own, as many as you say; those that it has stay, if they are more."""
    guest = session.keystored.post("guests", name, "own-keys", body={"max": own_keys})
    have = f", it has {guest['own_keys']}" if guest["own_keys"] else ""
    session.done(guest, f"guest {name} may have {own_keys} keys of its own{have}")


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


def engines(serving: dict[str, str]) -> str:
    """Who computes: libcrypto, and what others do instead of it."""
    functions: dict[str, list[str]] = {}
    for function, engine in serving.items():
        functions.setdefault(engine, []).append(function)
    if not serving:
        return ""
    functions.pop("libcrypto", None)
    return "; ".join(["libcrypto", *(f"{engine}: {', '.join(names)}" for engine, names in functions.items())])


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
            "own keys": f"{guest['own_keys']} of {guest['own_keys_max']}",
            "connected": worker["connected"],
            "qemu pid": worker["front_end_pid"],
            "worker pid": worker["pid"],
            "secret memory": worker["secret_memory"],
            "sandbox": worker["sandbox"],
            "engines": engines(worker["engines"]),
            "workers replaced": worker["replaced"],
            "requests set aside": worker["set_aside"],
            "keys filled in": worker["keys_filled"],
            "requests in flight": worker["in_flight"],
            "audit records waiting": worker["records_waiting"],
            "problem": worker["problem"],
        }
    )


@command(app, "remove")
def guest_remove(session: Session, name: GuestName) -> None:
    """Remove a guest and its grants; a connected one is cut off at once."""
    removed = session.keystored.delete("guests", name)
    said = f"guest {name} removed, with {removed['grants_removed']} grants"
    if removed["keys_left"]:
        said += f"; {removed['keys_left']} keys of its own stay: vmm-keystore key list '{name}:*'"
    session.done(removed, said)
