# SPDX-License-Identifier: Apache-2.0
"""A folder as an initramfs: a newc cpio archive, everything owned by root, the same bytes for the same content.

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

CONSOLE = ("dev/console", stat.S_IFCHR | 0o600, 5, 1)


def _member(out: BinaryIO, number: int, name: str, mode: int, data: bytes, *, device: tuple[int, int] = (0, 0)) -> None:
    raw = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + raw
    out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))


def write_archive(folder: Path, target: Path) -> None:
    """Write *folder* to *target*; modes are normalised to what the owner's execute bit says."""
    with target.open("wb") as out:
        for number, path in enumerate(sorted(folder.rglob("*")), start=1):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                _member(out, number, name, stat.S_IFLNK | 0o777, os.fsencode(path.readlink()))
            elif path.is_dir():
                _member(out, number, name, stat.S_IFDIR | 0o755, b"")
            else:
                mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
                _member(out, number, name, stat.S_IFREG | mode, path.read_bytes())
        name, mode, major, minor = CONSOLE
        _member(out, 0, name, mode, b"", device=(major, minor))
        _member(out, 0, "TRAILER!!!", 0, b"")
