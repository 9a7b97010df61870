# SPDX-License-Identifier: Apache-2.0
"""Who else may connect to a socket of ours: an access control list (linux/posix_acl_xattr.h)."""

import os
import struct
from collections.abc import Collection
from pathlib import Path

_VERSION = 2
_OWNER, _USER, _OWN_GROUP, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_READ_WRITE = 6


def admit(path: Path, uids: Collection[int] = (), gids: Collection[int] = ()) -> None:
    """Let *uids* and *gids* connect beside the owner, and nobody else.

    Raises:
        OSError: its file system has no such lists.
    """
    entries = [(_OWNER, _READ_WRITE, _NO_ID)]
    entries += [(_USER, _READ_WRITE, uid) for uid in sorted(uids)]
    entries += [(_OWN_GROUP, 0, _NO_ID)]
    entries += [(_GROUP, _READ_WRITE, gid) for gid in sorted(gids)]
    entries += [(_MASK, _READ_WRITE, _NO_ID), (_OTHER, 0, _NO_ID)]
    content = struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", content, follow_symlinks=False)
