# SPDX-License-Identifier: Apache-2.0
"""What keys are found by besides their labels: tags, aliases, and when they were last used."""

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"


def upgrade() -> None:
    """Keys of before have no tag and no alias, and nothing is known of their uses."""
    op.create_table(
        "key_tags",
        sa.Column("key", sa.String(63), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("key", "name", name="pk_key_tags"),
        sa.ForeignKeyConstraint(["key"], ["keys.label"], name="fk_key_tags_key"),
    )
    op.create_index("ix_key_tags_name_key", "key_tags", ["name", "key"])
    op.create_index("ix_key_tags_name_value_key", "key_tags", ["name", "value", "key"])
    op.create_table(
        "key_aliases",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("key", sa.Integer, nullable=False),
        sa.Column("set_s", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_key_aliases"),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name="fk_key_aliases_key"),
    )
    op.create_index("ix_key_aliases_key", "key_aliases", ["key"])
    op.create_table(
        "key_uses",
        sa.Column("key", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("op", sa.String(32), nullable=False),
        sa.Column("last_s", sa.BigInteger, nullable=False),
        sa.Column("use_count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", "version", "op", name="pk_key_uses"),
        sa.ForeignKeyConstraint(["key"], ["keys.id"], name="fk_key_uses_key"),
    )
    op.add_column("keys", sa.Column("rotate_after_uses", sa.BigInteger))
    op.create_index("ix_keys_rotate_after_uses", "keys", ["rotate_after_uses"])
    op.add_column("keys", sa.Column("last_used_s", sa.BigInteger))
    op.create_index("ix_keys_label_uses", "keys", ["label", "created_s", "last_used_s"])
