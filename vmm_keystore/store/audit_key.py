# SPDX-License-Identifier: Apache-2.0
"""The audit key as the store keeps it: a public key and a blob that only the custodian can open.

A restored store keeps that of the log before it as *retired*: it signs nothing more, and tells whether a KEK is the one
that the keys are sealed with.
"""

import base64
import json
from dataclasses import dataclass

import sqlalchemy as sa

from vmm_keystore.store.tables import meta

_NAME = "audit-key"
_RETIRED = "retired-audit-key"


def find_audit_key(connection: sa.Connection) -> tuple[bytes, bytes] | None:
    """Return public key and sealed blob; None before the first was made.

    Raises:
        ValueError: what is kept is no such pair; only in a file that is not ours.
    """
    return _find(connection, _NAME)


def find_retired_audit_key(connection: sa.Connection) -> tuple[bytes, bytes] | None:
    """Return that of an earlier log, as long as no daemon has opened it since; raises as ``find_audit_key``."""
    return _find(connection, _RETIRED)


def retire_audit_key(connection: sa.Connection) -> None:
    """Have the next daemon make a new one, once it has opened this one."""
    if find_audit_key(connection) is not None:
        drop_retired_audit_key(connection)
    connection.execute(meta.update().where(meta.c.name == _NAME).values(name=_RETIRED))


def drop_retired_audit_key(connection: sa.Connection) -> None:
    """It has told what it could."""
    connection.execute(meta.delete().where(meta.c.name == _RETIRED))


def insert_audit_key(connection: sa.Connection, public: bytes, sealed: bytes) -> None:
    """Keep the one audit key of this store."""
    connection.execute(meta.insert().values(name=_NAME, value=_value(public, sealed)))


@dataclass(frozen=True, slots=True)
class SealedAuditKey:
    """One of the two, by the name that it is kept under."""

    name: str
    public: bytes
    sealed: bytes


def sealed_audit_keys(connection: sa.Connection) -> list[SealedAuditKey]:
    """Those there are; raises as ``find_audit_key``."""
    found = ((name, _find(connection, name)) for name in (_NAME, _RETIRED))
    return [SealedAuditKey(name, *key) for name, key in found if key is not None]


def replace_sealed(connection: sa.Connection, key: SealedAuditKey, sealed: bytes) -> None:
    """The same key, sealed anew."""
    connection.execute(meta.update().where(meta.c.name == key.name).values(value=_value(key.public, sealed)))


def _value(public: bytes, sealed: bytes) -> str:
    return json.dumps({"public": base64.b64encode(public).decode(), "sealed": base64.b64encode(sealed).decode()})


def _find(connection: sa.Connection, name: str) -> tuple[bytes, bytes] | None:
    value = connection.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar_one_or_none()
    if value is None:
        return None
    try:
        fields = json.loads(value)
        return base64.b64decode(fields["public"]), base64.b64decode(fields["sealed"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no audit key: {error}") from error
