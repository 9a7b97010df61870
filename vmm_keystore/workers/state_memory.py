# SPDX-License-Identifier: Apache-2.0
"""State memory: a guest's file on tmpfs, shared with its worker, that outlives every process of ours.

A worker may fall to its guest, so what it wrote is only ever checked and copied. A file that does not check is put
aside, never repaired: its audit records can no longer be told from forged ones.
"""

import ctypes
import fcntl
import hashlib
import logging
import mmap
import os
import stat
import threading
from pathlib import Path
from typing import Self

from vmm_keystore._vks import ffi, lib
from vmm_keystore.service.guest_values import Latency
from vmm_keystore.workers.errors import StateMemoryError
from vmm_keystore.workers.latencies import checked_latencies
from vmm_keystore.workers.ring_watch import RingWatch

log = logging.getLogger(__name__)

STATE_BYTES: int = lib.vks_state_bytes()
BYTES_BEFORE: int = lib.vks_state_bytes_before()
RING_RECORDS: int = lib.VKS_AUDIT_RING_RECORDS
RECORD_BYTES: int = lib.VKS_AUDIT_RECORD_BYTES
TMPFS_MAGIC = 0x01021994


def is_tmpfs(path: Path) -> bool:
    """Tell whether *path* lies on tmpfs: state memory must neither wait for a disk nor stay on one."""
    # struct statfs begins with f_type, a long; 256 bytes are more than the whole of it.
    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value == TMPFS_MAGIC


def default_runtime_dir(state_dir: Path) -> Path:
    """Choose where the state memory of the daemon on *state_dir* lies; the same one at each start of the same user."""
    name = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]
    # Of a service (systemd.exec(5), RuntimeDirectory=), or of a person who is logged in.
    service_dir = os.environ.get("RUNTIME_DIRECTORY")
    user_dir = os.environ.get("XDG_RUNTIME_DIR")
    if os.geteuid() == 0 and is_tmpfs(Path("/run")):
        return Path("/run/vmm-keystore") / name
    if service_dir and is_tmpfs(Path(service_dir)):
        return Path(service_dir) / name
    if user_dir and is_tmpfs(Path(user_dir)):
        return Path(user_dir) / "vmm-keystore" / name
    return Path(f"/dev/shm/vmm-keystore-{os.geteuid()}") / name  # noqa: S108 - made private below, never followed


