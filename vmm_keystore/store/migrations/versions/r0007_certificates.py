# SPDX-License-Identifier: Apache-2.0
"""Certificate chains of key versions."""

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"


def upgrade() -> None:
    """No version of before has one."""
    op.create_table(
        "key_certificates",
        sa.Column("key_version", sa.Integer, nullable=False),
        sa.Column("pem", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("not_before_s", sa.BigInteger, nullable=False),
        sa.Column("not_after_s", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("certificates", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key_version", name="pk_key_certificates"),
        sa.ForeignKeyConstraint(
            ["key_version"], ["key_versions.id"], name="fk_key_certificates_key_version", ondelete="CASCADE"
        ),
    )
