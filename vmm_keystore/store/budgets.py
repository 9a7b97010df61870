# SPDX-License-Identifier: Apache-2.0
"""Counters of operations in the store: one for each guest under each grant that bounds them."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vmm_keystore.store.holdings import guest_row_of
from vmm_keystore.store.tables import budgets, grants, guests, keys

ID_BITS = 63
"""Ids are chosen at random: no grant ever finds the counters of another one in state memory."""


@dataclass(frozen=True, slots=True)
class BoundedUse:
    """How much a guest has used of the operations that a grant allows in all."""

    guest: str
    key: str
    budget_id: int
    ops_max: int
    ops_used: int
    """Some of them may only have been leased to its worker."""


def open_budgets(connection: sa.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Add a budget for each grant row and guest row; there is none yet, and the grant bounds operations."""
    rows = [
        {"grant": grant, "guest": guest, "budget_id": secrets.randbits(ID_BITS) or 1, "ops_used": 0}
        for grant, guest in pairs
    ]
    if rows:
        connection.execute(budgets.insert(), rows)


def close_budgets(connection: sa.Connection, grant_rows: Sequence[int], guest_row: int) -> None:
    """Drop the budgets that one guest has under grants it loses."""
    connection.execute(budgets.delete().where(budgets.c.guest == guest_row, budgets.c.grant.in_(grant_rows)))


def count_budgets(connection: sa.Connection, guest_rows: Sequence[int]) -> dict[int, int]:
    """How many budgets each guest row has, where it has any."""
    count = sa.func.count().label("budget_count")
    statement = sa.select(budgets.c.guest, count).group_by(budgets.c.guest)
    if len(guest_rows) == 1:
        statement = statement.where(budgets.c.guest == guest_rows[0])
    wanted = frozenset(guest_rows)
    return {row.guest: row.budget_count for row in connection.execute(statement) if row.guest in wanted}


def list_bounded(connection: sa.Connection, share: float = 0.0) -> tuple[BoundedUse, ...]:
    """Every guest's use of every grant that bounds operations in all, where it may have used at least *share* of them."""
    statement = (
        sa.select(guests.c.name, keys.c.label, budgets.c.budget_id, grants.c.ops_max, budgets.c.ops_used)
        .select_from(budgets)
        .join(grants, grants.c.id == budgets.c.grant)
        .join(guests, guests.c.id == budgets.c.guest)
        .join(keys, keys.c.id == grants.c.key)
        .where(grants.c.ops_max > 0, budgets.c.ops_used >= share * grants.c.ops_max)
        .order_by(guests.c.name, keys.c.label)
    )
    return tuple(BoundedUse(*row) for row in connection.execute(statement))


def spent_budgets(connection: sa.Connection, guest: str) -> dict[int, int]:
    """Operations that count as used, by budget id, of one guest."""
    statement = sa.select(budgets.c.budget_id, budgets.c.ops_used).where(budgets.c.guest == guest_row_of(guest))
    return {row.budget_id: row.ops_used for row in connection.execute(statement)}


def spend_budgets(connection: sa.Connection, used: Mapping[int, int], *, only_more: bool) -> None:
    """Set how many operations of each budget count as used; with *only_more* never fewer than before."""
    statement = budgets.update().where(budgets.c.budget_id == sa.bindparam("its_id"))
    statement = statement.values(ops_used=sa.bindparam("count"))
    if only_more:
        statement = statement.where(budgets.c.ops_used < sa.bindparam("count"))
    if used:
        connection.execute(statement, [{"its_id": budget_id, "count": count} for budget_id, count in used.items()])
