# SPDX-License-Identifier: Apache-2.0
"""vks-holder: the process that keeps descriptors where no service manager does. ``DescriptorStore``.

It listens in the runtime folder; each keystored connects to the one that is there or starts it. A copy of all that is
kept stays here, so that a holder that dies is replaced and told everything again.
"""

import errno
import logging
import os
import socket
import struct
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from vmm_keystore._vks import ffi, lib
from vmm_keystore.errors import KeystoreError, WorkerError
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.descriptor_store import label_of, new_name
from vmm_keystore.workers.errors import ProgramError, ProgramLostError, ProgramRefusedError
from vmm_keystore.workers.ipc import REPLY, Form, Message, pack
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.programs import Process, is_child, spawn

log = logging.getLogger(__name__)

PROGRAM = "vks-holder"
SOCKET_NAME = "holder.sock"
NAME_BYTES: int = ffi.sizeof("struct vks_holder_name")
FIND_ATTEMPTS = 5
ROOM_WAIT_MS = 100
RESTART_DELAY_S = 0.05
RESTART_DELAY_MAX_S = 5.0
END_WAIT_S = 1.0
CONNECT_WAIT_S = 5.0
UCRED = struct.Struct("=iII")
FORMS = {
    lib.VKS_HOLDER_KEEP | REPLY: Form(),
    lib.VKS_HOLDER_DROP | REPLY: Form(),
    lib.VKS_HOLDER_LIST | REPLY: Form("vks_holder_name", fd_count=1),
    lib.VKS_HOLDER_END | REPLY: Form(),
}


