# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore key tag``, ``untag`` and ``alias``: what a key is found by besides its label."""

from __future__ import annotations

from typing import Annotated

import typer

from vmm_keystore.cli.complete import Key, complete_alias, complete_tag_of
from vmm_keystore.cli.output import moment, show_json, show_table
from vmm_keystore.cli.session import Session, command
from vmm_keystore.policy.tags import check_name, parse_tags, tag_words

aliases = typer.Typer(
    help="Second names of keys, for administrators: each can be moved from one key to another.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="The alias.", autocompletion=complete_alias)]


def register(app: typer.Typer) -> None:
    """Add the commands to those for keys."""
    command(app, "tag")(key_tag)
    command(app, "untag")(key_untag)
    app.add_typer(aliases, name="alias")


def key_tag(
    session: Session,
    key: Key,
    tags: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="Tags; at most 32 a key.")],
) -> None:
    """Give a key tags, or other values of those that it has."""
    answer = session.keystored.post("keys", key, "tag", body={"tags": parse_tags(tags)})
    session.done(answer, f"key {answer['label']} has the tags {', '.join(tag_words(answer['tags']))}")


def key_untag(
    session: Session,
    key: Key,
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Names of tags.", autocompletion=complete_tag_of)],
) -> None:
    """Take tags from a key, all or none."""
    answer = session.keystored.post("keys", key, "untag", body={"tags": [check_name(name) for name in names]})
    left = ", ".join(tag_words(answer["tags"])) or "none"
    session.done(answer, f"key {answer['label']} no longer has {', '.join(names)}; tags left: {left}")


@command(aliases, "set")
def alias_set(session: Session, alias: Alias, key: Key) -> None:
    """Let ALIAS stand for KEY from now on; one that stood for another key is moved at once.

    Grants stay with the keys that they were made for, and guests see labels.
    """
    answer = session.keystored.post("aliases", body={"alias": alias, "key": key})
    before = f", no longer for {answer['moved_from']}" if answer["moved_from"] not in {None, answer["key"]} else ""
    session.done(answer, f"alias {alias} stands for key {answer['key']}{before}")


@command(aliases, "list")
def alias_list(session: Session) -> None:
    """List the aliases."""
    found = session.keystored.get("aliases")["aliases"]
    if session.as_json:
        show_json(found)
        return
    rows = [[alias["alias"], alias["key"], moment(alias["since"])] for alias in found]
    show_table(["alias", "key", "since"], rows, empty="no alias yet: vmm-keystore key alias set")


@command(aliases, "remove")
def alias_remove(session: Session, alias: Alias) -> None:
    """Forget an alias; its key stays."""
    answer = session.keystored.delete("aliases", alias)
    session.done(answer, f"alias {alias} removed; it stood for key {answer['key']}")
