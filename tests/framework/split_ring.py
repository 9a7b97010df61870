# SPDX-License-Identifier: Apache-2.0
"""The driver's side of a split virtqueue in guest RAM, honest or lying.

The honest path (``add``, ``publish``, ``kick``, ``reap``) keeps its own books and never trusts the device for them.
The lying path is the same memory: ``set_desc``, ``avail``, ``set_avail_idx`` and the views take any value. Source:
virtio 1.2, 2.7. Nothing here knows vhost-user.
"""

import os
import select
import struct
import threading
import time
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from framework.guest_ram import GuestRam

F_NEXT, F_WRITE, F_INDIRECT = 1, 2, 4
DESC = struct.Struct("<QIHH")
SIZE = struct.Struct("<I")

USED_F_NO_NOTIFY = 1


@dataclass(frozen=True, slots=True)
class Segment:
    """One descriptor's worth of a chain."""

    gpa: int
    size_bytes: int
    writable: bool = False


class SplitRing:
    """A ring of *size* entries with its kick, call and err descriptors; a context manager that owns those."""

    def __init__(self, ram: GuestRam, size: int = 256, *, index: int = 0, call_is_pipe: bool = False) -> None:
        self.ram = ram
        self.size = size
        self.index = index
        self.desc_gpa = ram.alloc(16 * size, 4096)
        self.avail_gpa = ram.alloc(6 + 2 * size, 4096)
        self.used_gpa = ram.alloc(6 + 8 * size, 4096)
        self._desc = ram.at(self.desc_gpa, 16 * size)
        self.avail = ram.at(self.avail_gpa, 6 + 2 * size).cast("H")  # flags, idx, ring, used_event
        used = ram.at(self.used_gpa, 6 + 8 * size)
        self.used_head = used[:4].cast("H")  # flags, idx
        self.used_ring = used[4 : 4 + 8 * size].cast("I")  # id, len alternating
        self.avail_event = used[4 + 8 * size :].cast("H")
        self.kick_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        if call_is_pipe:
            self.call_read_fd, self.call_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            self.call_read_fd = self.call_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.err_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.event_idx = False
        self.avail_idx = 0
        self.last_used = 0
        self._kicked_idx = 0
        self._free = list(range(size - 1, -1, -1))
        self._chains: dict[int, list[int]] = {}
        self._fence = threading.Lock()
        self._poll = select.poll()
        self._poll.register(self.call_read_fd, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors and let go of the memory."""
        for fd in {self.kick_fd, self.call_fd, self.call_read_fd, self.err_fd}:
            os.close(fd)
        for view in (self._desc, self.avail, self.used_head, self.used_ring, self.avail_event):
            view.release()

    def reset(self) -> None:
        """The state a driver gives a ring at first, for another start of the device."""
        for view in (self.avail, self.used_head, self.used_ring, self.avail_event):
            view.cast("B")[:] = bytes(view.nbytes)
        self.avail_idx = self.last_used = self._kicked_idx = 0
        self._chains.clear()
        self._free = list(range(self.size - 1, -1, -1))

    # -- building ----------------------------------------------------------------------------------------------------

    def set_desc(self, number: int, gpa: int, size_bytes: int, flags: int = 0, following: int = 0) -> None:
        """Write one descriptor, whatever it says."""
        DESC.pack_into(self._desc, 16 * number, gpa, size_bytes, flags, following)

    def add(self, segments: Sequence[Segment]) -> int:
        """Make a chain of *segments*, readable ones first as virtio wants it; its head."""
        if len(self._free) < len(segments):
            raise BufferError("no free descriptors")
        numbers = [self._free.pop() for _ in segments]
        last = len(segments) - 1
        for place, segment in enumerate(segments):
            flags = (F_WRITE if segment.writable else 0) | (F_NEXT if place < last else 0)
            following = numbers[place + 1] if place < last else 0
            self.set_desc(numbers[place], segment.gpa, segment.size_bytes, flags, following)
        self._chains[numbers[0]] = numbers
        return numbers[0]

    def set_sizes(self, head: int, *sizes: int) -> None:
        """Change the lengths of a chain's descriptors and nothing else."""
        for number, size_bytes in zip(self._chains[head], sizes, strict=True):
            SIZE.pack_into(self._desc, 16 * number + 8, size_bytes)

    def add_indirect(self, segments: Sequence[Segment], table_gpa: int | None = None) -> int:
        """Make a chain of one indirect descriptor; its table goes to *table_gpa* or to fresh memory."""
        if table_gpa is None:
            table_gpa = self.ram.alloc(16 * len(segments))
        table = self.ram.at(table_gpa, 16 * len(segments))
        for place, segment in enumerate(segments):
            more = place < len(segments) - 1
            flags = (F_WRITE if segment.writable else 0) | (F_NEXT if more else 0)
            DESC.pack_into(table, 16 * place, segment.gpa, segment.size_bytes, flags, place + 1 if more else 0)
        if not self._free:
            raise BufferError("no free descriptors")
        number = self._free.pop()
        self.set_desc(number, table_gpa, 16 * len(segments), F_INDIRECT)
        self._chains[number] = [number]
        return number

    # -- driver ------------------------------------------------------------------------------------------------------

    def publish(self, *heads: int) -> None:
        """Make chains available, in this order; does not kick."""
        for head in heads:
            self.avail[2 + self.avail_idx % self.size] = head
            self.avail_idx = (self.avail_idx + 1) & 0xFFFF
        self.avail[1] = self.avail_idx

    def publish_batch(self, heads: "array[int]") -> None:
        """Make many chains available at once; *heads* is an array of type ``H``, the cost does not grow with it."""
        start = self.avail_idx % self.size
        before_end = min(len(heads), self.size - start)
        source = memoryview(heads)
        self.avail[2 + start : 2 + start + before_end] = source[:before_end]
        if before_end < len(heads):
            self.avail[2 : 2 + len(heads) - before_end] = source[before_end:]
        self.avail_idx = (self.avail_idx + len(heads)) & 0xFFFF
        self.avail[1] = self.avail_idx

    def set_avail_idx(self, value: int) -> None:
        """Write avail.idx, whatever it says."""
        self.avail_idx = value & 0xFFFF
        self.avail[1] = self.avail_idx

    def kick(self, *, force: bool = False) -> bool:
        """Notify the device where it wants to be notified; whether that was done."""
        with self._fence:  # a full barrier between avail.idx and what the device says it wants
            old, self._kicked_idx = self._kicked_idx, self.avail_idx
        if not force and self.event_idx:
            # vring_need_event(): the device's event index lies in what was published since the last look.
            wanted = (self.avail_idx - self.avail_event[0] - 1) & 0xFFFF < (self.avail_idx - old) & 0xFFFF
        else:
            wanted = force or not self.used_head[0] & USED_F_NO_NOTIFY
        if wanted:
            os.eventfd_write(self.kick_fd, 1)
        return wanted

    def reap(self, *, keep: bool = False) -> list[tuple[int, int]]:
        """Used elements since the last look as (head, length).

        Args:
            keep: leave the chains as they are, to be published again; otherwise their descriptors are free again.
        """
        used_idx = self.used_head[1]
        count = (used_idx - self.last_used) & 0xFFFF
        if count > self.size:
            raise AssertionError(f"device moved used.idx by {count}")
        elements = []
        for _ in range(count):
            slot = 2 * (self.last_used % self.size)
            elements.append((self.used_ring[slot], self.used_ring[slot + 1]))
            self.last_used = (self.last_used + 1) & 0xFFFF
        if not keep:
            for head, _ in elements:
                if head not in self._chains:
                    raise AssertionError(f"device used head {head}, which it does not have")
                self._free.extend(self._chains.pop(head))
        return elements

    def wait(
        self, count: int = 1, timeout_s: float = 10.0, *, keep: bool = False, spin_s: float = 0
    ) -> list[tuple[int, int]]:
        """Used elements, at least *count* of them.

        Args:
            count: how many to wait for.
            timeout_s: how long.
            keep: as in ``reap``.
            spin_s: look at the ring for so long before sleeping on the call descriptor.

        Raises:
            TimeoutError: the device did not deliver.
        """
        elements = self.reap(keep=keep)
        if len(elements) < count:
            self._wait_until(count - len(elements), timeout_s, spin_s)
            elements += self.reap(keep=keep)
        return elements

    def wait_batch(self, count: int, timeout_s: float = 10.0, *, spin_s: float = 0) -> None:
        """Wait for exactly *count* used elements and pass over them; who they are is not looked at.

        Raises:
            TimeoutError: the device did not deliver.
        """
        self._wait_until(count, timeout_s, spin_s)
        self.last_used = (self.last_used + count) & 0xFFFF

    def _waiting(self) -> int:
        return (self.used_head[1] - self.last_used) & 0xFFFF

    def _wait_until(self, count: int, timeout_s: float, spin_s: float) -> None:
        spin_end_s = time.monotonic() + spin_s
        while self._waiting() < count:
            now_s = time.monotonic()
            if now_s < spin_end_s:
                continue
            if self.event_idx:
                # used_event: signal the last one waited for. It may have come before the device saw this.
                self.avail[2 + self.size] = (self.last_used + count - 1) & 0xFFFF
                with self._fence:
                    if self._waiting() >= count:
                        return
            left_s = spin_end_s + timeout_s - now_s
            if left_s <= 0 or not self._poll.poll(max(1, int(left_s * 1000))):
                raise TimeoutError(f"{self._waiting()} of {count} requests completed")
            self.take_call()

    def take_call(self) -> bool:
        """Clear a pending call; whether there was one."""
        try:
            return bool(os.read(self.call_read_fd, 4096))
        except BlockingIOError:
            return False

    def take_err(self) -> bool:
        """Clear a pending error signal; whether there was one."""
        try:
            return bool(os.read(self.err_fd, 8))
        except BlockingIOError:
            return False


class ByteFlipper:
    """A thread that changes bytes of guest memory as fast as it can; a context manager."""

    def __init__(self, view: memoryview, offsets: Iterable[int] = (0,)) -> None:
        self._view = view
        self._offsets = tuple(offsets)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="byte-flipper")
        self.flips = 0

    def _run(self) -> None:
        view, offsets = self._view, self._offsets
        while not self._stop.is_set():
            for _ in range(64):
                for offset in offsets:
                    view[offset] ^= 0xFF
            self.flips += 64 * len(offsets)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()
