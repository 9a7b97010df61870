# SPDX-License-Identifier: Apache-2.0
"""One ring as configured so far, and whether it may run.

The front-end configures piece by piece; ``wanted`` says that it asked for the ring to run, ``fault`` why that cannot
be, ``told`` what the device was given last (None: it is not serving the ring), ``resumes`` that its next start is the
one that another process made. Sizes and addresses come from the guest through an honest front-end: a bad one keeps
this ring from starting and is no breach.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .backend import RingFd, Vring
from .memory_table import MemoryTable
from .messages import VringAddr

DESC_ALIGN, AVAIL_ALIGN, USED_ALIGN = 16, 2, 4


@dataclass(slots=True)
class RingState:
    """Configuration and state of a ring; *base* is where it starts next."""

    index: int
    size: int | None = None
    addr: VringAddr | None = None
    base: int = 0
    start_id: int = 0
    resumes: bool = False
    kick_fd: int | None = None
    call_fd: int | None = None
    err_fd: int | None = None
    kicked: bool = False
    enabled: bool = False
    refused: bool = False
    told: Vring | None = None
    reported: str | None = None

    @property
    def configured(self) -> bool:
        """Whether size and addresses are known."""
        return self.size is not None and self.addr is not None

    @property
    def running(self) -> bool:
        """Whether the device serves it."""
        return self.told is not None

    @property
    def wanted(self) -> bool:
        """Whether the front-end has started and enabled it."""
        return self.kicked and self.enabled

    def fault(self, table: MemoryTable, size_max: int) -> str | None:
        """Why the ring cannot run, None if it can."""
        if self.size is None or self.addr is None:
            return "not configured"
        if self.refused:
            return "the device refused it"
        if self.kick_fd is None:
            return "no kick descriptor, and polling is not offered"
        if not 0 < self.size <= size_max or self.size & (self.size - 1):
            return f"size {self.size} is not a power of two up to {size_max}"
        return _address_fault(self.addr, self.size, table)

    def vring(self, features: int) -> Vring:
        """What the device is given at start."""
        if self.size is None or self.addr is None or self.kick_fd is None:
            raise AssertionError("started a ring that is not configured")
        return Vring(
            index=self.index,
            size=self.size,
            desc_uva=self.addr.desc_uva,
            avail_uva=self.addr.avail_uva,
            used_uva=self.addr.used_uva,
            base=self.base,
            features=features,
            start_id=self.start_id,
            kick_fd=self.kick_fd,
            call_fd=self.call_fd,
            err_fd=self.err_fd,
        )

    def fd(self, role: RingFd) -> int | None:
        """The descriptor the front-end sent last."""
        return {RingFd.KICK: self.kick_fd, RingFd.CALL: self.call_fd, RingFd.ERR: self.err_fd}[role]

    def told_fd(self, role: RingFd) -> int | None:
        """The descriptor the device was given last."""
        if self.told is None:
            return None
        return {RingFd.KICK: self.told.kick_fd, RingFd.CALL: self.told.call_fd, RingFd.ERR: self.told.err_fd}[role]

    def note_told(self, role: RingFd, fd: int | None) -> None:
        """Remember that the device was given another descriptor."""
        if self.told is None:
            raise AssertionError("replaced a descriptor of a stopped ring")
        if role is RingFd.CALL:
            self.told = replace(self.told, call_fd=fd)
        elif role is RingFd.ERR:
            self.told = replace(self.told, err_fd=fd)
        elif fd is not None:
            self.told = replace(self.told, kick_fd=fd)

    def set_fd(self, role: RingFd, fd: int | None) -> None:
        """Replace one descriptor."""
        if role is RingFd.KICK:
            self.kick_fd = fd
        elif role is RingFd.CALL:
            self.call_fd = fd
        else:
            self.err_fd = fd

    def stop(self) -> None:
        """Forget the kick: the ring needs a new one to start (GET_VRING_BASE)."""
        self.kicked = False
        self.kick_fd = None

    def reset(self) -> None:
        """Back to the initial state, but for call and err descriptors: front-ends do not send those again."""
        self.stop()
        self.size = self.addr = None
        self.base = 0
        self.enabled = False

    def fds(self) -> Iterator[int]:
        """The descriptors it holds."""
        return (fd for fd in (self.kick_fd, self.call_fd, self.err_fd) if fd is not None)


def _address_fault(addr: VringAddr, size: int, table: MemoryTable) -> str | None:
    parts = (
        ("descriptor table", addr.desc_uva, 16 * size, DESC_ALIGN),
        ("available ring", addr.avail_uva, 6 + 2 * size, AVAIL_ALIGN),
        ("used ring", addr.used_uva, 6 + 8 * size, USED_ALIGN),
    )
    for name, uva, size_bytes, align in parts:
        if uva % align:
            return f"{name} is not aligned"
        if not table.covers(uva, size_bytes):
            return f"{name} is outside of the memory table"
    return None
