# SPDX-License-Identifier: Apache-2.0
"""When each version of a key was last used for what, and how often: what the audit log says up to a line of it.

Which line that is stands in the same transaction as the counts, in the table ``meta`` under ``key-uses``: as a JSON
object with ``seq``, and ``since_s`` for the time from which on every use is known (0: there is no earlier one).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vmm_keystore.policy.vocabulary import Op
from vmm_keystore.store.holdings import guest_row_of, holdings_of, parts
from vmm_keystore.store.tables import grants, key_uses, key_versions, keys, meta

_NAME = "key-uses"


@dataclass(frozen=True, slots=True)
class UseRow:
    """How a version was used by one kind of operation."""

    op: Op
    last_s: int
    count: int


@dataclass(frozen=True, slots=True)
class NewUse:
    """Operations that a guest's worker says were done; *key_id* and *version* may be anything."""

    guest: str
    key_id: bytes
    version: int
    op: Op
    last_s: int
    count: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Up to which line of the audit log uses are counted, and since when."""

    seq: int
    since_s: int


def find_standing(connection: sa.Connection) -> Standing | None:
    """Where counting stands; None: it has not begun."""
    value = connection.execute(sa.select(meta.c.value).where(meta.c.name == _NAME)).scalar_one_or_none()
    return None if value is None else Standing(**json.loads(value))


def set_standing(connection: sa.Connection, standing: Standing) -> None:
    """Note where counting stands."""
    forget_standing(connection)
    value = json.dumps({"seq": standing.seq, "since_s": standing.since_s})
    connection.execute(meta.insert().values(name=_NAME, value=value))


def forget_standing(connection: sa.Connection) -> None:
    """Let counting begin anew: what is counted stays, and is not all that there was."""
    connection.execute(meta.delete().where(meta.c.name == _NAME))


def add_uses(connection: sa.Connection, uses: Iterable[NewUse]) -> tuple[int, ...]:
    """Add operations to what is known; return the rows of their keys.

    What a guest says of a key that it does not hold, or of a version that there is not, is left out: a worker that has
    fallen says nothing of another guest's keys.
    """
    by_guest: dict[str, list[NewUse]] = {}
    for use in uses:
        by_guest.setdefault(use.guest, []).append(use)
    new: dict[tuple[int, int, Op], tuple[int, int]] = {}
    for guest, its_uses in by_guest.items():
        versions = _held_versions(connection, guest, list(dict.fromkeys(use.key_id for use in its_uses)))
        for use in its_uses:
            row = versions.get((use.key_id, use.version))
            if row is not None:
                last_s, count = new.get((row, use.version, use.op), (0, 0))
                new[row, use.version, use.op] = (max(last_s, use.last_s), count + use.count)
    key_rows = tuple(dict.fromkeys(row for row, _version, _op in new))
    _merge(connection, new, key_rows)
    _note_latest(connection, new)
    return key_rows


def used(condition: sa.ColumnElement[bool]) -> sa.Select[int, int, Op, int, int]:
    """Row, version, operation, last time and count, for each use of the keys that *condition* names."""
    return (
        sa.select(keys.c.id, key_uses.c.version, key_uses.c.op, key_uses.c.last_s, key_uses.c.use_count)
        .join(keys, keys.c.id == key_uses.c.key)
        .where(condition)
        .order_by(key_uses.c.version, key_uses.c.op)
    )


def unused_since(at_s: int) -> sa.ColumnElement[bool]:
    """Condition on keys: that they were there at that time, and nothing was done with them from then on."""
    not_later = sa.or_(keys.c.last_used_s.is_(None), keys.c.last_used_s < at_s)
    return sa.and_(keys.c.created_s < at_s, not_later)


def last_used(connection: sa.Connection, guest: str, count: int) -> list[bytes]:
    """Ids of the *count* keys that *guest* holds and that were used last, by whomever, the latest first."""
    held = holdings_of(guest_row_of(guest))
    statement = (
        sa.select(keys.c.key_id)
        .select_from(held)
        .join(grants, grants.c.id == held.c.grant)
        .join(keys, keys.c.id == grants.c.key)
        .where(keys.c.last_used_s.is_not(None))
        .order_by(keys.c.last_used_s.desc(), keys.c.id)
        .limit(count)
    )
    return list(connection.execute(statement).scalars())


def _held_versions(connection: sa.Connection, guest: str, key_ids: Sequence[bytes]) -> dict[tuple[bytes, int], int]:
    """Rows of the keys, of these, that a guest holds, by key id and version."""
    held = holdings_of(guest_row_of(guest))
    found: dict[tuple[bytes, int], int] = {}
    for part in parts(key_ids):
        statement = (
            sa.select(keys.c.key_id, key_versions.c.version, keys.c.id)
            .select_from(held)
            .join(grants, grants.c.id == held.c.grant)
            .join(keys, keys.c.id == grants.c.key)
            .join(key_versions, key_versions.c.key == keys.c.id)
            .where(keys.c.key_id.in_(part))
        )
        found |= {(key_id, version): row for key_id, version, row in connection.execute(statement)}
    return found


def _merge(connection: sa.Connection, new: dict[tuple[int, int, Op], tuple[int, int]], key_rows: Sequence[int]) -> None:
    known = set()
    for part in parts(key_rows):
        statement = sa.select(key_uses.c.key, key_uses.c.version, key_uses.c.op).where(key_uses.c.key.in_(part))
        known |= {tuple(row) for row in connection.execute(statement)}
    rows = [
        {"its_key": row, "its_version": version, "its_op": op, "its_last_s": last_s, "more": count}
        for (row, version, op), (last_s, count) in new.items()
    ]
    old = [row for row in rows if (row["its_key"], row["its_version"], row["its_op"]) in known]
    fresh = [row for row in rows if (row["its_key"], row["its_version"], row["its_op"]) not in known]
    last_s: sa.BindParameter[int] = sa.bindparam("its_last_s")
    if old:
        later = sa.case((key_uses.c.last_s < last_s, last_s), else_=key_uses.c.last_s)
        connection.execute(
            key_uses.update()
            .where(
                key_uses.c.key == sa.bindparam("its_key"),
                key_uses.c.version == sa.bindparam("its_version"),
                key_uses.c.op == sa.bindparam("its_op"),
            )
            .values(last_s=later, use_count=key_uses.c.use_count + sa.bindparam("more")),
            old,
        )
    if fresh:
        names = {"its_key": "key", "its_version": "version", "its_op": "op", "its_last_s": "last_s"}
        connection.execute(
            key_uses.insert(), [{names.get(name, "use_count"): value for name, value in row.items()} for row in fresh]
        )


def _note_latest(connection: sa.Connection, new: dict[tuple[int, int, Op], tuple[int, int]]) -> None:
    latest: dict[int, int] = {}
    for (row, _version, _op), (last_s, _count) in new.items():
        latest[row] = max(last_s, latest.get(row, 0))
    later = sa.bindparam("its_last_s", type_=sa.BigInteger())
    if latest:
        connection.execute(
            keys.update()
            .where(
                keys.c.id == sa.bindparam("its_key"),
                sa.or_(keys.c.last_used_s.is_(None), keys.c.last_used_s < later),
            )
            .values(last_used_s=later),
            [{"its_key": row, "its_last_s": last_s} for row, last_s in latest.items()],
        )
