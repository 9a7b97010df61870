# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore role``: grants for many guests at once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vmm_keystore.cli.complete import complete_guest, complete_role
from vmm_keystore.cli.output import moment, show_facts, show_json, show_table
from vmm_keystore.cli.proposal import Propose, send_proposal
from vmm_keystore.cli.session import Session, command

app = typer.Typer(
    name="role",
    help="Roles: what is granted to one (grant add @ROLE KEY), each guest that has it may do.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RoleName = Annotated[str, typer.Argument(metavar="ROLE", help="Name of the role.", autocompletion=complete_role)]
GuestNames = Annotated[
    list[str], typer.Argument(metavar="GUEST…", help="Names of guests.", autocompletion=complete_guest)
]


@command(app, "add")
def role_add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="ROLE", help="Letters, digits, '.', '_' and '-', at most 63.")],
) -> None:
    """Add a role, which no guest has yet."""
    role = session.keystored.post("roles", body={"name": name})
    session.done(role, f"role {name} added; next: vmm-keystore grant add @{name} KEY --ops OP,…")


@command(app, "list")
def role_list(session: Session) -> None:
    """List the roles."""
    roles = session.keystored.get("roles")["roles"]
    if session.as_json:
        show_json(roles)
        return
    rows = [[role["name"], len(role["guests"]), role["grants"], moment(role["created"])] for role in roles]
    show_table(["name", "guests", "grants", "created"], rows, empty="no role yet: vmm-keystore role add")


@command(app, "show")
def role_show(session: Session, name: RoleName) -> None:
    """Show one role and the guests that have it."""
    role = session.keystored.get("roles", name)
    if session.as_json:
        show_json(role)
        return
    show_facts(
        {
            "name": role["name"],
            "created": moment(role["created"]),
            "grants": role["grants"],
            "guests": ", ".join(role["guests"]) or "none",
        }
    )


@command(app, "assign")
def role_assign(session: Session, name: RoleName, guests: GuestNames, propose: Propose = False) -> None:
    """Give a role to guests, all or none; in force in running guests when this returns."""
    if propose:
        send_proposal(session, "roles", name, "assign", body={"guests": guests})
        return
    _change(session, name, guests, "assign", "may do what role {} may")


@command(app, "unassign")
def role_unassign(session: Session, name: RoleName, guests: GuestNames) -> None:
    """Take a role from guests, all or none; running guests are refused when this returns."""
    _change(session, name, guests, "unassign", "may no longer do what role {} may")


@command(app, "remove")
def role_remove(session: Session, name: RoleName) -> None:
    """Remove a role and its grants; its guests are refused when this returns."""
    removed = session.keystored.delete("roles", name)
    session.done(
        removed, f"role {name} removed, with {removed['grants']} grants; {len(removed['guests'])} guests had it"
    )


def _change(session: Session, name: str, guests: list[str], verb: str, what: str) -> None:
    role: dict[str, Any] = session.keystored.post("roles", name, verb, body={"guests": guests})
    who = f"guest {guests[0]}" if len(guests) == 1 else f"{len(guests)} guests"
    session.done(role, f"{who} {what.format(name)}")
