# SPDX-License-Identifier: Apache-2.0
"""Roles that guests have, grants to them, and budgets of operations.

``grants`` is made anew: SQLite cannot let ``guest`` be NULL otherwise. What points to it goes first and comes back
last, or dropping the old one would take it along.
"""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"

_LIMITS = "op_mask, mechanism_mask, input_bytes_max, not_before_s, not_after_s, created_s"


def upgrade() -> None:
    """Every grant of before stays a guest's, without a bound on operations."""
    op.create_table(
        "roles",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("created_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("name", name="uq_roles_name"),
    )
    op.create_table(
        "role_members",
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("guest", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("role", "guest", name="pk_role_members"),
        sa.ForeignKeyConstraint(["role"], ["roles.id"], name="fk_role_members_role", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name="fk_role_members_guest", ondelete="CASCADE"),
    )
    op.create_index("ix_role_members_guest", "role_members", ["guest"])
    op.execute("CREATE TEMPORARY TABLE old_uids AS SELECT * FROM grant_uids")
    op.execute(f"CREATE TEMPORARY TABLE old_grants AS SELECT id, guest, key, {_LIMITS} FROM grants")  # noqa: S608
    op.drop_table("grant_uids")
    op.drop_table("grants")
    op.create_table(
        "grants",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("guest", sa.Integer),
        sa.Column("role", sa.Integer),
        sa.Column("key", sa.Integer, nullable=False),
        sa.Column("op_mask", sa.BigInteger, nullable=False),
        sa.Column("mechanism_mask", sa.BigInteger, nullable=False),
        sa.Column("input_bytes_max", sa.BigInteger, nullable=False),
        sa.Column("not_before_s", sa.BigInteger, nullable=False),
        sa.Column("not_after_s", sa.BigInteger, nullable=False),
        sa.Column("ops_max", sa.BigInteger, nullable=False),
        sa.Column("ops_a_second", sa.BigInteger, nullable=False),
        sa.Column("created_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name="fk_grants_guest", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["role"], ["roles.id"], name="fk_grants_role", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name="fk_grants_key"),
        sa.UniqueConstraint("guest", "key", name="uq_grants_guest_key"),
        sa.UniqueConstraint("role", "key", name="uq_grants_role_key"),
        sa.CheckConstraint("(guest IS NULL) <> (role IS NULL)", name="ck_grants_holder"),
    )
    op.create_index("ix_grants_key", "grants", ["key"])
    op.create_table(
        "grant_uids",
        sa.Column("grant", sa.Integer, nullable=False),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("grant", "uid", name="pk_grant_uids"),
        sa.ForeignKeyConstraint(["grant"], ["grants.id"], name="fk_grant_uids_grant", ondelete="CASCADE"),
    )
    op.create_table(
        "budgets",
        sa.Column("grant", sa.Integer, nullable=False),
        sa.Column("guest", sa.Integer, nullable=False),
        sa.Column("budget_id", sa.BigInteger, nullable=False),
        sa.Column("ops_used", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("grant", "guest", name="pk_budgets"),
        sa.ForeignKeyConstraint(["grant"], ["grants.id"], name="fk_budgets_grant", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name="fk_budgets_guest", ondelete="CASCADE"),
        sa.UniqueConstraint("budget_id", name="uq_budgets_budget_id"),
    )
    op.create_index("ix_budgets_guest", "budgets", ["guest"])
    op.execute(
        f"INSERT INTO grants (id, guest, key, {_LIMITS}, ops_max, ops_a_second) "  # noqa: S608
        f"SELECT id, guest, key, {_LIMITS}, 0, 0 FROM old_grants"
    )
    op.execute('INSERT INTO grant_uids ("grant", uid) SELECT "grant", uid FROM old_uids')
    op.execute("DROP TABLE old_uids")
    op.execute("DROP TABLE old_grants")
