# SPDX-License-Identifier: Apache-2.0
"""Closing descriptors that a front-end sent, without ever waiting for what is behind them.

Closing a file of a user-space or network file system waits for its server, which may be the front-end itself. What
cannot block is closed at once; anything else is closed on a thread of its own. For the same reason nothing here or in
the connection reads, writes or stats a front-end's descriptor.
"""

import fcntl
import os
import threading
from pathlib import Path

# Names without a leading slash come from the kernel itself; no path can look like them.
_NEVER_BLOCKING = ("anon_inode:[eventfd]", "pipe:[")


def closes_at_once(fd: int) -> bool:
    """Whether closing *fd* cannot wait for anybody: an eventfd, a pipe, or memory. No file system is asked for it."""
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return str(Path(f"/proc/self/fd/{fd}").readlink()).startswith(_NEVER_BLOCKING)
    return True  # tmpfs, memfd or hugetlbfs: only those know seals


def close_received(fd: int) -> None:
    """Close a descriptor that came from a front-end."""
    if closes_at_once(fd):
        os.close(fd)
    else:
        threading.Thread(target=os.close, args=(fd,), name="vhost-user-close", daemon=True).start()
