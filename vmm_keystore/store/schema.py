# SPDX-License-Identifier: Apache-2.0
"""Bringing a store to the schema of this version, in one transaction; a newer one is refused untouched.

A store that is at that schema already is told by its revision alone: Alembic takes a while to load, and guests wait for
a keystored that comes back.
"""

from pathlib import Path

import sqlalchemy as sa

from vmm_keystore.errors import StoreDamagedError, StoreNewerError

HEAD = "r0009"
"""The newest of the revisions in ``migrations/versions``; a test ties it to them."""
TABLE = "alembic_version"


def migrate(connection: sa.Connection, path: Path, target: str = HEAD) -> str:
    """Run the missing migrations inside the connection's transaction; return the newest revision.

    Args:
        connection: the writer's.
        path: of the file, for messages.
        target: revision to stop at, for tests of what older versions left.

    Raises:
        StoreNewerError: the store has a revision this version does not know.
    """
    present = _revisions(connection)
    if present == [HEAD]:
        return HEAD
    from alembic import command  # noqa: PLC0415  # see above
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if len(present) > 1:
        raise StoreDamagedError(f"{path} has more than one schema revision", "restore it from a backup")
    if present and present[0] not in known:
        raise StoreNewerError(
            f"{path} was written by a newer version (schema {present[0]})", "install that version, or restore a backup"
        )
    command.upgrade(config, target)
    return HEAD


def _revisions(connection: sa.Connection) -> list[str]:
    """What the store says that it is at; nothing in a new one."""
    if not sa.inspect(connection).has_table(TABLE):
        return []
    return list(connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(TABLE))).scalars())
