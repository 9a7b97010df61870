# SPDX-License-Identifier: Apache-2.0
"""Budgets of grants: operations in all and a second, and how many count as used."""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"


def upgrade() -> None:
    """Grants of before have no bound."""
    with op.batch_alter_table("grants") as grants:
        grants.add_column(sa.Column("ops_max", sa.BigInteger, nullable=False, server_default="0"))
        grants.add_column(sa.Column("ops_a_second", sa.BigInteger, nullable=False, server_default="0"))
        grants.add_column(sa.Column("budget_id", sa.BigInteger))
        grants.add_column(sa.Column("ops_used", sa.BigInteger, nullable=False, server_default="0"))
        grants.create_unique_constraint("uq_grants_budget_id", ["budget_id"])
