# SPDX-License-Identifier: Apache-2.0
"""Grants in the store, and what they add up to for one guest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.policy.desired import ROLE_MARK
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.hsm import TokenObject
from vmm_keystore.policy.lifecycle import effective_state
from vmm_keystore.policy.vocabulary import OWNER_MARK, OWNER_OPS, KeyState, KeyType, mask
from vmm_keystore.store.budgets import open_budgets
from vmm_keystore.store.guests import get_guest
from vmm_keystore.store.holdings import guest_row_of, holdings_of, parts
from vmm_keystore.store.roles import RoleRow, get_role
from vmm_keystore.store.sealed import BLOB_COLUMNS
from vmm_keystore.store.tables import (
    budgets,
    grant_uids,
    grants,
    guests,
    key_versions,
    keys,
    own_keys,
    role_members,
    roles,
)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a grant is made to: a guest, or a role with its guests."""

    name: str
    guests: tuple[str, ...]
    guest_rows: tuple[int, ...]
    role: RoleRow | None = None


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant as stored: to *guest*, or to *role*; both where it was asked what a guest has."""

    row_id: int
    guest: str | None
    role: str | None
    key: str
    permission: Permission
    created_s: int
    budget_id: int
    ops_used: int
    """Of the guest's budget; some of them may only have been leased to its worker."""

    @property
    def holder(self) -> str:
        """Guest, or role with its mark."""
        return self.guest or f"{ROLE_MARK}{self.role}"


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """A version with its sealed blob."""

    version_row: int
    key_id: bytes
    version: int
    key_type: KeyType
    sealed: bytes
    in_token: bool


_PERMISSION = (
    grants.c.op_mask,
    grants.c.mechanism_mask,
    grants.c.not_before_s,
    grants.c.not_after_s,
    grants.c.input_bytes_max,
    grants.c.ops_max,
    grants.c.ops_a_second,
)
_TERMS = slice(0, 1 + len(_PERMISSION))
"""Of a permitted version's row: whether the key is the guest's own, and the grant's terms but its uids."""
_BUDGET = (budgets.c.budget_id, budgets.c.ops_used)


def get_holder(connection: sa.Connection, name: str) -> Holder:
    """Find a guest, or with ``@`` before its name a role.

    Raises:
        NotFoundError: there is none.
    """
    if name.startswith(ROLE_MARK):
        role = get_role(connection, name.removeprefix(ROLE_MARK))
        return Holder(name, role.guests, role.guest_rows, role)
    return Holder(name, (name,), (get_guest(connection, name).row_id,))


def insert_grant(connection: sa.Connection, holder: Holder, key_row: int, permission: Permission, now_s: int) -> None:
    """Grant a key; none of the holder's guests has one of it yet."""
    statement = grants.insert().values(
        guest=None if holder.role else holder.guest_rows[0],
        role=holder.role.row_id if holder.role else None,
        key=key_row,
        created_s=now_s,
        **_columns(permission),
    )
    row = connection.execute(statement.returning(grants.c.id)).scalar_one()
    _insert_uids(connection, row, permission)
    if permission.has_budget:
        open_budgets(connection, [(row, guest) for guest in holder.guest_rows])


def change_grant(connection: sa.Connection, holder: Holder, grant: GrantRow, permission: Permission) -> None:
    """Change what a grant allows; what counts as used of its budgets stays, unless it bounds operations no more."""
    connection.execute(grants.update().where(grants.c.id == grant.row_id).values(**_columns(permission)))
    connection.execute(grant_uids.delete().where(grant_uids.c.grant == grant.row_id))
    _insert_uids(connection, grant.row_id, permission)
    if permission.has_budget and not grant.permission.has_budget:
        open_budgets(connection, [(grant.row_id, guest) for guest in holder.guest_rows])
    elif grant.permission.has_budget and not permission.has_budget:
        connection.execute(budgets.delete().where(budgets.c.grant == grant.row_id))


