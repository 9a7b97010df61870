# SPDX-License-Identifier: Apache-2.0
"""What is planned for keys: destruction, rotation by age, and the oldest version that still processes."""

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"


def upgrade() -> None:
    """Nothing is planned for keys of before, and each of their versions processes."""
    op.add_column("key_versions", sa.Column("destroy_at_s", sa.BigInteger))
    op.add_column("keys", sa.Column("min_process_version", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column("keys", sa.Column("rotate_every_s", sa.BigInteger))