def prepare_runtime_dir(path: Path) -> None:
    """Make the directory, and its parent, private to this user.

    Raises:
        StateMemoryError: it is not on tmpfs, or somebody else's.
    """
    if not path.is_dir():
        path.parent.mkdir(mode=0o711, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    status, parent = path.lstat(), path.parent.lstat()
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    # Whoever owns or may write the parent could exchange the directory; the sticky bit of /dev/shm forbids it.
    parent_ours = stat.S_ISDIR(parent.st_mode) and parent.st_uid in {0, os.geteuid()}
    if not ours or not parent_ours or (parent.st_mode & 0o022 and not parent.st_mode & stat.S_ISVTX):
        raise StateMemoryError(f"{path} is not private to this user")
    path.chmod(0o700)
    if not is_tmpfs(path):
        raise StateMemoryError(f"{path} is not on tmpfs", "give --runtime-dir a directory below /run or /dev/shm")


def lock_runtime_dir(path: Path) -> int:
    """Take the directory for this process, until the descriptor that is returned is closed.

    Raises:
        StateMemoryError: another daemon has it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StateMemoryError(f"another daemon is using {path}", "choose another --runtime-dir") from None
    return fd


class StateMemory:
    """One guest's file, open and mapped until :meth:`close`; takes of the audit ring are serialised here.

    *is_new*: there was none, or none that checks.
    """

    def __init__(self, path: Path, rings: RingWatch | None = None) -> None:
        """Open the file of *path*, or lay out a new one where there is none that checks; *rings* watches its records."""
        self.path = path
        self.fd = open_checked(path)
        self.is_new = self.fd < 0
        if self.is_new:
            self.fd = create(path)
        self._map = mmap.mmap(self.fd, STATE_BYTES)
        self._state = ffi.from_buffer(self._map)
        self._records = ffi.new("struct vks_audit_record[]", RING_RECORDS)
        self.drain_lock = threading.Lock()
        # Never held over anything that waits: the vhost-user thread and the loop take it.
        self._guard = threading.Lock()
        self._closed = False
        self._rings = rings
        if rings:
            rings.add(path.stem, lib.vks_state_audit(self._state))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def peek(self) -> bytes:
        """Copy out every closed record that waits, oldest first; only with ``drain_lock``.

        Raises:
            StateMemoryError: the ring's indices or numbers are broken; nothing in it can be believed.
        """
        count = lib.vks_audit_peek(lib.vks_state_audit(self._state), self._records, RING_RECORDS)
        if count < 0:
            raise StateMemoryError(f"audit ring of {self.path.stem} is broken")
        return bytes(ffi.buffer(self._records, count * RECORD_BYTES))

    def close_records(self) -> None:
        """Let :meth:`peek` have what a dead worker left open; when no worker that had the ring lives any more."""
        with self._guard:
            if not self._closed:
                lib.vks_audit_close(lib.vks_state_audit(self._state))

    def take(self, count: int) -> None:
        """Give the room of *count* records back, once they are stored durably; only with ``drain_lock``."""
        lib.vks_audit_take(lib.vks_state_audit(self._state), count)

    def next_base(self, queue: int, start_id: int, base: int) -> int:
        """Tell the next available index of a ring whose worker died.

        Args:
            queue: its number.
            start_id: of the front-end's start that is asked about.
            base: the answer when no worker ever began with that start.
        """
        with self._guard:
            if self._closed or lib.vks_state_queue(self._state, queue).start_id != start_id:
                return base
            return int(lib.vks_state_next_base(self._state, queue))

    def occupancy(self) -> tuple[int, int]:
        """Requests that were taken and not answered, and audit records that wait to be stored."""
        with self._guard:
            if self._closed:
                return 0, 0
            in_flight = sum(lib.vks_state_in_flight(self._state, queue) for queue in range(lib.VKS_STATE_QUEUES_MAX))
            return int(in_flight), int(lib.vks_audit_waiting(lib.vks_state_audit(self._state)))

    def is_unused(self) -> bool:
        """Whether no request has been taken from any ring yet; never waits."""
        with self._guard:
            return not self._closed and not lib.vks_state_is_used(self._state)

    def budget_ids(self) -> list[int]:
        """Whose each budget is, 0: nobody's."""
        with self._guard:
            return [int(lib.vks_state_budget(self._state, index).id) for index in range(lib.VKS_STATE_BUDGETS_MAX)]

    def open_budget(self, index: int, budget_id: int, used: int) -> None:
        """Give a budget's place to *budget_id*, which has used so many operations."""
        with self._guard:
            if not self._closed:
                lib.vks_budget_open(self._state, index, budget_id, used)

    def lease_budget(self, index: int, leased: int, low: int) -> None:
        """Let the worker use operations up to *leased*; at *low* it asks for more."""
        with self._guard:
            if not self._closed:
                lib.vks_budget_lease(self._state, index, leased, low)

    def budget_used(self, index: int) -> int:
        """How many operations have begun."""
        with self._guard:
            return 0 if self._closed else int(lib.vks_budget_used(self._state, index))

    def latencies(self) -> list[Latency]:
        """How long requests took, as far as that can be true."""
        rows = ffi.new("struct vks_latency[]", lib.VKS_LATENCY_MAX)
        with self._guard:
            count = 0 if self._closed else lib.vks_latency_read(self._state, rows)
        # What takes longer than the copy, without the lock.
        return checked_latencies(rows[0:count])

    def is_usable(self) -> bool:
        """Tell whether a worker that has mapped it may go on with it; without a look at the audit records."""
        with self._guard:
            return not self._closed and lib.vks_state_check(self._state, STATE_BYTES) == 0

    def is_sound(self) -> bool:
        """Tell whether a worker would accept the file, and its audit records can be read."""
        if lib.vks_state_check(self._state, STATE_BYTES) != 0:
            return False
        return bool(lib.vks_audit_peek(lib.vks_state_audit(self._state), self._records, RING_RECORDS) >= 0)

    def close(self) -> None:
        """Drop mapping and descriptor; the file stays."""
        if self._rings:
            self._rings.remove(self.path.stem)
        with self._guard:
            self._closed = True
            ffi.release(self._state)
            self._map.close()
        os.close(self.fd)

    def put_aside(self) -> None:
        """Close, and keep the file under a name that is not opened again."""
        self.close()
        rename_damaged(self.path)

    def remove(self) -> None:
        """Close, and delete the file with all it holds."""
        self.close()
        self.path.unlink(missing_ok=True)


def open_checked(path: Path) -> int:
    """Open an existing file; -1 when there is none, or when it does not check and was put aside."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return -1
    status = os.fstat(fd)
    is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if is_ours and (status.st_size == STATE_BYTES or grow(fd, status.st_size)):
        with mmap.mmap(fd, STATE_BYTES) as mapping, ffi.from_buffer(mapping, require_writable=True) as state:
            if lib.vks_state_check_before(state, STATE_BYTES) == 0:
                lib.vks_state_upgrade(state)
            if lib.vks_state_check(state, STATE_BYTES) == 0:
                return fd
    os.close(fd)
    rename_damaged(path)
    return -1


def grow(fd: int, size_bytes: int) -> bool:
    """Grow a file of the version before, with all that is in flight in it; a worker of then may still have it.

    Returns:
        Whether it is of the present size now.

    Raises:
        OSError: there is no room; it stays as it was.
    """
    if size_bytes != BYTES_BEFORE:
        return False
    with mmap.mmap(fd, size_bytes, prot=mmap.PROT_READ) as mapping, ffi.from_buffer(mapping) as state:
        if lib.vks_state_check_before(state, size_bytes) != 0:
            return False
    os.posix_fallocate(fd, 0, STATE_BYTES)
    return True


def rename_damaged(path: Path) -> None:
    """Keep a damaged file for whoever investigates; the latest one of a guest is enough."""
    aside = path.with_suffix(".damaged")
    path.rename(aside)
    log.error("state memory %s is damaged, put aside as %s", path, aside.name)


def create(path: Path) -> int:
    """Lay out a new file and give it its name only when it is whole."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    # Reserve now: a full tmpfs must show here, not as SIGBUS in a worker.
    os.posix_fallocate(fd, 0, STATE_BYTES)
    with mmap.mmap(fd, STATE_BYTES) as mapping, ffi.from_buffer(mapping, require_writable=True) as state:
        lib.vks_state_init(state)
    temporary.rename(path)
    return fd
