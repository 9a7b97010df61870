# SPDX-License-Identifier: Apache-2.0
"""What is planned is found without a look at every key."""

from alembic import op

revision = "r0004"
down_revision = "r0003"


def upgrade() -> None:
    """The columns that plans are looked up by."""
    op.create_index("ix_key_versions_destroy_at_s", "key_versions", ["destroy_at_s"])
    op.create_index("ix_keys_rotate_every_s", "keys", ["rotate_every_s"])
