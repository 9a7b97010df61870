# SPDX-License-Identifier: Apache-2.0
"""Everything in the store that is sealed under the KEK, and which KEK file that is.

A change of the KEK is committed here: blobs and the name of the new file in one transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from vmm_keystore.policy.hsm import sealed_type
from vmm_keystore.store.audit_key import SealedAuditKey, replace_sealed, sealed_audit_keys
from vmm_keystore.store.tables import key_versions, keys, meta

BATCH = 1000
_ROOT_FILE = "root-file"

BLOB_COLUMNS = (
    key_versions.c.id,
    keys.c.key_id,
    key_versions.c.version,
    keys.c.key_type,
    key_versions.c.sealed,
    key_versions.c.token_object,
)
"""What it takes to open the blob of a key version; with a token's object it is sealed as its public half."""

SealedVersion = tuple[bytes, int, int, bytes]
"""Key id, version, number of the type that it is sealed under, and blob."""


def reseal_versions(
    connection: sa.Connection, reseal: Callable[[Sequence[SealedVersion]], Sequence[bytes]], batch: int = BATCH
) -> int:
    """Put what *reseal* makes of each key version's blob in its place; says how many there were."""
    count = 0
    update = key_versions.update().where(key_versions.c.id == sa.bindparam("row")).values(sealed=sa.bindparam("blob"))
    for rows in _batches(connection, batch):
        blobs = reseal([(row.key_id, row.version, _type_of(row), row.sealed) for row in rows])
        changes = [{"row": row.id, "blob": blob} for row, blob in zip(rows, blobs, strict=True)]
        connection.execute(update, changes)
        count += len(rows)
    return count


def reseal_audit_keys(connection: sa.Connection, reseal: Callable[[SealedAuditKey], bytes]) -> None:
    """The same for the keys of the audit log."""
    for key in sealed_audit_keys(connection):
        replace_sealed(connection, key, reseal(key))


def root_file_name(connection: sa.Connection) -> str:
    """Name of the KEK file of the last change; empty before the first."""
    found = connection.execute(sa.select(meta.c.value).where(meta.c.name == _ROOT_FILE)).scalar_one_or_none()
    return found or ""


def set_root_file_name(connection: sa.Connection, name: str) -> None:
    """From the commit on everything is sealed under the KEK in the file of that name."""
    connection.execute(meta.delete().where(meta.c.name == _ROOT_FILE))
    connection.execute(meta.insert().values(name=_ROOT_FILE, value=name))


def _type_of(row: Any) -> int:
    return sealed_type(row.key_type, in_token=row.token_object is not None)


def _batches(connection: sa.Connection, batch: int) -> Iterator[Sequence[Any]]:
    last = 0
    while True:
        query = (
            sa.select(*BLOB_COLUMNS)
            .join(keys, keys.c.id == key_versions.c.key)
            .where(key_versions.c.id > last, key_versions.c.sealed.is_not(None))
            .order_by(key_versions.c.id)
            .limit(batch)
        )
        rows = connection.execute(query).all()
        if not rows:
            return
        yield rows
        last = rows[-1].id
