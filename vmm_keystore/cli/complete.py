# SPDX-License-Identifier: Apache-2.0
"""Answers to the shell's Tab: names that keystored knows. A silent daemon means no proposals, never an error."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from vmm_keystore.cli.session import Place
from vmm_keystore.errors import KeystoreError
from vmm_keystore.policy.vocabulary import KeyType

PROPOSALS_MAX = 200
KEY_TYPES = tuple(key_type.text for key_type in KeyType)


def complete_key_type(incomplete: str) -> list[str]:
    """Propose key types."""
    return [name for name in KEY_TYPES if name.startswith(incomplete)]


def complete_guest(incomplete: str) -> list[str]:
    """Propose names of guests."""
    return _proposals("guests", "name", incomplete)


def complete_role(incomplete: str) -> list[str]:
    """Propose names of roles."""
    return _proposals("roles", "name", incomplete)


def complete_holder(incomplete: str) -> list[str]:
    """Propose names of guests, and of roles behind an ``@``."""
    if incomplete.startswith("@"):
        return ["@" + name for name in complete_role(incomplete.removeprefix("@"))]
    return complete_guest(incomplete)


def complete_key(incomplete: str) -> list[str]:
    """Propose labels of keys, and aliases."""
    labels = _proposals("keys", "label", incomplete, label=f"{incomplete}*", limit=PROPOSALS_MAX)
    return labels + complete_alias(incomplete)


def complete_alias(incomplete: str) -> list[str]:
    """Propose aliases of keys."""
    return _proposals("aliases", "alias", incomplete)


def complete_tag_of(ctx: typer.Context, incomplete: str) -> list[str]:
    """Propose names of the tags that the key on the command line has."""
    tags = _answer("keys", str(ctx.params.get("key")))
    return [name for name in tags.get("tags", ()) if name.startswith(incomplete)]


Key = Annotated[str, typer.Argument(metavar="KEY", help="Label or alias of the key.", autocompletion=complete_key)]


def complete_event(incomplete: str) -> list[str]:
    """Propose ids of events."""
    return _proposals("events", "id", incomplete, limit=PROPOSALS_MAX)


def complete_proposal(incomplete: str) -> list[str]:
    """Propose ids of proposals that wait for approval."""
    return _proposals("proposals", "id", incomplete)


def complete_handler(incomplete: str) -> list[str]:
    """Propose names of event handlers."""
    return _proposals("event-handlers", "name", incomplete, member="handlers")


def _proposals(collection: str, field: str, incomplete: str, *, member: str = "", **query: object) -> list[str]:
    try:
        found = _answer(collection, **query).get(member or collection, ())
        return [entry[field] for entry in found if entry[field].startswith(incomplete)]
    except (KeyError, TypeError):
        return []


def _answer(*segments: str, **query: object) -> dict[str, Any]:
    from vmm_keystore.cli.client import ControlClient  # noqa: PLC0415  # only when the shell asks

    try:
        answer = ControlClient(Place().resolve_control_socket(os.environ)).get(*segments, **query)
    except KeystoreError:
        return {}
    return answer if isinstance(answer, dict) else {}
