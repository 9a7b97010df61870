# SPDX-License-Identifier: Apache-2.0
"""Keys that are a guest's own."""

import sqlalchemy as sa
from alembic import op

revision = "r0011"
down_revision = "r0010"


def upgrade() -> None:
    """No guest has any."""
    op.add_column("guests", sa.Column("own_keys_max", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "own_keys",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("guest", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name="fk_own_keys_key", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name="fk_own_keys_guest", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", name="pk_own_keys"),
    )
    op.create_index("ix_own_keys_guest", "own_keys", ["guest"])
    op.create_table(
        "guest_orders",
        sa.Column("guest", sa.Integer(), nullable=False),
        sa.Column("request_sequence", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name="fk_guest_orders_guest", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("guest", name="pk_guest_orders"),
    )
