# SPDX-License-Identifier: Apache-2.0
"""Descriptors that outlive keystored: the one interface to vks-holder and to systemd's descriptor store.

A store keeps single descriptors under names. Several that belong together are put into a bag: one end of a socket
pair in whose queue they wait, so that they are exchanged at once or not at all, and cost the store one place.
"""

import errno
import os
import secrets
import socket
from collections.abc import Sequence
from typing import Protocol

from vmm_keystore.workers.passed_fds import ancillary_bytes, passed_fds

FDS_MAX = 64
BAG_TEXT = b"vks"


class DescriptorStore(Protocol):
    """Keeps descriptors for the next keystored. From any thread; no method waits for long."""

    def take(self, label: str) -> dict[str, int]:
        """Give descriptors that a keystored before this one left under *label*, by name; the caller owns them.

        They stay in the store until they are dropped.
        """

    def keep(self, label: str, fd: int) -> str:
        """Keep a copy of *fd*; the name to drop it by. *label* may be used more than once.

        Raises:
            OSError: there is no descriptor for a copy; whether the store has room is only logged.
        """

    def drop(self, name: str) -> None:
        """Close the store's copy."""

    @property
    def has_inherited(self) -> bool:
        """Whether a keystored before this one left anything."""

    def drop_unclaimed(self) -> None:
        """Close what was left and nobody took."""

    def close(self, *, leave: bool) -> None:
        """End: the next keystored finds what is kept, if *leave*; else it is closed."""


def new_name(label: str) -> str:
    """A name under *label* that nobody else has used."""
    return f"{label}.{secrets.token_hex(8)}"


def label_of(name: str) -> str:
    """The label in a name."""
    return name.rpartition(".")[0]


def pack_bag(fds: Sequence[int]) -> int:
    """Put copies of *fds* into a bag; its descriptor is the caller's.

    Raises:
        OSError: out of descriptors or memory.
    """
    if len(fds) > FDS_MAX:
        raise AssertionError(f"{len(fds)} descriptors for one bag")
    bag, mouth = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with bag, mouth:
        socket.send_fds(mouth, [BAG_TEXT], list(fds))
        return bag.detach()


def open_bag(bag_fd: int) -> tuple[int, ...]:
    """Give copies of what is in a bag, which stays as it is; *bag_fd* stays the caller's.

    Raises:
        OSError: there is nothing in it, or no room for the copies.
    """
    with socket.socket(fileno=os.dup(bag_fd)) as bag:
        flags = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        text, ancillary, told, _ = bag.recvmsg(len(BAG_TEXT), ancillary_bytes(FDS_MAX), flags)
    fds = passed_fds(ancillary)
    if text != BAG_TEXT or told & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise OSError(errno.EBADMSG, "it is not whole")
    return fds
