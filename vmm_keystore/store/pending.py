# SPDX-License-Identifier: Apache-2.0
"""Admin changes whose audit line may not be durable yet: written in the change's own transaction, so none is lost."""

import sqlalchemy as sa

from vmm_keystore.store.tables import pending_audit


def insert_pending(connection: sa.Connection, line: str) -> int:
    """Remember what the audit line of this change says; return the change's number, which is never reused."""
    number = connection.execute(pending_audit.insert().values(line=line).returning(pending_audit.c.id)).scalar_one()
    return int(number)


def list_pending(connection: sa.Connection) -> tuple[tuple[int, str], ...]:
    """Numbers and lines that wait, oldest first."""
    statement = sa.select(pending_audit.c.id, pending_audit.c.line).order_by(pending_audit.c.id)
    return tuple((number, line) for number, line in connection.execute(statement))


def delete_pending(connection: sa.Connection, number_max: int) -> None:
    """Forget lines up to *number_max*: they are durable in the audit log."""
    connection.execute(pending_audit.delete().where(pending_audit.c.id <= number_max))
