# SPDX-License-Identifier: Apache-2.0
"""Lists of keys: those that a filter names, without a look at all the others."""

import re
from dataclasses import dataclass

import sqlalchemy as sa

from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.store.holdings import parts
from vmm_keystore.store.key_rows import KeyRow, load_keys
from vmm_keystore.store.key_tags import by_rarity, has_tag, tag_condition
from vmm_keystore.store.key_uses import unused_since
from vmm_keystore.store.tables import key_tags, key_versions, keys

LABEL_END = "\x7f"
"""Behind every letter of a label."""


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys: those that fulfil all of it.

    *pattern* is a label in which ``*`` stands for any letters and ``?`` for one; *state* that of the current version;
    *tags* are ``name`` or ``name=value``; *unused_since_s* leaves those that are as old and were not used from then on;
    *after* a label; *limit* how many at most, by label.
    """

    pattern: str = ""
    key_type: KeyType | None = None
    state: KeyState | None = None
    after: str = ""
    limit: int | None = None
    tags: tuple[str, ...] = ()
    unused_since_s: int | None = None


def list_keys(connection: sa.Connection, only: KeyFilter = KeyFilter()) -> tuple[KeyRow, ...]:
    """Every key that *only* names, by label."""
    if only == KeyFilter():
        return load_keys(connection, sa.true())
    found = _filtered(connection, only)
    if only.limit is None:
        return load_keys(connection, keys.c.id.in_(found))
    rows = connection.execute(found.order_by(_label(only)).limit(only.limit)).scalars().all()
    return tuple(key for part in parts(rows) for key in load_keys(connection, keys.c.id.in_(part)))


def _label(only: KeyFilter) -> sa.ColumnElement[str]:
    """Where the label is read: in the index of the first tag, whose order is that of the labels."""
    return key_tags.c.key if only.tags else keys.c.label


def _filtered(connection: sa.Connection, only: KeyFilter) -> sa.Select[tuple[int]]:
    """Rows of the keys, in no order."""
    query, label = sa.select(keys.c.id), _label(only)
    if only.tags:
        query = query.select_from(key_tags).join(keys, keys.c.label == key_tags.c.key)
        first, *others = by_rarity(connection, only.tags)
        query = query.where(tag_condition(first), *(has_tag(label, tag) for tag in others))
    if only.pattern:
        # What is before the first wild card is found by the index.
        start = re.split(r"[*?]", only.pattern, maxsplit=1)[0]
        query = query.where(label >= start, label < start + LABEL_END)
        if start != only.pattern.rstrip("*") or not only.pattern.endswith("*"):
            # Labels have no letter that means anything to GLOB; PostgreSQL will have SIMILAR TO here.
            query = query.where(label.op("GLOB")(only.pattern))
    if only.key_type is not None:
        query = query.where(keys.c.key_type == only.key_type)
    if only.state is not None:
        current = sa.and_(key_versions.c.key == keys.c.id, key_versions.c.version == keys.c.current_version)
        query = query.join(key_versions, current).where(key_versions.c.state == only.state)
    if only.unused_since_s is not None:
        query = query.where(unused_since(only.unused_since_s))
    if only.after:
        query = query.where(label > only.after)
    return query
