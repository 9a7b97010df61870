# SPDX-License-Identifier: Apache-2.0
"""The tables. Plain SQL types only, so that another database can hold them; migrations make them, a test compares.

Words (types, states) are stored as text: a reader of the file needs no list of numbers.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from vmm_keystore.policy.vocabulary import KeyState, KeyType, Op, Word

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

MANY_USES = 2**30
"""An index has the rows of ``key_uses`` that count so many; a query uses it that says just this as well."""


class WordText(TypeDecorator[Word]):
    """A word of the policy vocabulary, as its text."""

    impl = String
    cache_ok = True

    def __init__(self, words: type[Word]) -> None:
        super().__init__(32)
        self.words = words
        self._by_text = {word.text: word for word in words}

    def process_bind_param(self, value: Word | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To the database."""
        return None if value is None else value.text

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Word | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else self._by_text.get(value) or self.words.from_text(value)


meta = Table(
    "meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

guests = Table(
    "guests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("socket", Text, nullable=False, unique=True),
    Column("owner_uid", BigInteger),
    Column("created_s", BigInteger, nullable=False),
    Column("own_keys_max", BigInteger, nullable=False, server_default="0"),  # how many keys of its own it may have
)

keys = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key_id", LargeBinary(16), nullable=False, unique=True),
    Column("label", String(63), nullable=False, unique=True),
    Column("key_type", WordText(KeyType), nullable=False),
    Column("current_version", BigInteger, nullable=False),
    Column("created_s", BigInteger, nullable=False),
    Column("min_process_version", BigInteger, nullable=False),
    Column("rotate_every_s", BigInteger, index=True),  # NULL: not by age
    Column("rotate_after_uses", BigInteger, index=True),  # NULL: not by use
    Column("last_used_s", BigInteger),  # the latest in key_uses
    Column("guarded_s", BigInteger),  # since when; NULL: it is not
    Index("ix_keys_label_uses", "label", "created_s", "last_used_s"),  # unused keys are found in it, by label
)