class Holder:
    """The connection to the one holder of a runtime folder, kept up until :meth:`close`."""

    def __init__(self, loop: Loop, runtime_dir: Path) -> None:
        """Connect to the holder that is there, or start one.

        Raises:
            WorkerError: it is not installed, or cannot be started.
        """
        self._loop = loop
        self._path = runtime_dir / SOCKET_NAME
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._unclaimed: set[str] = set()
        self._closed = False
        self._process: Process | None = None
        self._connection: Connection | None = None
        try:
            self._process, self._connection = self._find()
        except (ProgramError, OSError) as error:
            raise WorkerError(f"{PROGRAM} could not be started: {error}") from error

    @property
    def has_inherited(self) -> bool:
        """Whether a keystored before this one left anything."""
        return bool(self._unclaimed)

    def take(self, label: str) -> dict[str, int]:
        """Give what was left under *label*."""
        with self._lock:
            names = [name for name in self._unclaimed if label_of(name) == label]
            self._unclaimed.difference_update(names)
            return {name: os.dup(self._held[name]) for name in names}

    def keep(self, label: str, fd: int) -> str:
        """Keep a copy of *fd*."""
        name = new_name(label)
        with self._lock:
            self._held[name] = os.dup(fd)
            self._tell(lib.VKS_HOLDER_KEEP, name, [fd])
        return name

    def drop(self, name: str) -> None:
        """Close both copies."""
        with self._lock:
            fd = self._held.pop(name, -1)
            if fd >= 0:
                os.close(fd)
                self._tell(lib.VKS_HOLDER_DROP, name, [])

    def drop_unclaimed(self) -> None:
        """Close what nobody took."""
        for name in list(self._unclaimed):
            self.drop(name)
        self._unclaimed.clear()

    def close(self, *, leave: bool) -> None:
        """Leave the holder alone, or end it with all that it keeps."""
        with self._lock:
            self._closed = True
            connection, process = self._connection, self._process
        if connection is None or process is None:
            return
        if not leave:
            try:
                connection.request(lib.VKS_HOLDER_END, timeout_s=END_WAIT_S)
            except ProgramError as error:
                log.warning("%s did not end, killed: %s", PROGRAM, error)
                process.kill()
            process.ended.wait(END_WAIT_S)
            self._path.unlink(missing_ok=True)
        connection.close("stopping")
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()

    # -- the process -------------------------------------------------------------------------------------------------

    def _find(self) -> tuple[Process, Connection]:
        """The holder and all it has; one that has nothing may be ending just now."""
        for _ in range(FIND_ATTEMPTS):
            process, connection = self._open()
            try:
                self._inherit(connection)
            except ProgramLostError as error:
                log.warning("%s", error)
                process.ended.wait(END_WAIT_S)
            else:
                return process, connection
        raise ProgramLostError(f"{PROGRAM} ends at once")

    def _open(self) -> tuple[Process, Connection]:
        """Connect to a holder, a new one if need be, and watch it."""
        sock = connect(self._path)
        if sock is None:
            self._path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
                os.fchmod(listening.fileno(), 0o600)
                listening.bind(str(self._path))
                process = spawn(PROGRAM, listening, os.geteuid())
            sock = wait_connected(self._path, process)
        else:
            pid, _uid, _gid = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
            process = Process(pid, os.pidfd_open(pid))
        connection = Connection(
            self._loop,
            sock,
            FORMS,
            name=PROGRAM,
            on_event=lambda _message: process.kill(),
            on_lost=lambda _reason: self._lost(process),
        )
        self._loop.add_reader(process.pidfd, lambda: self._ended(process))
        return process, connection

    def _inherit(self, connection: Connection) -> None:
        index = 0
        while True:
            body = pack("vks_holder_index", {"index": index})
            try:
                message = connection.request(lib.VKS_HOLDER_LIST, body)
            except ProgramRefusedError as error:
                if error.errno != errno.ENOENT:
                    raise
                return
            name = bytes(ffi.buffer(message.body.name)).rstrip(b"\0").decode()
            self._held[name] = message.fds[0]
            self._unclaimed.add(name)
            index += 1

    def _tell(self, message_type: int, name: str, fds: list[int]) -> None:
        """With the lock. What is not understood by a holder that dies is told to the next one."""
        body = name.encode().ljust(NAME_BYTES, b"\0")

        def replied(future: Future[Message]) -> None:
            error = future.exception()
            if isinstance(error, ProgramRefusedError):
                log.error("%s refused %s: %s", PROGRAM, name, error)

        if self._connection is not None:
            self._connection.post(message_type, body, fds, wait_ms=ROOM_WAIT_MS).add_done_callback(replied)

    def _lost(self, process: Process) -> None:
        if not self._closed:
            process.kill()

    def _ended(self, process: Process) -> None:
        """On the loop's thread, when the pidfd says exit."""
        self._loop.remove_reader(process.pidfd)
        process.close(reap=is_child(process.pidfd))
        if self._closed or process is not self._process or self._connection is None:
            return
        self._connection.close(f"{PROGRAM} ended")
        log.error("%s (pid %d) ended, restarting; guests go on", PROGRAM, process.pid)
        threading.Thread(target=self._restart, name="restart-holder", daemon=True).start()

    def _restart(self) -> None:
        delay_s = RESTART_DELAY_S
        while not self._closed:
            try:
                process, connection = self._open()
            except (KeystoreError, OSError) as error:
                log.error("%s could not be restarted: %s", PROGRAM, error)
                time.sleep(delay_s)
                delay_s = min(RESTART_DELAY_MAX_S, delay_s * 2)
                continue
            with self._lock:
                self._process, self._connection = process, connection
                for name, fd in self._held.items():
                    self._tell(lib.VKS_HOLDER_KEEP, name, [fd])
            log.info("%s restarted, pid %d, %d descriptors", PROGRAM, process.pid, len(self._held))
            return


def connect(path: Path) -> socket.socket | None:
    """Connect to the holder at *path*; None when there is none."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(CONNECT_WAIT_S)
    try:
        sock.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def wait_connected(path: Path, process: Process) -> socket.socket:
    """Connect to a holder that was started just now.

    Raises:
        ProgramLostError: it does not listen in time.
    """
    for _ in range(500):
        sock = connect(path)
        if sock is not None:
            return sock
        process.ended.wait(0.01)
    process.kill()
    raise ProgramLostError(f"{PROGRAM} does not listen")
