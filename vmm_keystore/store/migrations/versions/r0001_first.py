# SPDX-License-Identifier: Apache-2.0
"""Guests, keys with versions, grants, and admin changes that wait for their audit line."""

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "meta",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "guests",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("socket", sa.Text, nullable=False),
        sa.Column("owner_uid", sa.BigInteger),
        sa.Column("created_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_guests"),
        sa.UniqueConstraint("name", name="uq_guests_name"),
        sa.UniqueConstraint("socket", name="uq_guests_socket"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("label", sa.String(63), nullable=False),
        sa.Column("key_type", sa.String(32), nullable=False),
        sa.Column("current_version", sa.BigInteger, nullable=False),
        sa.Column("created_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("key_id", name="uq_keys_key_id"),
        sa.UniqueConstraint("label", name="uq_keys_label"),
    )
    op.create_table(
        "key_versions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("key", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("public_der", sa.LargeBinary),
        sa.Column("next_lease", sa.BigInteger, nullable=False),
        sa.Column("created_s", sa.BigInteger, nullable=False),
        sa.Column("state_changed_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_versions"),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name="fk_key_versions_key"),
        sa.UniqueConstraint("key", "version", name="uq_key_versions_key_version"),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("guest", sa.Integer, nullable=False),
        sa.Column("key", sa.Integer, nullable=False),
        sa.Column("op_mask", sa.BigInteger, nullable=False),
        sa.Column("mechanism_mask", sa.BigInteger, nullable=False),
        sa.Column("input_bytes_max", sa.BigInteger, nullable=False),
        sa.Column("not_before_s", sa.BigInteger, nullable=False),
        sa.Column("not_after_s", sa.BigInteger, nullable=False),
        sa.Column("created_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name="fk_grants_guest", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name="fk_grants_key"),
        sa.UniqueConstraint("guest", "key", name="uq_grants_guest_key"),
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
        "pending_audit",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pending_audit"),
        sqlite_autoincrement=True,
    )
