# SPDX-License-Identifier: Apache-2.0
"""What operators have been told of and is not over yet, in the store: a daemon that starts does not tell it again."""

from collections.abc import Collection

import sqlalchemy as sa

from vmm_keystore.policy.event import EventKind
from vmm_keystore.store.holdings import parts
from vmm_keystore.store.tables import event_marks


def list_marks(connection: sa.Connection, kind: EventKind) -> dict[str, int]:
    """Since when each is known, by what it is known by."""
    statement = sa.select(event_marks.c.edge, event_marks.c.since_s).where(event_marks.c.kind == kind.value)
    return {row.edge: row.since_s for row in connection.execute(statement)}


def has_mark(connection: sa.Connection, kind: EventKind, edge: str) -> bool:
    """Whether it has been told of."""
    found = sa.select(event_marks.c.edge).where(event_marks.c.kind == kind.value, event_marks.c.edge == edge)
    return connection.execute(found).first() is not None


def set_mark(connection: sa.Connection, kind: EventKind, edge: str, now_s: int) -> None:
    """It is told of with this transaction."""
    drop_marks(connection, kind, [edge])
    connection.execute(event_marks.insert().values(kind=kind.value, edge=edge, since_s=now_s))


def drop_marks(connection: sa.Connection, kind: EventKind, edges: Collection[str]) -> None:
    """They are over: if they come again, they are told of again."""
    for part in parts(list(edges)):
        connection.execute(
            event_marks.delete().where(event_marks.c.kind == kind.value, event_marks.c.edge.in_(part)),
        )
