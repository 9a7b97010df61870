# SPDX-License-Identifier: Apache-2.0
"""The audit key as the store keeps it: a public key and a blob that only the custodian can open."""

import base64
import json

import sqlalchemy as sa

from vmm_keystore.store.tables import meta

_NAME = "audit-key"


def find_audit_key(connection: sa.Connection) -> tuple[bytes, bytes] | None:
    """Return public key and sealed blob; None before the first was made."""
    value = connection.execute(sa.select(meta.c.value).where(meta.c.name == _NAME)).scalar_one_or_none()
    if value is None:
        return None
    fields = json.loads(value)
    return base64.b64decode(fields["public"]), base64.b64decode(fields["sealed"])


def forget_audit_key(connection: sa.Connection) -> None:
    """Have the next daemon make a new one."""
    connection.execute(meta.delete().where(meta.c.name == _NAME))


def insert_audit_key(connection: sa.Connection, public: bytes, sealed: bytes) -> None:
    """Keep the one audit key of this store."""
    value = json.dumps({"public": base64.b64encode(public).decode(), "sealed": base64.b64encode(sealed).decode()})
    connection.execute(meta.insert().values(name=_NAME, value=value))
