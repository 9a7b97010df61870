# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore key``: keys and their life cycle. No byte of a key comes this way, only labels, states, public keys."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from vmm_keystore.cli import certificate, key_import, key_names, key_plans, proposal
from vmm_keystore.cli.complete import KEY_TYPES, Key, complete_key, complete_key_type
from vmm_keystore.cli.failure import CommandError, UsageError
from vmm_keystore.cli.key_options import Inactive, NewLabel, NewTags, Version
from vmm_keystore.cli.output import moment, show_facts, show_json, show_table
from vmm_keystore.cli.session import Session, command
from vmm_keystore.cli.time_option import as_seconds, as_time
from vmm_keystore.policy.tags import check_filter, parse_tags, tag_words

app = typer.Typer(name="key", help="Keys and their life cycle.", no_args_is_help=True, rich_markup_mode=None)
key_names.register(app)
key_plans.register(app)
proposal.register(app)

PAGE = 1000
NO_KEY = "no key yet: vmm-keystore key generate"


@command(app, "generate")
def key_generate(
    session: Session,
    label: NewLabel,
    *,
    key_type: Annotated[
        str,
        typer.Option(
            "--type", metavar="TYPE", help=f"One of {', '.join(KEY_TYPES)}.", autocompletion=complete_key_type
        ),
    ],
    tag: NewTags = None,
    inactive: Inactive = False,
    in_token: Annotated[
        bool,
        typer.Option(
            "--in-token", help="In the PKCS#11 token (serve --hsm-module), which its private half never leaves."
        ),
    ] = False,
) -> None:
    """Make a new key."""
    tags = parse_tags(tag or ())
    body = {"label": label, "type": key_type, "activate": not inactive, "tags": tags, "in_token": in_token}
    key = session.keystored.post("keys", body=body)
    where = key_import.token_words(key)
    session.done(key, f"key {label} generated{where}: {key_type}, version 1, {key['state']}")


