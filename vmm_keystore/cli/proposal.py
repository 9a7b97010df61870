# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore proposal``: what several administrators must approve of, and ``--propose`` of the commands it is about."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vmm_keystore.cli.complete import Key, complete_proposal
from vmm_keystore.cli.output import moment, show_facts, show_json, show_table
from vmm_keystore.cli.session import Session, command

app = typer.Typer(
    name="proposal",
    help="Changes of guarded keys (key guard) that wait until enough administrators have approved.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Propose = Annotated[
    bool,
    typer.Option("--propose", help="Where a key is guarded: do not do it, but ask the other administrators for it."),
]
ProposalId = Annotated[str, typer.Argument(metavar="ID", help="Id of the proposal.", autocompletion=complete_proposal)]


def register(keys: typer.Typer) -> None:
    """Add the commands to those for keys."""
    command(keys, "guard")(key_guard)
    command(keys, "unguard")(key_unguard)


def key_guard(session: Session, label: Key) -> None:
    """Let nobody give a key to guests, destroy it or unguard it alone: it takes several administrators from now on."""
    key = session.keystored.post("keys", label, "guard")
    session.done(key, f"key {key['label']} is guarded")


def key_unguard(session: Session, label: Key, propose: Propose = False) -> None:
    """Take the guard from a key; it takes several administrators."""
    if propose:
        send_proposal(session, "keys", label, "unguard")
        return
    key = session.keystored.post("keys", label, "unguard")
    session.done(key, f"key {key['label']} is not guarded any more")


@command(app, "list")
def proposal_list(session: Session) -> None:
    """List the proposals that wait, the newest last."""
    found = session.keystored.get("proposals")["proposals"]
    if session.as_json:
        show_json(found)
        return
    rows = [[one["id"], one["proposed_by"], _approved(one), moment(one["expires"]), one["what"]] for one in found]
    show_table(["id", "by uid", "approved", "expires", "what"], rows, empty="no proposal waits")


@command(app, "show")
def proposal_show(session: Session, proposal_id: ProposalId) -> None:
    """Show one proposal: all of what would be done."""
    one = session.keystored.get("proposals", proposal_id)
    if session.as_json:
        show_json(one)
        return
    show_facts(
        {
            "id": one["id"],
            "what": one["what"],
            "guarded keys": one["guarded_keys"],
            "proposed": f"{moment(one['proposed'])}, uid {one['proposed_by']}",
            "approved by": [f"uid {uid}" for uid in one["approved_by"]] or "nobody yet",
            "approvals needed": one["needed"],
            "expires": moment(one["expires"]),
        }
    )


@command(app, "approve")
def proposal_approve(session: Session, proposal_id: ProposalId) -> None:
    """Approve; with the last approval that it takes it is done, and in force when this returns."""
    one = session.keystored.post("proposals", proposal_id, "approve")
    session.done(
        one, f"approved, and done: {one['what']}" if one["done"] else f"approved, {_still(one)}: {one['what']}"
    )


@command(app, "withdraw")
def proposal_withdraw(session: Session, proposal_id: ProposalId) -> None:
    """Take a proposal back, or as an administrator somebody else's: it will not be done."""
    one = session.keystored.delete("proposals", proposal_id)
    session.done(one, f"withdrawn: {one['what']}")


def send_proposal(session: Session, *segments: str, body: dict[str, Any] | None = None) -> None:
    """Propose what a request to *segments* would do."""
    one = session.keystored.post(*segments, "propose", body=body)
    session.done(
        one,
        f"proposed, {_still(one)}: {one['what']}\nnext, by administrators: vmm-keystore proposal approve {one['id']}",
    )


def _approved(one: dict[str, Any]) -> str:
    return f"{len(one['approved_by'])} of {one['needed']}"


def _still(one: dict[str, Any]) -> str:
    missing = one["needed"] - len(one["approved_by"])
    return f"{missing} more approval is needed" if missing == 1 else f"{missing} more approvals are needed"
