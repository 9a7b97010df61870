# SPDX-License-Identifier: Apache-2.0
"""Fills the store of a keystored that is stopped: by its API a hundred thousand keys take minutes, a million an hour."""

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.service.key_values import SealedKey
from vmm_keystore.store.guests import get_guest
from vmm_keystore.store.keys import FIRST_LEASE
from vmm_keystore.store.store import Store
from vmm_keystore.store.tables import grants, key_versions, keys
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.root_file import RootFile
from vmm_keystore.workers.root_openers import Openers

PART = 5000


def add_granted_keys(state_dir: Path, numbers: range, key_type: KeyType, guest: str, op_mask: int) -> None:
    """Add keys that are called k and a number, each with material of its own, and grant them."""
    now_s, mechanisms = int(time.time()), lib.vks_policy_type_mechanisms(key_type)
    with Store(state_dir / "keystore.db") as store, opened_custodian(state_dir) as custodian:
        with store.read() as connection:
            guest_row = get_guest(connection, guest).row_id
            row = connection.execute(sa.select(sa.func.max(keys.c.id))).scalar_one() or 0
        for start in range(numbers.start, numbers.stop, PART):
            key_rows, version_rows, grant_rows = [], [], []
            for number in range(start, min(start + PART, numbers.stop)):
                row, key_id = row + 1, secrets.token_bytes(16)
                sealed = custodian.generate(key_id, 1, key_type)
                key_rows.append(key_values(row, key_id, f"k{number}", key_type, now_s))
                version_rows.append(version_values(row, sealed, now_s))
                grant_rows.append(grant_values(row, guest_row, op_mask, mechanisms, now_s))
            with store.write() as connection:
                connection.execute(keys.insert(), key_rows)
                connection.execute(key_versions.insert(), version_rows)
                connection.execute(grants.insert(), grant_rows)


def add_copies(state_dir: Path, label: str, numbers: range) -> None:
    """Copy a key, under ids of their own and names that are k and a number: nobody can open their blobs.

    Each has a tag that all of them have, and one that few have.
    """
    with closing(sqlite3.connect(state_dir / "keystore.db")) as connection, connection:
        connection.execute(
            "INSERT INTO keys (key_id, label, key_type, current_version, created_s, min_process_version) "
            "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "SELECT randomblob(16), 'k' || i, key_type, 1, created_s, 1 FROM n, keys WHERE label = ?",
            [numbers.start, numbers.stop - 1, label],
        )
        connection.execute(
            "INSERT INTO key_versions (key, version, state, sealed, public_der, next_lease, created_s, state_changed_s) "
            "SELECT keys.id, 1, state, sealed, public_der, 1, keys.created_s, state_changed_s FROM keys, key_versions "
            "WHERE key_versions.key = (SELECT id FROM keys WHERE label = ?) "
            "AND keys.id NOT IN (SELECT key FROM key_versions)",
            [label],
        )
        connection.execute(
            "INSERT INTO key_tags (key, name, value) SELECT label, 'env', 'prod' FROM keys WHERE label NOT IN (SELECT key FROM key_tags) "
            "UNION ALL SELECT label, 'number', CAST(id / 100 AS TEXT) FROM keys "
            "WHERE label NOT IN (SELECT key FROM key_tags)"
        )


@contextmanager
def opened_custodian(state_dir: Path) -> Iterator[Custodian]:
    """Start a custodian of our own, with the KEK in a file of that folder."""
    loop, file = Loop("bench"), RootFile(state_dir / "kek")
    custodian = Custodian(loop, lambda: file.open(may_create=False), Openers(), None)
    loop.start()
    try:
        custodian.start()
        yield custodian
    finally:
        custodian.stop()
        loop.stop()


def key_values(row: int, key_id: bytes, label: str, key_type: KeyType, now_s: int) -> dict[str, object]:
    """One row of keys."""
    return {
        "id": row,
        "key_id": key_id,
        "label": label,
        "key_type": key_type,
        "current_version": 1,
        "created_s": now_s,
        "min_process_version": 1,
    }


def version_values(row: int, sealed: SealedKey, now_s: int) -> dict[str, object]:
    """One row of key_versions."""
    return {
        "key": row,
        "version": 1,
        "state": KeyState.ACTIVE,
        "sealed": sealed.sealed,
        "public_der": sealed.public_der,
        "next_lease": FIRST_LEASE,
        "created_s": now_s,
        "state_changed_s": now_s,
    }


def grant_values(row: int, guest_row: int, op_mask: int, mechanism_mask: int, now_s: int) -> dict[str, object]:
    """One row of grants, without bounds."""
    bounds = ("input_bytes_max", "not_before_s", "not_after_s", "ops_max", "ops_a_second")
    values: dict[str, object] = {
        "guest": guest_row,
        "key": row,
        "op_mask": op_mask,
        "mechanism_mask": mechanism_mask,
        "created_s": now_s,
    }
    return values | dict.fromkeys(bounds, 0)
