# SPDX-License-Identifier: Apache-2.0
"""Grants in the store, and what they add up to for one guest."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.store.guests import get_guest
from vmm_keystore.store.keys import get_key
from vmm_keystore.store.tables import grant_uids, grants, guests, key_versions, keys

BUDGET_ID_BITS = 63
"""Chosen at random: no grant ever finds the counters of another one."""


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant as stored."""

    row_id: int
    guest: str
    key: str
    permission: Permission
    created_s: int
    budget_id: int
    ops_used: int
    """Of its budget; some of them may only have been leased to the worker."""


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """A permitted version with its sealed blob."""

    version_row: int
    permitted: PermittedKey
    sealed: bytes


_PERMISSION = (
    grants.c.op_mask,
    grants.c.mechanism_mask,
    grants.c.not_before_s,
    grants.c.not_after_s,
    grants.c.input_bytes_max,
    grants.c.ops_max,
    grants.c.ops_a_second,
    grants.c.budget_id,
)


def insert_grant(connection: sa.Connection, guest: str, key: str, permission: Permission, now_s: int) -> None:
    """Grant *key* to *guest*; there must be no grant for the two yet."""
    statement = grants.insert().values(
        guest=get_guest(connection, guest).row_id,
        key=get_key(connection, key).row_id,
        op_mask=permission.op_mask,
        mechanism_mask=permission.mechanism_mask,
        not_before_s=permission.not_before_s,
        not_after_s=permission.not_after_s,
        input_bytes_max=permission.input_bytes_max,
        created_s=now_s,
        ops_max=permission.ops_max,
        ops_a_second=permission.ops_a_second,
        budget_id=secrets.randbits(BUDGET_ID_BITS) or 1 if permission.has_budget else None,
    )
    row = connection.execute(statement.returning(grants.c.id)).scalar_one()
    if permission.uids:
        connection.execute(grant_uids.insert(), [{"grant": row, "uid": uid} for uid in permission.uids])


def list_grants(connection: sa.Connection, guest: str | None = None, key: str | None = None) -> tuple[GrantRow, ...]:
    """Grants by guest and key, of one guest or key only when given."""
    statement = (
        sa.select(grants.c.id, guests.c.name, keys.c.label, grants.c.created_s, grants.c.ops_used, *_PERMISSION)
        .select_from(grants)
        .join(guests, guests.c.id == grants.c.guest)
        .join(keys, keys.c.id == grants.c.key)
        .order_by(guests.c.name, keys.c.label)
    )
    if guest is not None:
        statement = statement.where(guests.c.name == guest)
    if key is not None:
        statement = statement.where(keys.c.label == key)
    rows = connection.execute(statement).all()
    uids = _uids(connection, guest)
    return tuple(
        GrantRow(
            row.id,
            row.name,
            row.label,
            _permission(row, uids.get(row.id, ())),
            row.created_s,
            row.budget_id or 0,
            row.ops_used,
        )
        for row in rows
    )


def find_grant(connection: sa.Connection, guest: str, key: str) -> GrantRow | None:
    """Return the grant of *key* to *guest*, if there is one."""
    found = list_grants(connection, guest, key)
    return found[0] if found else None


def delete_grant(connection: sa.Connection, guest: str, key: str) -> GrantRow:
    """Take *key* from *guest*; return what it was.

    Raises:
        NotFoundError: no such guest, key or grant.
    """
    get_guest(connection, guest)
    get_key(connection, key)
    found = find_grant(connection, guest, key)
    if found is None:
        raise NotFoundError(f"guest '{guest}' has no grant of key '{key}'", "vmm-keystore grant list shows them")
    connection.execute(grants.delete().where(grants.c.id == found.row_id))
    return found


def permitted_versions(connection: sa.Connection, guest: str) -> tuple[SealedVersion, ...]:
    """Key versions that *guest* may use, ordered by key id, then version; destroyed ones never."""
    statement = (
        sa.select(
            key_versions.c.id,
            key_versions.c.sealed,
            key_versions.c.version,
            key_versions.c.state,
            keys.c.key_id,
            keys.c.key_type,
            keys.c.current_version,
            keys.c.label,
            grants.c.id.label("grant_id"),
            *_PERMISSION,
        )
        .select_from(key_versions)
        .join(keys, keys.c.id == key_versions.c.key)
        .join(grants, grants.c.key == keys.c.id)
        .join(guests, guests.c.id == grants.c.guest)
        .where(guests.c.name == guest, key_versions.c.state != KeyState.DESTROYED)
        .order_by(keys.c.key_id, key_versions.c.version)
    )
    rows = connection.execute(statement).all()
    uids = _uids(connection, guest)
    return tuple(
        SealedVersion(
            row.id,
            PermittedKey(
                key_id=row.key_id,
                version=row.version,
                key_type=row.key_type,
                state=row.state,
                current=row.version == row.current_version,
                permission=_permission(row, uids.get(row.grant_id, ())),
                label=row.label,
                budget_id=row.budget_id or 0,
            ),
            row.sealed,
        )
        for row in rows
    )


def count_budgets(connection: sa.Connection, guest: str) -> int:
    """How many grants of *guest* have a budget."""
    statement = sa.select(sa.func.count(grants.c.budget_id)).join(guests, guests.c.id == grants.c.guest)
    return int(connection.execute(statement.where(guests.c.name == guest)).scalar_one())


def spent_budgets(connection: sa.Connection, guest: str) -> dict[int, int]:
    """Operations that count as used, by budget, of one guest's grants."""
    statement = sa.select(grants.c.budget_id, grants.c.ops_used).join(guests, guests.c.id == grants.c.guest)
    statement = statement.where(guests.c.name == guest, grants.c.budget_id.is_not(None))
    return {row.budget_id: row.ops_used for row in connection.execute(statement)}


def spend_budgets(connection: sa.Connection, used: Mapping[int, int], *, only_more: bool) -> None:
    """Set how many operations of each budget count as used; with *only_more* never fewer than before."""
    for budget_id, count in used.items():
        statement = grants.update().where(grants.c.budget_id == budget_id).values(ops_used=count)
        connection.execute(statement.where(grants.c.ops_used < count) if only_more else statement)


def _permission(row: sa.Row[*tuple[Any, ...]], uids: tuple[int, ...]) -> Permission:
    return Permission(
        op_mask=row.op_mask,
        mechanism_mask=row.mechanism_mask,
        not_before_s=row.not_before_s,
        not_after_s=row.not_after_s,
        input_bytes_max=row.input_bytes_max,
        uids=uids,
        ops_max=row.ops_max,
        ops_a_second=row.ops_a_second,
    )


def _uids(connection: sa.Connection, guest: str | None) -> dict[int, tuple[int, ...]]:
    """Named uids by grant row, of one guest's grants or of all."""
    statement = sa.select(grant_uids.c.grant, grant_uids.c.uid).order_by(grant_uids.c.uid)
    if guest is not None:
        statement = statement.join(grants, grants.c.id == grant_uids.c.grant)
        statement = statement.join(guests, guests.c.id == grants.c.guest).where(guests.c.name == guest)
    found: dict[int, tuple[int, ...]] = {}
    for grant, uid in connection.execute(statement):
        found[grant] = (*found.get(grant, ()), uid)
    return found
