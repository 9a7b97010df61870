# SPDX-License-Identifier: Apache-2.0
"""Tags of keys in the store, by label."""

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from vmm_keystore.store.holdings import parts
from vmm_keystore.store.tables import key_tags, keys

COMMON = 10_000
"""A tag of so many keys is a common one, however many it is."""


def set_tags(connection: sa.Connection, label: str, tags: Mapping[str, str]) -> None:
    """Give a key tags; one that it has gets the new value."""
    remove_tags(connection, label, tags)
    if tags:
        rows = [{"key": label, "name": name, "value": value} for name, value in tags.items()]
        connection.execute(key_tags.insert(), rows)


def remove_tags(connection: sa.Connection, label: str, names: Iterable[str]) -> None:
    """Take tags from a key, those that it has."""
    connection.execute(key_tags.delete().where(key_tags.c.key == label, key_tags.c.name.in_(list(names))))


def tags_of(connection: sa.Connection, labels: Iterable[str]) -> dict[str, dict[str, str]]:
    """Tags of these keys by label, of those that have any."""
    found: dict[str, dict[str, str]] = {}
    for part in parts(list(labels)):
        statement = sa.select(key_tags).where(key_tags.c.key.in_(part)).order_by(key_tags.c.name)
        for label, name, value in connection.execute(statement):
            found.setdefault(label, {})[name] = value
    return found


def tagged(condition: sa.ColumnElement[bool]) -> sa.Select[int, str, str]:
    """Row, name and value of each tag of the keys that *condition* names."""
    return (
        sa.select(keys.c.id, key_tags.c.name, key_tags.c.value)
        .join(keys, keys.c.label == key_tags.c.key)
        .where(condition)
        .order_by(key_tags.c.name)
    )


def tag_condition(word: str, table: sa.FromClause = key_tags) -> sa.ColumnElement[bool]:
    """Condition on rows of tags: that they are *word*, which is ``name`` or ``name=value``."""
    name, has_value, value = word.partition("=")
    is_named = table.c.name == name
    return sa.and_(is_named, table.c.value == value) if has_value else is_named


def has_tag(label: sa.ColumnElement[str], word: str) -> sa.ColumnElement[bool]:
    """Condition: that the key with the label *label* has the tag *word*."""
    other = key_tags.alias()
    return sa.exists().where(other.c.key == label, tag_condition(word, other))


def by_rarity(connection: sa.Connection, words: Sequence[str]) -> list[str]:
    """The tags, those of few keys first: a list walks along the first one."""
    if len(words) < 2:
        return list(words)

    def count(word: str) -> int:
        few = sa.select(key_tags.c.key).where(tag_condition(word)).limit(COMMON).subquery()
        return int(connection.execute(sa.select(sa.func.count()).select_from(few)).scalar_one())

    return sorted(dict.fromkeys(words), key=count)
