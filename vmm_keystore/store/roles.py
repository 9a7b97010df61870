# SPDX-License-Identifier: Apache-2.0
"""Roles in the store: names that grants are made to, and the guests that have them."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.store.budgets import close_budgets, open_budgets
from vmm_keystore.store.tables import grants, guests, role_members, roles


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role as stored, with the guests that have it and the number of grants."""

    row_id: int
    name: str
    created_s: int
    guests: tuple[str, ...]
    guest_rows: tuple[int, ...]
    grant_count: int


def insert_role(connection: sa.Connection, name: str, now_s: int) -> None:
    """Add a role; the name must be free."""
    connection.execute(roles.insert().values(name=name, created_s=now_s))


def list_roles(connection: sa.Connection) -> tuple[RoleRow, ...]:
    """Every role, by name."""
    return _load(connection, sa.true())


def find_role(connection: sa.Connection, name: str) -> RoleRow | None:
    """Return the role *name*, if there is one."""
    found = _load(connection, roles.c.name == name)
    return found[0] if found else None


def get_role(connection: sa.Connection, name: str) -> RoleRow:
    """Return the role *name*.

    Raises:
        NotFoundError: there is none.
    """
    found = find_role(connection, name)
    if found is None:
        raise NotFoundError(f"no role '{name}'", "vmm-keystore role list shows those there are")
    return found


def delete_role(connection: sa.Connection, role: RoleRow) -> None:
    """Remove a role and its grants."""
    connection.execute(roles.delete().where(roles.c.id == role.row_id))


def granted_keys(connection: sa.Connection, role: RoleRow) -> list[int]:
    """Rows of the keys that are granted to a role."""
    return list(connection.execute(sa.select(grants.c.key).where(grants.c.role == role.row_id)).scalars())


def bounded_grants(connection: sa.Connection, role: RoleRow) -> list[int]:
    """Rows of a role's grants that bound operations: each of its guests has a budget under each of them."""
    bounded = sa.or_(grants.c.ops_max > 0, grants.c.ops_a_second > 0)
    return list(connection.execute(sa.select(grants.c.id).where(grants.c.role == role.row_id, bounded)).scalars())


def add_members(connection: sa.Connection, role: RoleRow, guest_rows: Sequence[int]) -> None:
    """Give a role to guests that do not have it."""
    connection.execute(role_members.insert(), [{"role": role.row_id, "guest": guest} for guest in guest_rows])
    bounded = bounded_grants(connection, role)
    open_budgets(connection, [(grant, guest) for guest in guest_rows for grant in bounded])


def remove_members(connection: sa.Connection, role: RoleRow, guest_rows: Sequence[int]) -> None:
    """Take a role from guests that have it."""
    bounded = bounded_grants(connection, role)
    for guest in guest_rows:
        connection.execute(
            role_members.delete().where(role_members.c.role == role.row_id, role_members.c.guest == guest)
        )
        close_budgets(connection, bounded, guest)


def _load(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[RoleRow, ...]:
    grant_count = sa.select(sa.func.count()).where(grants.c.role == roles.c.id).scalar_subquery().label("grant_count")
    heads = connection.execute(
        sa.select(roles.c.id, roles.c.name, roles.c.created_s, grant_count).where(condition).order_by(roles.c.name)
    ).all()
    members: dict[int, list[tuple[str, int]]] = {head.id: [] for head in heads}
    statement = (
        sa.select(role_members.c.role, guests.c.name, guests.c.id)
        .join(guests, guests.c.id == role_members.c.guest)
        .join(roles, roles.c.id == role_members.c.role)
        .where(condition)
        .order_by(guests.c.name)
    )
    for role, name, row in connection.execute(statement):
        members[role].append((name, row))
    return tuple(
        RoleRow(
            head.id,
            head.name,
            head.created_s,
            tuple(name for name, _row in members[head.id]),
            tuple(row for _name, row in members[head.id]),
            head.grant_count,
        )
        for head in heads
    )