def count_grants(connection: sa.Connection) -> int:
    """How many grants there are, to guests and to roles."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(grants)).scalar_one())


def list_grants(
    connection: sa.Connection, key: str | None = None, *, only_ending: bool = False
) -> tuple[GrantRow, ...]:
    """Every grant once, by guest, then role, then key; of one key, or only those with an end, when asked for."""
    statement = _single() if key is None else _single().where(keys.c.label == key)
    return _rows(connection, statement.where(grants.c.not_after_s > 0) if only_ending else statement)


def list_held(connection: sa.Connection, guest: str, key: str | None = None) -> tuple[GrantRow, ...]:
    """What a guest has, itself and by its roles, by key; of one key only when given."""
    held = holdings_of(guest_row_of(guest))
    statement = (
        _select(sa.literal(guest).label("guest"))
        .select_from(held)
        .join(grants, grants.c.id == held.c.grant)
        .outerjoin(roles, roles.c.id == grants.c.role)
        .join(keys, keys.c.id == grants.c.key)
        .outerjoin(budgets, sa.and_(budgets.c.grant == grants.c.id, budgets.c.guest == held.c.guest))
        .order_by(keys.c.label)
    )
    return _rows(connection, statement if key is None else statement.where(keys.c.label == key))


def find_grant(connection: sa.Connection, holder: str, key: str) -> GrantRow | None:
    """Return the grant of *key* made to just this guest, or role with its mark, if there is one."""
    is_role = holder.startswith(ROLE_MARK)
    found = _rows(
        connection, _OF_ROLE if is_role else _OF_GUEST, {"holder": holder.removeprefix(ROLE_MARK), "key": key}
    )
    return found[0] if found else None


def delete_grant(connection: sa.Connection, holder: Holder, key: str) -> GrantRow:
    """Take the key with the label *key* from a guest or role; return what it was.

    Raises:
        NotFoundError: no such grant.
    """
    found = find_grant(connection, holder.name, key)
    if found is None:
        kind = "role" if holder.role else "guest"
        by_role = () if holder.role else list_held(connection, holder.name, key)
        hint = "vmm-keystore grant list shows them"
        if by_role:
            hint = f"it has it by role '{by_role[0].role}': vmm-keystore role unassign takes that"
        name = holder.role.name if holder.role else holder.name
        raise NotFoundError(f"{kind} '{name}' has no grant of key '{key}'", hint)
    connection.execute(grants.delete().where(grants.c.id == found.row_id))
    return found


def permitted_keys(connection: sa.Connection, guest: str) -> tuple[PermittedKey, ...]:
    """Key versions that *guest* may use, ordered by key id, then version; destroyed ones never."""
    rows = connection.execute(_PERMITTED, {"guest_name": guest}).all()
    uids = _uids(connection, [row.grant_id for row in rows])
    names = _own_names(guest, rows)
    # Many keys are granted on few terms, and a guest may have very many keys.
    permissions: dict[tuple[object, ...], Permission] = {}
    found = []
    for row in rows:
        terms = (*row[_TERMS], uids.get(row.grant_id, ()))
        permission = permissions.get(terms)
        if permission is None:
            permission = permissions[terms] = _permission_of(row, uids)
        found.append(
            PermittedKey(
                row.key_id,
                row.version,
                row.key_type,
                effective_state(
                    row.state, set_aside=row.destroy_at_s is not None or row.version < row.min_process_version
                ),
                row.version == row.current_version,
                permission,
                names.get(row.key_id, row.label),
                row.budget_id or 0,
                TokenObject(row.token_serial, row.token_object) if row.token_object else None,
            )
        )
    return tuple(found)


def sealed_versions(
    connection: sa.Connection, guest: str, versions: Collection[tuple[bytes, int]]
) -> tuple[SealedVersion, ...]:
    """Those of *versions* that *guest* may use, with their blobs, without a look at its other keys."""
    found = []
    for part in parts(list(dict.fromkeys(key_id for key_id, _version in versions))):
        for row in connection.execute(_SEALED, {"guest_name": guest, "key_ids": part}):
            if (row.key_id, row.version) in versions:
                in_token = bool(row.token_object)
                found.append(SealedVersion(row.id, row.key_id, row.version, row.key_type, row.sealed, in_token))
    return tuple(found)


def _select(guest: sa.ColumnElement[str]) -> sa.Select[*tuple[Any, ...]]:
    role = roles.c.name.label("role")
    return sa.select(grants.c.id, guest, role, keys.c.label, grants.c.created_s, *_PERMISSION, *_BUDGET)


def _single() -> sa.Select[*tuple[Any, ...]]:
    """Every grant once, with its guest or role."""
    return (
        _select(guests.c.name.label("guest"))
        .select_from(grants)
        .outerjoin(guests, guests.c.id == grants.c.guest)
        .outerjoin(roles, roles.c.id == grants.c.role)
        .join(keys, keys.c.id == grants.c.key)
        .outerjoin(budgets, sa.and_(budgets.c.grant == grants.c.id, budgets.c.guest == grants.c.guest))
        .order_by(guests.c.name.is_(None), guests.c.name, roles.c.name, keys.c.label)
    )


def _permitted() -> sa.Select[*tuple[Any, ...]]:
    """The versions that a guest may use, with what its grants say."""
    held = holdings_of(guest_row_of(sa.bindparam("guest_name")))
    return (
        sa.select(
            own_keys.c.key.is_not(None).label("is_own"),
            *_PERMISSION,
            key_versions.c.version,
            key_versions.c.state,
            keys.c.key_id,
            keys.c.key_type,
            keys.c.current_version,
            keys.c.min_process_version,
            key_versions.c.destroy_at_s,
            key_versions.c.token_serial,
            key_versions.c.token_object,
            keys.c.label,
            grants.c.id.label("grant_id"),
            *_BUDGET,
        )
        .select_from(held)
        .join(grants, grants.c.id == held.c.grant)
        .join(keys, keys.c.id == grants.c.key)
        .join(key_versions, key_versions.c.key == keys.c.id)
        .outerjoin(own_keys, sa.and_(own_keys.c.key == keys.c.id, own_keys.c.guest == held.c.guest))
        .outerjoin(budgets, sa.and_(budgets.c.grant == grants.c.id, budgets.c.guest == held.c.guest))
        .where(key_versions.c.state != KeyState.DESTROYED)
        .order_by(keys.c.key_id, key_versions.c.version)
    )


def _sealed() -> sa.Select[*tuple[Any, ...]]:
    """Blobs of a few keys, found by these: a guest may hold very many others."""
    guest = guest_row_of(sa.bindparam("guest_name"))
    its_roles = sa.select(role_members.c.role).where(role_members.c.guest == guest)
    return (
        sa.select(*BLOB_COLUMNS)
        .select_from(keys)
        .join(key_versions, key_versions.c.key == keys.c.id)
        .join(grants, grants.c.key == keys.c.id)
        .where(
            keys.c.key_id.in_(sa.bindparam("key_ids", expanding=True)),
            key_versions.c.state != KeyState.DESTROYED,
            sa.or_(grants.c.guest == guest, grants.c.role.in_(its_roles)),
        )
    )


# Once: to write a statement takes longer than to run it, and each change asks these.
_OF_KEY = keys.c.label == sa.bindparam("key")
_OF_GUEST = _single().where(guests.c.name == sa.bindparam("holder"), _OF_KEY)
_OF_ROLE = _single().where(roles.c.name == sa.bindparam("holder"), _OF_KEY)
_PERMITTED = _permitted()
_SEALED = _sealed()


def _rows(
    connection: sa.Connection, statement: sa.Select[*tuple[Any, ...]], values: dict[str, str] | None = None
) -> tuple[GrantRow, ...]:
    rows = connection.execute(statement, values or {}).all()
    uids = _uids(connection, [row.id for row in rows])
    return tuple(
        GrantRow(
            row.id,
            row.guest,
            row.role,
            row.label,
            _permission(row, uids.get(row.id, ())),
            row.created_s,
            row.budget_id or 0,
            row.ops_used or 0,
        )
        for row in rows
    )


def _own_names(guest: str, rows: Sequence[sa.Row[*tuple[Any, ...]]]) -> dict[bytes, str]:
    """What a guest calls its own keys, by key id: another key that is called so as well keeps the name to itself."""
    taken = {row.label for row in rows if not row.is_own}
    own = {row.key_id: row.label.removeprefix(f"{guest}{OWNER_MARK}") for row in rows if row.is_own}
    return {key_id: name for key_id, name in own.items() if name not in taken}


def _permission_of(row: sa.Row[*tuple[Any, ...]], uids: Mapping[int, tuple[int, ...]]) -> Permission:
    """What the grant says, and what an owner may do besides."""
    permission = _permission(row, uids.get(row.grant_id, ()))
    return replace(permission, op_mask=permission.op_mask | mask(OWNER_OPS)) if row.is_own else permission


def _columns(permission: Permission) -> dict[str, int]:
    return {column.name: getattr(permission, column.name) for column in _PERMISSION}


def _insert_uids(connection: sa.Connection, grant_row: int, permission: Permission) -> None:
    if permission.uids:
        connection.execute(grant_uids.insert(), [{"grant": grant_row, "uid": uid} for uid in permission.uids])


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


def _uids(connection: sa.Connection, grant_rows: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Named uids by grant row, of these grants only."""
    found: dict[int, tuple[int, ...]] = {}
    for part in parts(list(dict.fromkeys(grant_rows))):
        statement = sa.select(grant_uids.c.grant, grant_uids.c.uid).where(grant_uids.c.grant.in_(part))
        for grant, uid in connection.execute(statement.order_by(grant_uids.c.uid)):
            found[grant] = (*found.get(grant, ()), uid)
    return found
