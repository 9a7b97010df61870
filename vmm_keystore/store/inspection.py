# SPDX-License-Identifier: Apache-2.0
"""Is this database what a store of this version writes? For files that somebody else may have made.

Checked from the outside in: tables and their text, every page and index, the kind of every value, then what the values
mean. Nothing is repaired.
"""

import json
import re
from pathlib import Path

import sqlalchemy as sa

from vmm_keystore.errors import KeystoreError
from vmm_keystore.policy.tags import check_count, parse_tags, tag_words
from vmm_keystore.policy.vocabulary import KEY_NAME_BYTES_MAX, KEY_NAME_PATTERN, NAME_PATTERN
from vmm_keystore.store.audit_key import find_audit_key, find_retired_audit_key
from vmm_keystore.store.certificates import check_chains
from vmm_keystore.store.guests import list_guests
from vmm_keystore.store.key_aliases import list_aliases
from vmm_keystore.store.key_list import list_keys
from vmm_keystore.store.lost_leases import lost_leases
from vmm_keystore.store.pending import list_pending
from vmm_keystore.store.roles import list_roles
from vmm_keystore.store.store import Store
from vmm_keystore.store.tables import metadata

_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master"
AUDIT_PUBLIC_BYTES = 32
_NAME = re.compile(NAME_PATTERN)
_KEY_NAME = re.compile(KEY_NAME_PATTERN)


def inspect(store: Store, empty: Path) -> None:
    """Check all of *store*; an empty one is made at *empty* to compare with.

    Raises:
        ValueError: what is wrong with it, without a value out of it.
        StoreError: it cannot be read.
    """
    _check_tables(store, empty)
    with store.read() as connection:
        verdict = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if verdict != "ok":
            raise ValueError("its pages and indices contradict each other")
        _check_kinds(connection)
        _check_meaning(connection)


def _check_tables(store: Store, empty: Path) -> None:
    """No trigger, view or column that is not ours is ever run."""
    with Store(empty) as made, made.read() as ours, store.read() as theirs:
        mine, found = ({tuple(row) for row in connection.exec_driver_sql(_OBJECTS)} for connection in (ours, theirs))
    if mine != found:
        _type, name, *_ = min(mine ^ found, key=str)
        raise ValueError(f"{printable(name)} is not what it should be")


def _check_kinds(connection: sa.Connection) -> None:
    """SQLite takes any kind of value in any column; nothing of ours expects that."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            kinds = {_kind(column)} | ({"null"} if column.nullable else set())
            found = set(connection.execute(sa.select(sa.func.typeof(column)).distinct()).scalars())
            if found - kinds:
                raise ValueError(f"{table.name}.{column.name} holds {min(found - kinds)}, not {_kind(column)}")


def _kind(column: sa.Column[object]) -> str:
    if isinstance(column.type, sa.LargeBinary):
        return "blob"
    return "integer" if isinstance(column.type, sa.Integer) else "text"


def _check_meaning(connection: sa.Connection) -> None:
    try:
        guests, keys, roles = list_guests(connection), list_keys(connection), list_roles(connection)
        for key in keys:
            _ = key.state
    except KeystoreError as error:
        raise ValueError("a key or guest in it has a value that no store writes") from error
    aliases = list_aliases(connection)
    labels = {key.label for key in keys}
    names = [*(guest.name for guest in guests), *(role.name for role in roles), *(alias.name for alias in aliases)]
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    wrong += [label for label in labels if len(label) > KEY_NAME_BYTES_MAX or not _KEY_NAME.fullmatch(label)]
    for name in wrong:
        raise ValueError(f"{printable(name)} is no name of a guest, role or key")
    if not labels.isdisjoint(alias.name for alias in aliases):
        raise ValueError("an alias in it is a key's label")
    try:
        for key in keys:
            parse_tags(tag_words(key.tags))
            check_count(key.label, len(key.tags))
    except KeystoreError as error:
        raise ValueError("a key in it has tags that no key can have") from error
    if not all(guest.socket.startswith("/") for guest in guests):
        raise ValueError("a guest's socket has no absolute path")
    if not all(isinstance(_decoded(line), dict) for _number, line in list_pending(connection)):
        raise ValueError("an audit line that waits in it is none")
    check_chains(connection)
    try:
        lost_leases(connection)
    except ValueError as error:
        raise ValueError("its note of key versions from an earlier backup is damaged") from error

    try:
        audit_keys = (find_audit_key(connection), find_retired_audit_key(connection))
    except ValueError as error:
        raise ValueError("its audit key is damaged") from error
    if any(found is not None and len(found[0]) != AUDIT_PUBLIC_BYTES for found in audit_keys):
        raise ValueError("its audit key is damaged")


def _decoded(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def printable(text: object) -> str:
    """What a terminal may be given of *text*, which may be anything."""
    return str(text).encode("unicode_escape").decode()
