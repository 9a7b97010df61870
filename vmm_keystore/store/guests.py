# SPDX-License-Identifier: Apache-2.0
"""Guests in the store."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.store.holdings import parts
from vmm_keystore.store.tables import grants, guests, key_versions, own_keys, role_members


@dataclass(frozen=True, slots=True)
class GuestRow:
    """A guest as stored: its grants, its own and by its roles, and how many keys of its own it has and may have."""

    row_id: int
    name: str
    socket: str
    owner_uid: int | None
    created_s: int
    grant_count: int
    own_keys_max: int = 0
    own_key_count: int = 0
    """Destroyed ones left out."""


def insert_guest(
    connection: sa.Connection, name: str, socket: str, owner_uid: int | None, now_s: int, *, own_keys_max: int = 0
) -> None:
    """Add a guest; name and socket must be free."""
    connection.execute(
        guests.insert().values(
            name=name, socket=socket, owner_uid=owner_uid, created_s=now_s, own_keys_max=own_keys_max
        ),
    )


def set_own_keys_max(connection: sa.Connection, name: str, count: int) -> None:
    """Let a guest have so many keys of its own; those that it has stay."""
    connection.execute(guests.update().where(guests.c.name == name).values(own_keys_max=count))


def own_keys_max(connection: sa.Connection, name: str) -> int:
    """How many keys of its own a guest may have; 0 where there is no such guest."""
    return connection.execute(_OWN_KEYS_MAX, {"guest_name": name}).scalar() or 0


_OWN_KEYS_MAX = sa.select(guests.c.own_keys_max).where(guests.c.name == sa.bindparam("guest_name"))


def list_guests(connection: sa.Connection) -> tuple[GuestRow, ...]:
    """Every guest, by name."""
    return tuple(_row(row) for row in connection.execute(_query().order_by(guests.c.name)))


def guest_rows(connection: sa.Connection, names: Sequence[str]) -> tuple[int, ...]:
    """Rows of the guests *names*, in their order.

    Raises:
        NotFoundError: there is no such guest.
    """
    found: dict[str, int] = {}
    for part in parts(names):
        statement = sa.select(guests.c.name, guests.c.id).where(guests.c.name.in_(part))
        found |= {row.name: row.id for row in connection.execute(statement)}
    for name in names:
        if name not in found:
            raise _no_guest(name)
    return tuple(found[name] for name in names)


def find_guest(connection: sa.Connection, name: str) -> GuestRow | None:
    """Return the guest *name*, if there is one."""
    row = connection.execute(_query().where(guests.c.name == name)).first()
    return None if row is None else _row(row)


def get_guest(connection: sa.Connection, name: str) -> GuestRow:
    """Return the guest *name*.

    Raises:
        NotFoundError: there is none.
    """
    found = find_guest(connection, name)
    if found is None:
        raise _no_guest(name)
    return found


def find_socket_owner(connection: sa.Connection, socket: str) -> str | None:
    """Return the name of the guest that has *socket*."""
    return connection.execute(sa.select(guests.c.name).where(guests.c.socket == socket)).scalar()


def delete_guest(connection: sa.Connection, name: str) -> GuestRow:
    """Remove a guest and its grants; return what it was. Keys that were its own are the vault's from then on."""
    guest = get_guest(connection, name)
    connection.execute(guests.delete().where(guests.c.id == guest.row_id))
    return guest


def _no_guest(name: str) -> NotFoundError:
    return NotFoundError(f"no guest '{name}'", "vmm-keystore guest list shows those there are")


def _query() -> sa.Select[int, str, str, int | None, int, int, int, int]:
    own = sa.select(sa.func.count()).where(grants.c.guest == guests.c.id).scalar_subquery()
    by_role = (
        sa.select(sa.func.count())
        .select_from(role_members)
        .join(grants, grants.c.role == role_members.c.role)
        .where(role_members.c.guest == guests.c.id)
        .scalar_subquery()
    )
    left = sa.exists().where(key_versions.c.key == own_keys.c.key, key_versions.c.state != KeyState.DESTROYED)
    owned = sa.select(sa.func.count()).where(own_keys.c.guest == guests.c.id, left).scalar_subquery()
    return sa.select(
        guests.c.id,
        guests.c.name,
        guests.c.socket,
        guests.c.owner_uid,
        guests.c.created_s,
        (own + by_role).label("grant_count"),
        guests.c.own_keys_max,
        owned.label("own_key_count"),
    )


def _row(row: sa.Row[int, str, str, int | None, int, int, int, int]) -> GuestRow:
    return GuestRow(*row)
