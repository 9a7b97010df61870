# SPDX-License-Identifier: Apache-2.0
"""Backups of a real keystored: restoring them beside it, and spoiling them in ways that only a check can find."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from framework.keystored import Keystored, Outcome

Damage = Callable[[bytes, Path], bytes]
"""Makes of a good backup a bad one; may use the folder."""


def restore(vault: Keystored, backup: Path, *arguments: str | Path, ok: bool = True) -> Outcome:
    """Into a folder beside the old one, which the daemon is then started on."""
    vault.state_dir = vault.folder / "restored"
    vault.control_socket = vault.state_dir / "control.sock"
    return vault.cli("restore", backup, "--state-dir", vault.state_dir, *arguments, ok=ok)


def database_of(backup: Path, folder: Path) -> Path:
    """The database in a backup."""
    path = folder / "content.db"
    path.write_bytes(backup.read_bytes().partition(b"\n")[2])
    return path


def with_head(**changes: Any) -> Damage:
    """Another first line."""

    def damage(content: bytes, _folder: Path) -> bytes:
        head, _, body = content.partition(b"\n")
        fields = {**json.loads(head), **changes}
        return json.dumps({name: value for name, value in fields.items() if value is not None}).encode() + b"\n" + body

    return damage


def with_sql(*statements: str) -> Damage:
    """Another database, with the hash that it has."""

    def damage(content: bytes, folder: Path) -> bytes:
        path = folder / "damaged.db"
        path.write_bytes(content.partition(b"\n")[2])
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        body = path.read_bytes()
        changed = {"size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        return with_head(**changed)(content.partition(b"\n")[0] + b"\n" + body, folder)

    return damage
