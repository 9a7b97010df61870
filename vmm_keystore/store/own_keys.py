# SPDX-License-Identifier: Apache-2.0
"""Keys that are a guest's own, and the orders that were carried out last, one for each of its rings."""

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from vmm_keystore.store.key_rows import KeyRow, load_keys
from vmm_keystore.store.tables import (
    grants,
    guest_orders,
    guests,
    key_aliases,
    key_tags,
    key_uses,
    key_versions,
    keys,
    own_keys,
)

QUEUE_SHIFT = 48
"""VKS_STATE_SEQUENCE_SHIFT: where a request's number says which ring it came by."""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """What an order came to: the key that it was about, and the version that was made, if one was."""

    request_sequence: int
    key_id: bytes
    version: int

    @property
    def queue(self) -> int:
        """The ring that it came by, which is part of its number."""
        return self.request_sequence >> QUEUE_SHIFT


def find_order(connection: sa.Connection, guest: str, request_sequence: int) -> OrderRow | None:
    """What a guest's order came to, where it is the last of its ring that was carried out."""
    row = connection.execute(_ORDER, {"guest_name": guest, "sequence": request_sequence}).first()
    return None if row is None else OrderRow(*row)


def has_orders(connection: sa.Connection, guest: str) -> bool:
    """Whether any order of a guest was carried out."""
    return connection.execute(_ORDERS, {"guest_name": guest}).first() is not None


def note_order(connection: sa.Connection, guest_row: int, order: OrderRow) -> None:
    """Note what an order came to, in the place of the one before it by the same ring."""
    connection.execute(
        guest_orders.delete().where(guest_orders.c.guest == guest_row, guest_orders.c.queue == order.queue)
    )
    connection.execute(guest_orders.insert().values(guest=guest_row, queue=order.queue, **asdict(order)))


def forget_orders(connection: sa.Connection, guest: str) -> None:
    """The guest's requests are numbered anew."""
    row = sa.select(guests.c.id).where(guests.c.name == guest).scalar_subquery()
    connection.execute(guest_orders.delete().where(guest_orders.c.guest == row))


def own_key(connection: sa.Connection, key_row: int, guest_row: int) -> None:
    """Make a key the guest's own."""
    connection.execute(own_keys.insert().values(key=key_row, guest=guest_row))


def find_own_key(connection: sa.Connection, guest: str, key_id: bytes) -> KeyRow | None:
    """The key of that id, if it is the guest's own."""
    found = load_keys(connection, keys.c.key_id == key_id)
    return found[0] if found and found[0].owner == guest else None


def owners(connection: sa.Connection) -> dict[str, str]:
    """Guests by the labels of the keys that are their own."""
    statement = sa.select(keys.c.label, guests.c.name).join(own_keys, own_keys.c.key == keys.c.id).join(guests)
    return {row.label: row.name for row in connection.execute(statement)}


def forget_key(connection: sa.Connection, key: KeyRow) -> None:
    """Leave nothing of a key: neither material nor name."""
    connection.execute(grants.delete().where(grants.c.key == key.row_id))
    connection.execute(key_uses.delete().where(key_uses.c.key == key.row_id))
    connection.execute(key_tags.delete().where(key_tags.c.key == key.label))
    connection.execute(key_aliases.delete().where(key_aliases.c.key == key.row_id))
    connection.execute(key_versions.delete().where(key_versions.c.key == key.row_id))
    connection.execute(keys.delete().where(keys.c.id == key.row_id))


_ORDERS = (
    sa.select(guest_orders.c.request_sequence, guest_orders.c.key_id, guest_orders.c.version)
    .join(guests, guests.c.id == guest_orders.c.guest)
    .where(guests.c.name == sa.bindparam("guest_name"))
)
_ORDER = _ORDERS.where(guest_orders.c.request_sequence == sa.bindparam("sequence"))
