# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore events``: what operators' handlers were told of, and what did not reach them."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from vmm_keystore.cli.complete import complete_event, complete_handler
from vmm_keystore.cli.failure import CommandError, UsageError
from vmm_keystore.cli.output import cell, moment, show_facts, show_json, show_table
from vmm_keystore.cli.session import Session, command
from vmm_keystore.policy.event import KINDS

app = typer.Typer(
    name="events",
    help="Events for operators' handlers (serve --event-handlers): what was delivered, and what could not be.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
handler_app = typer.Typer(
    help="The handlers that are told of events; the file of serve --event-handlers says which there are.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(handler_app, name="handler")

EventId = Annotated[str, typer.Argument(metavar="ID", help="Id of the event.", autocompletion=complete_event)]
MaybeEventId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Id of the event.", autocompletion=complete_event)
]
All = Annotated[bool, typer.Option("--all", help="Every dead event instead of one.")]


def complete_event_kind(incomplete: str) -> list[str]:
    """Propose kinds of events."""
    return [kind.value for kind in KINDS if kind.value.startswith(incomplete)]


class EventState(StrEnum):
    """What became of an event: dead where one of its handlers did not take it."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    UNHANDLED = "unhandled"


@command(app, "list")
def events_list(
    session: Session,
    state: Annotated[
        EventState | None,
        typer.Option("--state", metavar="STATE", help="Only those that are pending, delivered, dead or unhandled."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="Only those of one kind.", autocompletion=complete_event_kind),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.")] = None,
) -> None:
    """List the events, the newest last. What was delivered is kept for a while, what is dead until it is dropped."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no events are of the kind '{kind}'", "one of: " + ", ".join(KINDS))
    found = session.keystored.get("events", state=state.value if state else None, kind=kind, limit=limit)["events"]
    if session.as_json:
        show_json(found)
        return
    rows = [[event["id"], moment(event["time"]), event["kind"], event["state"], event["text"]] for event in found]
    show_table(["id", "time", "kind", "state", "what"], rows, empty="no event")


@command(app, "show")
def events_show(session: Session, event_id: EventId) -> None:
    """Show one event, and what became of it at each handler."""
    event = session.keystored.get("events", event_id)
    if session.as_json:
        show_json(event)
        return
    show_facts(
        {
            "id": event["id"],
            "time": moment(event["time"]),
            "kind": event["kind"],
            "state": event["state"],
            "what": event["text"],
            **event["subject"],
            **{name.replace("_", " "): value for name, value in event["facts"].items()},
        }
    )
    rows = [
        [one["handler"], one["state"], one["attempts"], moment(one["changed"]), moment(one["due"]), one["reason"]]
        for one in event["deliveries"]
    ]
    print()
    show_table(["handler", "state", "attempts", "changed", "next", "reason"], rows, empty="no handler was to have it")


@command(app, "retry")
def events_retry(session: Session, event_id: MaybeEventId = None, every: All = False) -> None:
    """Have an event delivered anew to handlers that did not take it, or every dead one with --all."""
    _check_choice(event_id, every=every)
    changed = session.keystored.post(*_which(event_id), "retry")
    session.done(changed, f"{_count(changed)} delivered anew")


@command(app, "drop")
def events_drop(
    session: Session,
    event_id: MaybeEventId = None,
    every: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget an event, delivered or not, or every dead one with --all."""
    _check_choice(event_id, every=every)
    if every and not yes:
        _confirm()
    changed = session.keystored.delete(*_which(event_id))
    session.done(changed, f"{_count(changed)} dropped")


@command(handler_app, "list")
def handler_list(session: Session) -> None:
    """List the handlers, and how they do since keystored started."""
    handlers = session.keystored.get("event-handlers")["handlers"]
    if session.as_json:
        show_json(handlers)
        return
    columns = ["name", "way", "target", "pending", "dead", "delivered", "failed"]
    rows = [[*(handler[name] for name in columns), _kinds(handler["kinds"])] for handler in handlers]
    show_table([*columns, "kinds"], rows, empty="no handler: serve --event-handlers FILE")


@command(handler_app, "test")
def handler_test(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the handler.", autocompletion=complete_handler)],
) -> None:
    """Give a handler an event that says it is a test, once, and say what became of it."""
    tested = session.keystored.post("event-handlers", name, "test")
    if session.as_json:
        show_json(tested)
    if not tested["delivered"]:
        raise CommandError(f"event handler {name} did not take a test: {tested['reason']}")
    if not session.as_json:
        print(f"event handler {name} took a test")


def _check_choice(event_id: str | None, *, every: bool) -> None:
    if (event_id is None) != every:
        raise UsageError(
            "one of ID and --all is needed", "vmm-keystore events list --state dead shows what could be meant"
        )


def _which(event_id: str | None) -> tuple[str, ...]:
    return ("dead-events",) if event_id is None else ("events", event_id)


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise UsageError("will not drop every dead event without a question answered", "add --yes")
    typer.confirm("Drop every dead event? Nobody will be told of them any more", abort=True)


def _count(changed: dict[str, Any]) -> str:
    return "1 event is" if changed["events"] == 1 else f"{changed['events']} events are"


def _kinds(kinds: list[str]) -> str:
    return "all" if set(kinds) == set(KINDS) else cell(kinds)
