# SPDX-License-Identifier: Apache-2.0
"""Keys whose private half lies in a PKCS#11 token."""

import sqlalchemy as sa
from alembic import op

revision = "r0010"
down_revision = "r0009"


def upgrade() -> None:
    """All keys of before lie in the vault."""
    op.add_column("key_versions", sa.Column("token_serial", sa.String(16)))
    op.add_column("key_versions", sa.Column("token_object", sa.LargeBinary(32)))
