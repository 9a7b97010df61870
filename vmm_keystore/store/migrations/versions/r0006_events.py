# SPDX-License-Identifier: Apache-2.0
"""Events for operators' handlers, what became of each delivery, and what has been told of already."""

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"


def upgrade() -> None:
    """Nothing has happened yet."""
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("event_id", sa.String(16), nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "event_deliveries",
        sa.Column("event", sa.Integer, nullable=False),
        sa.Column("handler", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_s", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("event", "handler", name="pk_event_deliveries"),
        sa.ForeignKeyConstraint(["event"], ["events.id"], name="fk_event_deliveries_event", ondelete="CASCADE"),
    )
    op.create_index("ix_event_deliveries_state", "event_deliveries", ["state"])
    op.create_table(
        "event_marks",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("edge", sa.String(160), nullable=False),
        sa.Column("since_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "edge", name="pk_event_marks"),
    )
