# SPDX-License-Identifier: Apache-2.0
"""A backup becomes a state folder again: checked before anything of it is believed, whole or not at all.

What came after the backup is not known any more. A nonce may have been used with any version of an AES key that could
encrypt, so none of these encrypts again. An active one becomes deactivated: it decrypts, and a rotation makes one that
encrypts. One that was suspended or not active yet did nothing, and does nothing: it is suspended, as if it had been
activated meanwhile, and can be deactivated but not activated.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from vmm_keystore.audit.line import time_text
from vmm_keystore.audit.segments import sync_directory
from vmm_keystore.errors import BackupError, StoreError
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.store.audit_key import forget_audit_key
from vmm_keystore.store.backup import HINT, BackupHead, copy_content, read_head
from vmm_keystore.store.guests import list_guests
from vmm_keystore.store.inspection import inspect, printable
from vmm_keystore.store.keys import list_keys, set_state
from vmm_keystore.store.lost_leases import note_lost_leases
from vmm_keystore.store.pending import insert_pending
from vmm_keystore.store.state_dir import StateDir
from vmm_keystore.store.store import Store

MAY_BE_THERE = frozenset({"kek", "lock"})
TEMPORARY = ".restoring."
STATE_AFTER = {
    KeyState.PRE_ACTIVATION: KeyState.SUSPENDED,
    KeyState.ACTIVE: KeyState.DEACTIVATED,
    KeyState.SUSPENDED: KeyState.SUSPENDED,
}


@dataclass(frozen=True, slots=True)
class Restored:
    """What there is again.

    *to_rotate* are labels of keys that do not encrypt until they are rotated, *suspended* those of keys with a version
    that stays out of use and cannot be activated any more.
    """

    created_s: int
    sha256: str
    guests: int
    keys: int
    to_rotate: tuple[str, ...]
    suspended: tuple[str, ...]
    has_root_key: bool


def restore(backup: Path, state_dir: Path, progress: Callable[[int, int], None]) -> Restored:
    """Make *state_dir* from *backup*; it must not be there, or hold nothing but the key encryption key.

    Raises:
        BackupError: it is no backup, damaged, or of a newer version.
        StoreError: the folder has a store already, or cannot be written.
        DaemonError: a daemon is using it.
    """
    try:
        file = backup.open("rb")
    except OSError as error:
        raise BackupError(f"cannot read {backup}: {(error.strerror or str(error)).lower()}") from error
    was_there = state_dir.exists()
    with file:
        head = read_head(file)
        try:
            with StateDir(state_dir) as folder:
                return fill(folder, head, file, progress)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BackupError(f"cannot restore into {state_dir}: {reason}") from error
        finally:
            if not was_there and not (state_dir / "keystore.db").exists():
                shutil.rmtree(state_dir, ignore_errors=True)


def fill(folder: StateDir, head: BackupHead, file: IO[bytes], progress: Callable[[int, int], None]) -> Restored:
    """Put what follows *head* in *file* into an empty folder.

    Raises:
        BackupError: it is damaged, or of a newer version.
        StoreError: the folder is not empty.
    """
    # Of a restore that was killed; nobody else is at work here while we hold the folder.
    for stale in folder.path.glob(f"{TEMPORARY}*"):
        shutil.rmtree(stale)
    others = sorted({path.name for path in folder.path.iterdir()} - MAY_BE_THERE)
    if others:
        raise StoreError(
            f"{folder.path} is not empty: there is {others[0]}", "restore into a new folder; kek may be in it"
        )
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder.path) as temporary:
        database = Path(temporary) / "keystore.db"
        with database.open("xb") as target:
            os.fchmod(target.fileno(), 0o600)
            copy_content(file, head, target, progress)
            target.flush()
            os.fsync(target.fileno())
        restored = prepare(database, head, has_root_key=folder.root_key.exists())
        database.rename(folder.database)
    sync_directory(folder.path)
    return restored


def prepare(database: Path, head: BackupHead, *, has_root_key: bool) -> Restored:
    """Check the database and make of it what may be used from now on.

    Raises:
        BackupError: it is not what a store of this version or an older one is, or cannot be read.
    """
    try:
        with Store(database) as store:
            inspect(store, database.with_name("empty.db"))
            restored = _settle(store, head, has_root_key=has_root_key)
            store.scrub()
    except StoreError as error:
        reason = printable(error.message.replace(str(database), "it"))
        raise BackupError(f"its database is not usable: {reason}", HINT) from error
    except ValueError as error:
        raise BackupError(f"its database is not that of a store: {error}", HINT) from error
    for leftover in ("-wal", "-shm"):
        database.with_name(database.name + leftover).unlink(missing_ok=True)
    return restored


def _settle(store: Store, head: BackupHead, *, has_root_key: bool) -> Restored:
    with store.write() as connection:
        to_rotate, suspended = _end_encrypting(connection)
        # The log begins anew; under the old key it would look like one that was cut.
        forget_audit_key(connection)
        line = {
            "time": time_text(time.time_ns()),
            "action": "restore",
            "uid": os.geteuid(),
            "pid": os.getpid(),
            "backup_created_s": head.created_s,
            "backup_sha256": head.sha256,
            "deactivated": to_rotate,
            "suspended": suspended,
        }
        insert_pending(connection, json.dumps(line))
        return Restored(
            created_s=head.created_s,
            sha256=head.sha256,
            guests=len(list_guests(connection)),
            keys=len(list_keys(connection)),
            to_rotate=tuple(to_rotate),
            suspended=tuple(suspended),
            has_root_key=has_root_key,
        )


def _end_encrypting(connection: sa.Connection) -> tuple[list[str], list[str]]:
    """Labels of keys with a version that became deactivated, and of those with one that is suspended."""
    labels: dict[KeyState, list[str]] = {KeyState.DEACTIVATED: [], KeyState.SUSPENDED: []}
    lost = []
    for key in list_keys(connection):
        if not key.key_type.makes_nonces:
            continue
        after = {one: STATE_AFTER[one.state] for one in key.versions if one.state in STATE_AFTER}
        for version, state in after.items():
            if state != version.state:
                set_state(connection, key, version.version, state, int(time.time()))
            if state == KeyState.SUSPENDED:
                lost.append((key.key_id, version.version))
        for state in set(after.values()):
            labels[state].append(key.label)
    note_lost_leases(connection, lost)
    return labels[KeyState.DEACTIVATED], labels[KeyState.SUSPENDED]
