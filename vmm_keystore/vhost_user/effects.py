# SPDX-License-Identifier: Apache-2.0
"""What the state machine asks its connection to do: send a reply, call the device, note a ring that cannot run."""

from dataclasses import dataclass

from .backend import MemoryRegion, RingFd, Vring


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes for the front-end."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RingFault:
    """A ring the front-end wants to run cannot; it stays stopped."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class SetMemTable:
    """Call of the device: replace the memory table."""

    regions: tuple[MemoryRegion, ...]


@dataclass(frozen=True, slots=True)
class StartRing:
    """Call of the device: serve a ring."""

    vring: Vring


@dataclass(frozen=True, slots=True)
class StopRing:
    """Call of the device: stop a ring; the result carries its base."""

    index: int


@dataclass(frozen=True, slots=True)
class SetRingFd:
    """Call of the device: replace a descriptor of a running ring."""

    index: int
    role: RingFd
    fd: int | None


Call = SetMemTable | StartRing | StopRing | SetRingFd
Effect = Reply | RingFault | Call


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended; *base* is meaningful for StopRing alone."""

    ok: bool
    base: int = 0
