# SPDX-License-Identifier: Apache-2.0
"""Guarded keys, and proposals that wait for administrators' approval."""

import sqlalchemy as sa
from alembic import op

revision = "r0008"
down_revision = "r0007"


def upgrade() -> None:
    """No key of before is guarded."""
    op.add_column("keys", sa.Column("guarded_s", sa.BigInteger))
    op.create_table(
        "proposals",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("proposal_id", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("proposed_uid", sa.BigInteger, nullable=False),
        sa.Column("proposed_s", sa.BigInteger, nullable=False),
        sa.Column("expires_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_proposals"),
        sa.UniqueConstraint("proposal_id", name="uq_proposals_proposal_id"),
    )
    op.create_table(
        "proposal_approvals",
        sa.Column("proposal", sa.Integer, nullable=False),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("proposal", "uid", name="pk_proposal_approvals"),
        sa.ForeignKeyConstraint(
            ["proposal"], ["proposals.id"], name="fk_proposal_approvals_proposal", ondelete="CASCADE"
        ),
    )
