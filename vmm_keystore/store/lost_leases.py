# SPDX-License-Identifier: Apache-2.0
"""Key versions whose nonce leases are not known in full, since the store was restored: none may encrypt again.

Kept in the table ``meta`` under ``lost-leases``, as a JSON list of ``[key id in hex, version]``. A version that is
deactivated needs no such note, the life cycle never makes it active; one that is suspended does.
"""

import json
from collections.abc import Iterable

import sqlalchemy as sa

from vmm_keystore.store.tables import meta

_NAME = "lost-leases"

KeyVersion = tuple[bytes, int]
"""Key id and version."""


def lost_leases(connection: sa.Connection) -> frozenset[KeyVersion]:
    """Every version noted.

    Raises:
        ValueError: the note is not one of ours.
    """
    value = connection.execute(sa.select(meta.c.value).where(meta.c.name == _NAME)).scalar_one_or_none()
    if value is None:
        return frozenset()
    try:
        return frozenset((bytes.fromhex(key_id), int(version)) for key_id, version in json.loads(value))
    except TypeError as error:
        raise ValueError(f"no list of key versions: {error}") from error


def note_lost_leases(connection: sa.Connection, versions: Iterable[KeyVersion]) -> None:
    """Note more of them, for good."""
    noted = sorted(lost_leases(connection) | frozenset(versions))
    connection.execute(meta.delete().where(meta.c.name == _NAME))
    if noted:
        value = json.dumps([[key_id.hex(), version] for key_id, version in noted])
        connection.execute(meta.insert().values(name=_NAME, value=value))
