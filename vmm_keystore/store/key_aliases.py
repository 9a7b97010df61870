# SPDX-License-Identifier: Apache-2.0
"""Aliases of keys in the store: second names, each of one key at a time."""

from dataclasses import dataclass

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.store.tables import key_aliases, keys


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An alias, the label of its key, and since when it is that key's."""

    name: str
    key: str
    set_s: int


def list_aliases(connection: sa.Connection) -> tuple[AliasRow, ...]:
    """Every alias, by name."""
    return tuple(AliasRow(*row) for row in connection.execute(_select().order_by(key_aliases.c.name)))


def find_alias(connection: sa.Connection, name: str) -> AliasRow | None:
    """Return the alias *name*, if there is one."""
    row = connection.execute(_select().where(key_aliases.c.name == name)).first()
    return None if row is None else AliasRow(*row)


def get_alias(connection: sa.Connection, name: str) -> AliasRow:
    """Return the alias *name*.

    Raises:
        NotFoundError: there is none.
    """
    found = find_alias(connection, name)
    if found is None:
        raise NotFoundError(f"no alias '{name}'", "vmm-keystore key alias list shows those there are")
    return found


def set_alias(connection: sa.Connection, name: str, key_row: int, now_s: int) -> None:
    """Let *name*, which is no label, be an alias of a key, and of no other one."""
    delete_alias(connection, name)
    connection.execute(key_aliases.insert().values(name=name, key=key_row, set_s=now_s))


def delete_alias(connection: sa.Connection, name: str) -> None:
    """Forget an alias, if there is one of that name."""
    connection.execute(key_aliases.delete().where(key_aliases.c.name == name))


def aliased(condition: sa.ColumnElement[bool]) -> sa.Select[int, str]:
    """Row and alias, for each alias of the keys that *condition* names."""
    return (
        sa.select(keys.c.id, key_aliases.c.name)
        .join(keys, keys.c.id == key_aliases.c.key)
        .where(condition)
        .order_by(key_aliases.c.name)
    )


def _select() -> sa.Select[str, str, int]:
    return sa.select(key_aliases.c.name, keys.c.label, key_aliases.c.set_s).join(keys, keys.c.id == key_aliases.c.key)