key_versions = Table(
    "key_versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", ForeignKey("keys.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("state", WordText(KeyState), nullable=False),
    Column("sealed", LargeBinary),  # NULL once destroyed
    Column("public_der", LargeBinary),
    Column("next_lease", BigInteger, nullable=False),
    Column("created_s", BigInteger, nullable=False),
    Column("state_changed_s", BigInteger, nullable=False),
    Column("destroy_at_s", BigInteger, index=True),  # NULL unless its destruction is planned
    Column(
        "token_serial", String(16)
    ),  # with token_object: the private key lies there; what is sealed is the public one
    Column("token_object", LargeBinary(32)),
    UniqueConstraint("key", "version"),
)

# By label, which never changes: an index then gives the keys with a tag in the order in which they are listed.
key_tags = Table(
    "key_tags",
    metadata,
    Column("key", ForeignKey("keys.label"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("value", String(128), nullable=False),
    Index("ix_key_tags_name_key", "name", "key"),
    Index("ix_key_tags_name_value_key", "name", "value", "key"),
)

# A name is a label or an alias, never both: whoever adds one looks at the other in the transaction that adds it.
key_aliases = Table(
    "key_aliases",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("key", ForeignKey("keys.id"), nullable=False, index=True),
    Column("set_s", BigInteger, nullable=False),
)

# What the audit log says, up to the line that meta names.
key_uses = Table(
    "key_uses",
    metadata,
    Column("key", ForeignKey("keys.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("op", WordText(Op), primary_key=True),
    Column("last_s", BigInteger, nullable=False),
    Column("use_count", BigInteger, nullable=False),
    Index("ix_key_uses_many", "use_count", sqlite_where=text(f"use_count >= {MANY_USES}")),
)

# Of a version, by whoever presents the key: its certificate first. What is beside it is read out of that one.
key_certificates = Table(
    "key_certificates",
    metadata,
    Column("key_version", ForeignKey("key_versions.id", ondelete="CASCADE"), primary_key=True),
    Column("pem", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("serial", Text, nullable=False),
    Column("not_before_s", BigInteger, nullable=False),
    Column("not_after_s", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("certificates", Integer, nullable=False),
)

# What a guest may be: what is granted to a role, each of its members has.
roles = Table(
    "roles",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("created_s", BigInteger, nullable=False),
)

role_members = Table(
    "role_members",
    metadata,
    Column("role", ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("guest", ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True, index=True),
)

# To a guest or to a role.
grants = Table(
    "grants",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("guest", ForeignKey("guests.id", ondelete="CASCADE")),
    Column("role", ForeignKey("roles.id", ondelete="CASCADE")),
    Column("key", ForeignKey("keys.id"), nullable=False, index=True),
    Column("op_mask", BigInteger, nullable=False),
    Column("mechanism_mask", BigInteger, nullable=False),
    Column("input_bytes_max", BigInteger, nullable=False),
    Column("not_before_s", BigInteger, nullable=False),
    Column("not_after_s", BigInteger, nullable=False),
    Column("ops_max", BigInteger, nullable=False),
    Column("ops_a_second", BigInteger, nullable=False),
    Column("created_s", BigInteger, nullable=False),
    UniqueConstraint("guest", "key"),
    UniqueConstraint("role", "key"),
    CheckConstraint("(guest IS NULL) <> (role IS NULL)", name="holder"),
)

grant_uids = Table(
    "grant_uids",
    metadata,
    Column("grant", ForeignKey("grants.id", ondelete="CASCADE"), primary_key=True),
    Column("uid", BigInteger, primary_key=True),
)

# Of each guest under a grant that bounds operations. The id is never given to another one. Of the operations that count
# as used some may only have been leased to the worker.
budgets = Table(
    "budgets",
    metadata,
    Column("grant", ForeignKey("grants.id", ondelete="CASCADE"), primary_key=True),
    Column("guest", ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("budget_id", BigInteger, nullable=False, unique=True),
    Column("ops_used", BigInteger, nullable=False),
)

# Keys that a guest made for itself; where it is no more, they are the vault's.
own_keys = Table(
    "own_keys",
    metadata,
    Column("key", ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("guest", ForeignKey("guests.id", ondelete="CASCADE"), nullable=False, index=True),
)

# The last order by each of a guest's rings that was carried out: asked for again, it comes to the same.
guest_orders = Table(
    "guest_orders",
    metadata,
    Column("guest", ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True),
    Column("queue", Integer, primary_key=True, autoincrement=False),
    Column("request_sequence", BigInteger, nullable=False),
    Column("key_id", LargeBinary(16), nullable=False),
    Column("version", BigInteger, nullable=False),
)

# Admin changes whose audit line may not be durable yet; numbers are never reused.
pending_audit = Table(
    "pending_audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("line", Text, nullable=False),
    sqlite_autoincrement=True,
)

# Changes of guarded keys that wait for administrators' approval. What it is about is JSON, as service/acts.py has it.
proposals = Table(
    "proposals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("proposal_id", String(16), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("fields", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("proposed_uid", BigInteger, nullable=False),
    Column("proposed_s", BigInteger, nullable=False),
    Column("expires_s", BigInteger, nullable=False),
)

proposal_approvals = Table(
    "proposal_approvals",
    metadata,
    Column("proposal", ForeignKey("proposals.id", ondelete="CASCADE"), primary_key=True),
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
)

# What operators' handlers are told of. Numbers are never reused: a delivery under way belongs to one event only.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event_id", String(16), nullable=False, unique=True),
    Column("at_s", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("facts", Text, nullable=False),
    sqlite_autoincrement=True,
)

event_deliveries = Table(
    "event_deliveries",
    metadata,
    Column("event", ForeignKey("events.id", ondelete="CASCADE"), primary_key=True),
    Column("handler", String(63), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("changed_s", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

# What has been told of and is not over: it is not told of again.
event_marks = Table(
    "event_marks",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("edge", String(160), primary_key=True),
    Column("since_s", BigInteger, nullable=False),
)
