# SPDX-License-Identifier: Apache-2.0
"""A backup becomes a state folder again: checked before anything of it is believed, whole or not at all.

What came after the backup is not known any more. A nonce may have been used with any version of an AES or
ChaCha20-Poly1305 key that could encrypt, so none of these encrypts again. An active one becomes deactivated: it
decrypts, and a rotation makes one that encrypts. One that was suspended or not active yet did nothing, and does
nothing: it is suspended, as if it had been activated meanwhile, and can be deactivated but not activated.
"""

import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from vmm_keystore.audit.line import time_text
from vmm_keystore.audit.segments import sync_directory
from vmm_keystore.errors import BackupError, RootOfTrustError, StoreError
from vmm_keystore.policy.hsm import HsmPlace
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.service.audit_key import check_kek
from vmm_keystore.store.audit_key import retire_audit_key
from vmm_keystore.store.backup import HINT, BackupHead, copy_content, read_head
from vmm_keystore.store.events import forget_events
from vmm_keystore.store.guests import list_guests
from vmm_keystore.store.inspection import inspect, printable
from vmm_keystore.store.key_list import list_keys
from vmm_keystore.store.key_uses import forget_standing
from vmm_keystore.store.keys import set_state
from vmm_keystore.store.lost_leases import note_lost_leases
from vmm_keystore.store.pending import insert_pending
from vmm_keystore.store.state_dir import StateDir
from vmm_keystore.store.store import Store
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.hsm import open_hsm
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.root_file import RootFile
from vmm_keystore.workers.root_openers import Openers
from vmm_keystore.workers.root_secret import ask_for_passphrase
from vmm_keystore.workers.secret_file import open_secret
from vmm_keystore.workers.tpm import open_tpm

KEK_FILE_BYTES_MAX = 1 << 16
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


@dataclass(frozen=True, slots=True)
class OpenedBy:
    """What opens the key encryption key: the file with a passphrase or credential, or a PKCS#11 token."""

    root_secret: Path | None = None
    hsm: HsmPlace | None = None


def restore(
    backup: Path,
    state_dir: Path,
    progress: Callable[[int, int], None],
    root_key: Path | None = None,
    opened_by: OpenedBy | None = None,
) -> Restored:
    """Make *state_dir* from *backup*; it must not be there, or hold nothing but the key encryption key.

    *root_key* is copied there as the key encryption key; that, or one that lies there, must open the backup's keys.
    *opened_by* says what opens it, where it takes a secret; None: a passphrase is asked for.

    Raises:
        BackupError: it is no backup, damaged, or of a newer version.
        RootOfTrustError: the key encryption key cannot be used, or is another one.
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
                return fill(folder, head, file, progress, root_key=root_key, opened_by=opened_by)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BackupError(f"cannot restore into {state_dir}: {reason}") from error
        finally:
            if not was_there and not (state_dir / "keystore.db").exists():
                shutil.rmtree(state_dir, ignore_errors=True)


def fill(
    folder: StateDir,
    head: BackupHead,
    file: IO[bytes],
    progress: Callable[[int, int], None],
    *,
    root_key: Path | None = None,
    opened_by: OpenedBy | None = None,
) -> Restored:
    """Put what follows *head* in *file* into an empty folder.

    Raises:
        BackupError: it is damaged, or of a newer version.
        RootOfTrustError: the key encryption key cannot be used, or is another one.
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
    if root_key is not None and folder.root_key.exists():
        raise StoreError(f"there is a kek in {folder.path} already", "leave out --root-key, or move it away")
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder.path) as temporary:
        database = Path(temporary) / "keystore.db"
        with database.open("xb") as target:
            os.fchmod(target.fileno(), 0o600)
            copy_content(file, head, target, progress)
            target.flush()
            os.fsync(target.fileno())
        kek = folder.root_key if root_key is None else copy_root_key(root_key, Path(temporary) / "kek")
        restored = prepare(database, head, kek if kek.exists() else None, opened_by)
        if root_key is not None:
            kek.rename(folder.root_key)
        database.rename(folder.database)
    sync_directory(folder.path)
    return restored


def prepare(database: Path, head: BackupHead, kek: Path | None, opened_by: OpenedBy | None = None) -> Restored:
    """Check the database and make of it what may be used from now on; *kek* must open it, where there is one.

    Raises:
        BackupError: it is not what a store of this version or an older one is, or cannot be read.
        RootOfTrustError: the key encryption key cannot be used, or is another one.
    """
    try:
        with Store(database) as store:
            inspect(store, database.with_name("empty.db"))
            restored = _settle(store, head, has_root_key=kek is not None)
            if kek is not None:
                try_kek(store, kek, opened_by or OpenedBy())
            store.scrub()
    except StoreError as error:
        reason = printable(error.message.replace(str(database), "it"))
        raise BackupError(f"its database is not usable: {reason}", HINT) from error
    except ValueError as error:
        raise BackupError(f"its database is not that of a store: {error}", HINT) from error
    for leftover in ("-wal", "-shm"):
        database.with_name(database.name + leftover).unlink(missing_ok=True)
    return restored


def copy_root_key(source: Path, target: Path) -> Path:
    """Copy the KEK from file to file inside the kernel: no byte of it comes into this process.

    Raises:
        RootOfTrustError: it cannot be read.
    """
    try:
        source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise RootOfTrustError(f"cannot read {source}: {(error.strerror or str(error)).lower()}") from error
    try:
        status = os.fstat(source_fd)
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= KEK_FILE_BYTES_MAX:
            raise RootOfTrustError(f"{source} is no key encryption key", "it is the file kek of a state folder")
        target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(target_fd, source_fd, None, KEK_FILE_BYTES_MAX):
                pass
            os.fsync(target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)
    return target


def try_kek(store: Store, kek: Path, opened_by: OpenedBy) -> None:
    """Have a custodian of our own open what tells whether it is the right one.

    Raises:
        RootOfTrustError: it is damaged, or another one.
        CustodianError: the program cannot be started.
    """
    with ExitStack() as stack:
        secret_fd = open_secret(opened_by.root_secret) if opened_by.root_secret else None
        if secret_fd is not None:
            stack.callback(os.close, secret_fd)
        loop = Loop("restore")
        loop.start()
        stack.callback(loop.stop)
        file = RootFile(kek)
        openers = Openers(secret_fd, open_tpm(None), open_hsm(opened_by.hsm, os.environ))
        custodian = Custodian(loop, lambda: file.open(may_create=False), openers, None)
        custodian.start()
        stack.callback(custodian.stop)
        ask_for_passphrase(custodian, needed=True)
        check_kek(store, custodian)


def _settle(store: Store, head: BackupHead, *, has_root_key: bool) -> Restored:
    with store.write() as connection:
        to_rotate, suspended = _end_encrypting(connection)
        # The log begins anew; under the old key it would look like one that was cut.
        retire_audit_key(connection)
        forget_standing(connection)
        forget_events(connection)
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
