# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore grant``: which guest may do what with which key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from vmm_keystore.cli.complete import Key, complete_guest, complete_holder, complete_key
from vmm_keystore.cli.failure import UsageError
from vmm_keystore.cli.output import moment, show_json, show_table
from vmm_keystore.cli.proposal import Propose, send_proposal
from vmm_keystore.cli.session import Session, command
from vmm_keystore.policy.mechanisms import NAMED_ONLY
from vmm_keystore.policy.vocabulary import Mechanism

app = typer.Typer(
    name="grant", help="Grants: guest, key, operations, limits.", no_args_is_help=True, rich_markup_mode=None
)

GuestArgument = Annotated[
    str, typer.Argument(metavar="GUEST", help="Name of the guest.", autocompletion=complete_guest)
]
HolderArgument = Annotated[
    str,
    typer.Argument(
        metavar="GUEST|@ROLE", help="A guest, or with an @ before it a role.", autocompletion=complete_holder
    ),
]
When = Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601, UTC unless it says otherwise.")]


@command(app, "add")
def grant_add(
    session: Session,
    guest: HolderArgument,
    key: Key,
    *,
    ops: Annotated[
        str,
        typer.Option(
            "--ops",
            metavar="OP,…",
            help="Of sign, verify, encrypt, decrypt, mac, mac-verify; "
            "derive, data-key and decapsulate, which take release as well; login has programs ask for one.",
        ),
    ],
    mechanisms: Annotated[
        str | None,
        typer.Option(
            "--mechanisms",
            metavar="NAME,…",
            help="Only these; else all of the key's type but the ones that need care: "
            f"{', '.join(mechanism.text for mechanism in Mechanism if mechanism in NAMED_ONLY)}.",
        ),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", metavar="N", min=1, help="Input bytes of one request.")
    ] = None,
    uid: Annotated[
        list[int] | None,
        typer.Option("--uid", metavar="UID", min=0, help="Only this user of the guest; may be given several times."),
    ] = None,
    max_ops: Annotated[
        int | None,
        typer.Option("--max-ops", metavar="N", min=1, max=2**53, help="Operations in all; then the device refuses."),
    ] = None,
    max_rate: Annotated[
        int | None,
        typer.Option(
            "--max-rate",
            metavar="N",
            min=1,
            max=1_000_000,
            help="Operations a second; a second's worth may come at once.",
        ),
    ] = None,
    not_before: When = None,
    not_after: When = None,
    propose: Propose = False,
) -> None:
    """Let a guest, or every guest with a role, use a key; in force in the running guest when this returns."""
    body: dict[str, Any] = {"guest": guest, "key": key, "ops": _names(ops, "--ops")}
    if mechanisms is not None:
        body["mechanisms"] = _names(mechanisms, "--mechanisms")
    if max_bytes is not None:
        body["input_bytes_max"] = max_bytes
    if uid:
        body["uids"] = uid
    if max_ops is not None:
        body["ops_max"] = max_ops
    if max_rate is not None:
        body["ops_per_second"] = max_rate
    for name, text in (("not_before", not_before), ("not_after", not_after)):
        if text is not None:
            body[name] = _iso_time(text, "--" + name.replace("_", "-"))
    if propose:
        send_proposal(session, "grants", body=body)
        return
    grant = session.keystored.post("grants", body=body)
    session.done(grant, f"{_named(guest)} may use key {key}: {', '.join(body['ops'])}")


@command(app, "list")
def grant_list(
    session: Session,
    guest: Annotated[
        str | None,
        typer.Option(
            "--guest",
            metavar="NAME",
            help="What this guest has, itself and by its roles; with an @ before it of this role.",
            autocompletion=complete_holder,
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="LABEL", help="Only of this key.", autocompletion=complete_key)
    ] = None,
) -> None:
    """List the grants."""
    grants = session.keystored.get("grants", guest=guest, key=key)["grants"]
    if session.as_json:
        show_json(grants)
        return
    rows = [[_holder(grant), grant["key"], grant["ops"], grant["mechanisms"], _limits(grant)] for grant in grants]
    show_table(["guest", "key", "ops", "mechanisms", "limits"], rows, empty="no grant yet: vmm-keystore grant add")


@command(app, "explain")
def grant_explain(
    session: Session,
    guest: GuestArgument,
    key: Key,
    op: Annotated[
        str,
        typer.Argument(
            metavar="OP",
            help="Of public, sign, verify, encrypt, decrypt, mac, mac-verify, derive, data-key, decapsulate.",
        ),
    ],
    *,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", min=1, help="This version; else the current one.")
    ] = None,
    mechanism: Annotated[
        str | None, typer.Option("--mechanism", metavar="NAME", help="This one; else what the key's type does first.")
    ] = None,
    uid: Annotated[int | None, typer.Option("--uid", metavar="UID", min=0, help="Asked by this user.")] = None,
    size: Annotated[int, typer.Option("--bytes", metavar="N", min=0, help="So many input bytes.")] = 0,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="At this time; else now.")] = None,
) -> None:
    """Say whether a guest may do something with a key, and what that follows from."""
    moment_asked = None if at is None else _iso_time(at, "--at")
    answer = session.keystored.get(
        *("grants", guest, key, "explain"),
        op=op,
        version=version,
        mechanism=mechanism,
        uid=uid,
        input_bytes=size,
        at=moment_asked,
    )
    if session.as_json:
        show_json(answer)
        return
    print("allowed" if answer["allowed"] else f"refused: {answer['status']}")
    rows = [["ok" if check["holds"] else "NO", check["rule"], check["detail"]] for check in answer["checks"]]
    show_table(["", "rule", "because"], rows, empty="")


@command(app, "remove")
def grant_remove(session: Session, guest: HolderArgument, key: Key) -> None:
    """Take a key from a guest or role; the running guest is refused when this returns."""
    grant = session.keystored.delete("grants", guest, key)
    session.done(grant, f"{_named(guest)} may no longer use key {key}")


def _named(holder: str) -> str:
    return f"every guest with role {holder[1:]}" if holder.startswith("@") else f"guest {holder}"


def _holder(grant: dict[str, Any]) -> str:
    """The guest, and what it has it by where that is a role of it."""
    by_role = grant["role"] and not grant["guest"].startswith("@")
    return f"{grant['guest']} (@{grant['role']})" if by_role else grant["guest"]


def _names(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"{option} has an empty name in {text!r}", f"separate names by commas: {option} one,two")
    return names


def _iso_time(text: str, option: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} is not a time: {text!r}", "write it like 2030-01-31T12:00:00") from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


def _limits(grant: dict[str, Any]) -> list[str]:
    limits = []
    if grant["input_bytes_max"]:
        limits.append(f"bytes<={grant['input_bytes_max']}")
    if grant["uids"]:
        limits.append("uid=" + "/".join(str(uid) for uid in grant["uids"]))
    if grant["ops_max"]:
        used = "" if grant["ops_used"] is None else f"{grant['ops_used']}/"
        limits.append(f"ops={used}{grant['ops_max']}")
    if grant["ops_per_second"]:
        limits.append(f"rate<={grant['ops_per_second']}/s")
    if grant["not_before"]:
        limits.append("from=" + moment(grant["not_before"]))
    if grant["not_after"]:
        limits.append("until=" + moment(grant["not_after"]))
    return limits
