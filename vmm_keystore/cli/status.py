# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore status``: is keystored well, and how does it keep its secrets."""

from __future__ import annotations

from typing import Any

import typer

from vmm_keystore.cli.output import show_facts, show_json
from vmm_keystore.cli.session import Session, command

app = typer.Typer()


@command(app, "status")
def status(session: Session) -> None:
    """Show the state of keystored."""
    answer = session.keystored.get("status")
    if session.as_json:
        show_json(answer)
    else:
        show_facts(_flat(answer))


def _flat(answer: dict[str, Any], prefix: str = "") -> dict[str, object]:
    facts: dict[str, object] = {}
    for name, value in answer.items():
        title = prefix + name.replace("_", " ")
        if isinstance(value, dict):
            facts |= _flat(value, title + " ")
        else:
            facts[title] = value
    return facts
