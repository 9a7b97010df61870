# SPDX-License-Identifier: Apache-2.0
"""What finds key versions that were used very often."""

import sqlalchemy as sa
from alembic import op

revision = "r0009"
down_revision = "r0008"


def upgrade() -> None:
    """Few have."""
    op.create_index("ix_key_uses_many", "key_uses", ["use_count"], sqlite_where=sa.text("use_count >= 1073741824"))
