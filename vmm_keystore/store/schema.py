# SPDX-License-Identifier: Apache-2.0
"""Bringing a store to the schema of this version, in one transaction; a newer one is refused untouched."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from vmm_keystore.errors import StoreDamagedError, StoreNewerError


def migrate(connection: Connection, path: Path, target: str = "head") -> str:
    """Run the missing migrations inside the connection's transaction; return the newest revision.

    Args:
        connection: the writer's.
        path: of the file, for messages.
        target: revision to stop at, for tests of what older versions left.

    Raises:
        StoreNewerError: the store has a revision this version does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_heads()
    known = {revision.revision for revision in script.walk_revisions()}
    if len(present) > 1:
        raise StoreDamagedError(f"{path} has more than one schema revision", "restore it from a backup")
    if present and present[0] not in known:
        raise StoreNewerError(
            f"{path} was written by a newer version (schema {present[0]})", "install that version, or restore a backup"
        )
    head = script.get_current_head() or ""
    if present != (head,):
        command.upgrade(config, target)
    return head