@command(app, "list")
def key_list(
    session: Session,
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN", help="Only labels like this: * is any letters, ? one.", autocompletion=complete_key
        ),
    ] = None,
    *,
    key_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only this type.", autocompletion=complete_key_type)
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only those whose current version has this state.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", metavar="NAME[=VALUE]", help="Only those with this tag; given several times, with all of them."
        ),
    ] = None,
    unused_since: Annotated[
        str | None,
        typer.Option(
            "--unused-since",
            metavar="TIME",
            help="Only those that were there then and were not used from then on: ISO 8601, or an age as 90d.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = None,
) -> None:
    """List the keys, by label."""
    tags, since = [check_filter(word) for word in tag or ()], as_time(unused_since)
    keys: list[dict[str, Any]] = []
    while limit is None or len(keys) < limit:
        page = PAGE if limit is None else min(PAGE, limit - len(keys))
        after = keys[-1]["label"] if keys else None
        query = {"label": pattern, "type": key_type, "state": state, "tag": tags or None}
        query["unused_since"] = since
        found = session.keystored.get("keys", **query, after=after, limit=page)["keys"]
        keys += found
        if len(found) < page:
            break
    if session.as_json:
        show_json(keys)
        return
    rows = [
        [
            *(key["label"], key["type"], key["state"], key["current_version"], key["guests"]),
            *(moment(key["last_used"]), tag_words(key["tags"])),
        ]
        for key in keys
    ]
    show_table(
        ["label", "type", "state", "version", "guests", "last used", "tags"],
        rows,
        empty="no such key" if pattern or key_type or state or tags or since else NO_KEY,
    )


@command(app, "show")
def key_show(session: Session, label: Key) -> None:
    """Show one key with its versions."""
    key = session.keystored.get("keys", label)
    if session.as_json:
        show_json(key)
        return
    show_facts(
        {
            "label": key["label"],
            "id": key["id"],
            "type": key["type"],
            "state": key["state"],
            "current version": key["current_version"],
            "created": moment(key["created"]),
            "rotated": key_plans.rotated_words(key),
            "last used": moment(key["last_used"]),
            "oldest version in use": key["min_version"],
            "aliases": key["aliases"],
            "tags": tag_words(key["tags"]),
            "guests": key["guests"],
            "owner": f"guest {key['owner']}" if key["owner"] else "",
            "guarded": "by several administrators" if key["guarded"] else "no",
            **key_import.token_facts(key),
        }
    )
    rows = [
        [
            version["version"],
            version["state"],
            version["current"],
            moment(version["created"]),
            moment(version["destroy_at"]) if version["destroy_at"] else "",
            [f"{use['op']} {moment(use['last'])}" for use in version["uses"]],
            certificate.summary(version["certificate"]),
        ]
        for version in key["versions"]
    ]
    print()
    titles = ["version", "state", "current", "created", "to be destroyed", "last used", "certificate"]
    show_table(titles, rows, empty="no version")


@command(app, "rotate")
def key_rotate(session: Session, label: Key) -> None:
    """Make a new version; older ones still verify and decrypt."""
    key = session.keystored.post("keys", label, "rotate")
    session.done(key, f"key {key['label']} rotated: version {key['current_version']} is current")


@command(app, "activate")
def key_activate(session: Session, label: Key, version: Version = None) -> None:
    """Let a key in pre-activation, or a suspended one, be used."""
    _change(session, label, "activate", version, "active")


@command(app, "suspend")
def key_suspend(session: Session, label: Key, version: Version = None) -> None:
    """Stop every use of a key until it is activated again."""
    _change(session, label, "suspend", version, "suspended")


@command(app, "deactivate")
def key_deactivate(session: Session, label: Key, version: Version = None) -> None:
    """End protecting with a key (sign, encrypt, mac) for good; verify and decrypt go on."""
    _change(session, label, "deactivate", version, "deactivated")


@command(app, "compromise")
def key_compromise(session: Session, label: Key, version: Version = None) -> None:
    """Mark a key as compromised for good; verify and decrypt go on."""
    _change(session, label, "compromise", version, "compromised")


@command(app, "destroy")
def key_destroy(
    session: Session,
    label: Key,
    *,
    version: Version = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="TIME", help="Not now but after 90s, 15m, 2h or 7d; --cancel takes it back."),
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take a planned destruction back.")] = False,
    propose: proposal.Propose = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Destroy a key for ever: its sealed material is deleted, what it encrypted is lost.

    With --after it is of no use to guests from now on, and destroyed when the time has come.
    """
    body = {"version": version} if version else {}
    if cancel and (after or propose):
        other = "--after" if after else "--propose"
        raise UsageError(f"--cancel and {other} exclude each other", f"key show {label} tells what is planned")
    if cancel:
        key = session.keystored.post("keys", label, "destroy", "cancel", body=body)
        session.done(key, f"{_named(key, version)} stays, and is what it was before")
        return
    # A second is begun already.
    at = (datetime.now(UTC) + timedelta(seconds=as_seconds(after) + 1)).isoformat(timespec="seconds") if after else None
    if propose:
        proposal.send_proposal(session, "keys", label, "destroy", body={**body, "at": at})
        return
    if at:
        key = session.keystored.post("keys", label, "destroy", body={**body, "at": at})
        back = f"key destroy {label} --cancel takes that back"
        session.done(key, f"{_named(key, version)} will be destroyed at {moment(at)}; {back}")
        return
    if not yes:
        label = _confirm(session, label, version)
    _change(session, label, "destroy", version, "destroyed")


@command(app, "public")
def key_public(session: Session, label: Key, version: Version = None) -> None:
    """Print the public key as PEM."""
    pem = session.keystored.get_text("keys", label, "public", version=version)
    if session.as_json:
        show_json({"label": label, "version": version, "public": pem})
    else:
        sys.stdout.write(pem if pem.endswith("\n") else pem + "\n")


def _change(session: Session, label: str, verb: str, version: int | None, state: str) -> None:
    key = session.keystored.post("keys", label, verb, body={"version": version} if version else {})
    session.done(key, f"{_named(key, version)} is {state}")


def _named(key: dict[str, Any], version: int | None) -> str:
    """Which key it was, by its label, whatever alias was given."""
    return f"key {key['label']}" + (f" version {version}" if version else "")


def _confirm(session: Session, name: str, version: int | None) -> str:
    """Ask whether a key is to be destroyed; its label, since an alias may be moved while somebody thinks."""
    which = f" version {version}" if version else " with all its versions"
    if not sys.stdin.isatty():
        raise UsageError(f"will not destroy key {name}{which} without being asked to twice", "add --yes")
    label: str = session.keystored.get("keys", name)["label"]
    print(f"destroy key {label}{which}? this cannot be undone; type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise CommandError("nothing was changed")
    return label


key_import.register(app)
certificate.register(app)
