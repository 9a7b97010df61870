# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore apply``: guests, roles, keys and grants as a file says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from vmm_keystore.cli.failure import UsageError
from vmm_keystore.cli.output import show_json
from vmm_keystore.cli.session import Session, command

app = typer.Typer()

SIGNS = {"add": "+", "generate": "+", "assign": "+", "remove": "-", "unassign": "-", "change": "~"}


@command(app, "apply")
def apply(
    session: Session,
    *,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="TOML; see vmm-keystore apply in README.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be changed, or why it cannot be.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove guests, roles and grants that the file does not name; keys never.")
    ] = False,
) -> None:
    """Make guests, roles, keys and grants what a file says, all of it or nothing.

    What the file names is made so exactly: a guest's roles and grants, a role's grants. What it does not name is left
    alone unless --prune is given. Keys are made where there are none, and nothing of them but their tags is changed.
    """
    body = {"declaration": read_file(file), "prune": prune, "dry_run": dry_run}
    answer = session.keystored.post("apply", body=body)
    if session.as_json:
        show_json(answer)
        return
    for step in answer["steps"]:
        print(line(step))
    if not answer["steps"]:
        print("nothing to change")
    elif dry_run:
        print(f"{len(answer['steps'])} changes; nothing was changed")
    else:
        session.done(answer, f"{len(answer['steps'])} changes are in force")


def line(step: dict[str, Any]) -> str:
    """A step as a line of a diff: sign, kind, what, and how."""
    kind, _, verb = step["action"].partition("-")
    sign = SIGNS.get(verb, "~")
    words = [sign, kind, step["subject"], step["key"], step["detail"]]
    return " ".join(word for word in words if word)


def read_file(path: Path) -> dict[str, Any]:
    """Parse the file; times become text."""
    import tomllib  # noqa: PLC0415  # only here

    try:
        return {name: _plain(value) for name, value in tomllib.loads(path.read_text()).items()}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", "https://toml.io has the language") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value
