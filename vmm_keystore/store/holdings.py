# SPDX-License-Identifier: Apache-2.0
"""Which guest holds which grant: its own, and those of its roles. A guest has a key by one grant at most."""

from collections.abc import Sequence
from typing import TypeVar

import sqlalchemy as sa

from vmm_keystore.policy.desired import ROLE_MARK
from vmm_keystore.store.tables import grants, guests, keys, role_members, roles

PART_MAX = 500

T = TypeVar("T")


def holdings() -> sa.Subquery:
    """Pairs of ``grant`` and ``guest``."""
    own = sa.select(grants.c.id.label("grant"), grants.c.guest).where(grants.c.guest.is_not(None))
    by_role = sa.select(grants.c.id.label("grant"), role_members.c.guest).join(
        role_members, role_members.c.role == grants.c.role
    )
    return sa.union_all(own, by_role).subquery("holdings")


def holdings_of(guest_row: int | sa.ScalarSelect[int]) -> sa.Subquery:
    """The same of one guest: without a look at anybody else's."""
    own = sa.select(grants.c.id.label("grant"), grants.c.guest).where(grants.c.guest == guest_row)
    by_role = (
        sa.select(grants.c.id.label("grant"), role_members.c.guest)
        .join(role_members, role_members.c.role == grants.c.role)
        .where(role_members.c.guest == guest_row)
    )
    return sa.union_all(own, by_role).subquery("holdings")


def guest_row_of(name: str | sa.BindParameter[str]) -> sa.ScalarSelect[int]:
    """Row of the guest *name*, NULL when there is none."""
    return sa.select(guests.c.id).where(guests.c.name == name).scalar_subquery()


def find_double(
    connection: sa.Connection, guest_rows: Sequence[int], key_rows: Sequence[int]
) -> tuple[str, str, str] | None:
    """Look for one of *guest_rows* that holds one of *key_rows* already.

    Returns:
        Guest, key and holder of one such grant.
    """
    held = holdings()
    for part in parts(guest_rows):
        statement = (
            sa.select(guests.c.name, keys.c.label, roles.c.name.label("role"))
            .select_from(held)
            .join(grants, grants.c.id == held.c.grant)
            .join(guests, guests.c.id == held.c.guest)
            .join(keys, keys.c.id == grants.c.key)
            .outerjoin(roles, roles.c.id == grants.c.role)
            .where(held.c.guest.in_(part), grants.c.key.in_(key_rows))
        )
        found = connection.execute(statement.limit(1)).first()
        if found is not None:
            return found.name, found.label, f"{ROLE_MARK}{found.role}" if found.role else found.name
    return None


def parts(values: Sequence[T]) -> list[Sequence[T]]:
    """In pieces that one statement takes."""
    return [values[start : start + PART_MAX] for start in range(0, len(values), PART_MAX)]
