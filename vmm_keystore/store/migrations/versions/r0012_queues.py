# SPDX-License-Identifier: Apache-2.0
"""A last order for each ring of a guest."""

import sqlalchemy as sa
from alembic import op

revision = "r0012"
down_revision = "r0011"


def upgrade() -> None:
    """Until now a guest had one ring."""
    connection = op.get_bind()
    orders = [dict(row) for row in connection.execute(sa.text("SELECT * FROM guest_orders")).mappings()]
    op.drop_table("guest_orders")
    table = op.create_table(
        "guest_orders",
        sa.Column("guest", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("request_sequence", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name="fk_guest_orders_guest", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("guest", "queue", name="pk_guest_orders"),
    )
    if orders:
        connection.execute(table.insert(), [order | {"queue": 0} for order in orders])
