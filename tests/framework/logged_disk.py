# SPDX-License-Identifier: Apache-2.0
"""A disk with a file system whose every block write is on record, and the disk as it was after each of them.

QEMU's storage daemon exports an image as a file (FUSE) and writes a log of what is written to it, in the format of the
kernel's dm-log-writes (``Documentation/admin-guide/device-mapper/log-writes.rst``); a loop device makes a disk of that
file. Flushes go all the way: what a program has synchronized is in the log when its call returns.
"""

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SECTOR_BYTES = 512
_LOG_BYTES = 4 << 30  # of a file with holes
_SUPER = struct.Struct("<QQQI")
_MAGIC = 0x6A736677736872
_ENTRY = struct.Struct("<QQQQ")
_DISCARD = 4
START_WAIT_S = 20.0


def lacking() -> str | None:
    """Why there can be no such disk here; None where there can."""
    if os.geteuid() != 0:
        return "needs root: mounts a file system"
    missing = [path for path in ("/dev/fuse", "/dev/loop-control") if not Path(path).exists()]
    missing += [name for name in ("qemu-storage-daemon", "losetup", "mkfs.ext4") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


@dataclass(frozen=True, slots=True)
class Write:
    """One entry of the log: what came to lie where, both in bytes; *data* is None for what was only discarded."""

    offset: int
    size: int
    data: bytes | None


def make_file_system(image: Path) -> None:
    """Make an ext4 file system, whole at once, so that nothing is written later by itself."""
    _run("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[None]:
    """Have the file system in *image* at *place*, which is made for it; recovery is the kernel's, at mounting."""
    device = _run("losetup", "--find", "--show", image)
    try:
        place.mkdir()
        try:
            _run("mount", device, place)
            try:
                yield
            finally:
                _run("umount", place)
        finally:
            place.rmdir()
    finally:
        _run("losetup", "--detach", device)


class LoggedDisk:
    """Exported while entered. *folder* takes image and log; ``exported`` is an image file as ``mounted`` takes it."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.exported = folder / "exported"
        self._image, self._log = folder / "image", folder / "log"
        self._size_bytes = size_bytes
        self._stack = ExitStack()
        # What has been read of the log: a place in the file, and the number of entries before it.
        self._read_bytes, self._entries = SECTOR_BYTES, 0

    def __enter__(self) -> Self:
        for path, size in ((self._image, self._size_bytes), (self._log, _LOG_BYTES), (self.exported, 0)):
            path.touch()
            os.truncate(path, size)
        files = [f"file,node-name={name},filename={path}" for name, path in (("i", self._image), ("l", self._log))]
        logged = f"blklogwrites,node-name=logged,file=i,log=l,log-sector-size={SECTOR_BYTES}"
        options = [word for node in (*files, logged) for word in ("--blockdev", node)]
        export = f"fuse,id=e,node-name=logged,mountpoint={self.exported},writable=on"
        daemon = subprocess.Popen(["qemu-storage-daemon", *options, "--export", export])
        self._stack.callback(daemon.wait, START_WAIT_S)
        self._stack.callback(daemon.terminate)
        end_s = time.monotonic() + START_WAIT_S
        while self.exported.stat().st_size != self._size_bytes:
            if daemon.poll() is not None or time.monotonic() > end_s:
                self._stack.close()
                raise AssertionError("qemu-storage-daemon exports nothing")
            time.sleep(0.01)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def written(self) -> int:
        """How many writes there are by now: those that a change before this call waited for are among them."""
        with self._log.open("rb") as log:
            for _ in self._walk(log.fileno(), self._read_bytes):
                pass
        return self._entries

    def writes(self) -> Iterator[Write]:
        """All of them in their order; flushes have no data and come as writes of no bytes."""
        self._entries = 0
        with self._log.open("rb") as log:
            magic, version, _entries, sector_bytes = _SUPER.unpack(os.pread(log.fileno(), _SUPER.size, 0))
            if (magic, version, sector_bytes) != (_MAGIC, 1, SECTOR_BYTES):
                raise AssertionError("not a log of writes")
            yield from self._walk(log.fileno(), SECTOR_BYTES)

    def _walk(self, log: int, place: int) -> Iterator[Write]:
        """Entries from *place* on; where none was written, the file has a hole."""
        while True:
            sector, sectors, flags, _data_bytes = _ENTRY.unpack(os.pread(log, _ENTRY.size, place))
            if not sectors and not flags:
                self._read_bytes = place
                return
            place += SECTOR_BYTES
            size = sectors * SECTOR_BYTES
            data = None if flags & _DISCARD else os.pread(log, size, place)
            place += 0 if data is None else size
            self._entries += 1
            yield Write(sector * SECTOR_BYTES, size, data)


def apply(write: Write, image: int) -> None:
    """Do to the file *image* what was done to the disk; a discarded range may hold anything: here it is zero."""
    data = bytes(write.size) if write.data is None else write.data
    if data:
        os.pwrite(image, data, write.offset)


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stderr}")
    return done.stdout.strip()
