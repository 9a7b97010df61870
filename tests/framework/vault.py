# SPDX-License-Identifier: Apache-2.0
"""Vault requests over a ring: head, parts and writable area in guest RAM; status, result and output back.

The one file of the framework that knows the device's ABI; all layouts come from the headers through ``_vks``. Slots
with fixed memory and descriptors are made once; sending a request writes the head's fields, the parts and two
lengths, so that a benchmark measures the device and not this.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from framework.guest_ram import GuestRam
from framework.split_ring import Segment, SplitRing
from vmm_keystore._vks import ffi, lib

HEAD_BYTES = ffi.sizeof("struct vks_request_head")
RESULT_BYTES = ffi.sizeof("struct vks_result")
TAIL_BYTES = RESULT_BYTES + 1
STATUS_UNTOUCHED = 0xEE
NO_KEY_ID = bytes(lib.VKS_KEY_ID_BYTES)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; *used_bytes* is the ring's used length."""

    status: int
    output_bytes: int
    key_version: int
    sequence: int
    abi_version: int
    output: bytes
    used_bytes: int

    @property
    def data(self) -> bytes:
        """The output as far as the device says it wrote."""
        return self.output[: self.output_bytes]


@dataclass(frozen=True, slots=True)
class Cuts:
    """How a request is spread over descriptors: the sizes of its pieces, the last one takes what is left."""

    readable: Sequence[int] = ()
    writable: Sequence[int] = ()
    indirect: bool = False


class Slot:
    """Memory for one request at a time. *head* is a cffi view of its head: a lying test writes any field."""

    def __init__(self, ram: GuestRam, readable_bytes_max: int, writable_bytes_max: int) -> None:
        self.readable_gpa = ram.alloc(readable_bytes_max, 64)
        self.writable_gpa = ram.alloc(writable_bytes_max, 64)
        self.readable = ram.at(self.readable_gpa, readable_bytes_max)
        self.writable = ram.at(self.writable_gpa, writable_bytes_max)
        head: Any = ffi.from_buffer("struct vks_request_head *", self.readable, require_writable=True)
        head.abi_version = lib.VKS_ABI_VERSION
        self.head = head
        self.readable_bytes = HEAD_BYTES
        self.writable_bytes = TAIL_BYTES
        self.output_bytes = 0

    def fill(
        self,
        op: int,
        *,
        key_id: bytes = NO_KEY_ID,
        key_version: int = 0,
        mechanism: int = 0,
        flags: int = 0,
        uid: int = 0,
        parameter: bytes = b"",
        aad: bytes = b"",
        data: bytes = b"",
        output_bytes: int = 0,
    ) -> None:
        """Write a well-formed request; its answer's place says that nobody has written there."""
        head = self.head
        head.opcode = lib.VKS_SERVICE << 8 | op
        head.mechanism = mechanism
        head.flags = flags
        head.uid = uid
        ffi.memmove(head.key_id, key_id, lib.VKS_KEY_ID_BYTES)
        head.key_version = key_version
        head.parameter_bytes = len(parameter)
        head.aad_bytes = len(aad)
        head.input_bytes = len(data)
        head.output_bytes = output_bytes
        end = HEAD_BYTES
        for part in (parameter, aad, data):
            if part:
                self.readable[end : end + len(part)] = part
                end += len(part)
        self.readable_bytes = end
        self.output_bytes = output_bytes
        self.writable_bytes = output_bytes + TAIL_BYTES
        self.writable[self.writable_bytes - 1] = STATUS_UNTOUCHED

    def clear_answer(self) -> None:
        """Forget the last answer."""
        end = self.writable_bytes
        self.writable[:end] = bytes(end)
        self.writable[end - 1] = STATUS_UNTOUCHED

    def answer(self, used_bytes: int) -> Answer:
        """Read what the device wrote."""
        end = self.output_bytes
        result: Any = ffi.from_buffer("struct vks_result *", self.writable[end : end + RESULT_BYTES])
        return Answer(
            status=self.writable[end + RESULT_BYTES],
            output_bytes=result.output_bytes,
            key_version=result.key_version,
            sequence=result.sequence,
            abi_version=result.abi_version,
            output=bytes(self.writable[:end]),
            used_bytes=used_bytes,
        )

    def segments(self, cuts: Cuts) -> list[Segment]:
        """The request's bytes as the descriptors *cuts* asks for."""
        return _cut(self.readable_gpa, self.readable_bytes, cuts.readable, writable=False) + _cut(
            self.writable_gpa, self.writable_bytes, cuts.writable, writable=True
        )


def _cut(gpa: int, size_bytes: int, sizes: Sequence[int], *, writable: bool) -> list[Segment]:
    segments = []
    for size in sizes:
        segments.append(Segment(gpa, size, writable))
        gpa, size_bytes = gpa + size, size_bytes - size
    if size_bytes:
        segments.append(Segment(gpa, size_bytes, writable))
    return segments


class Vault:
    """A driver for one ring: up to *slot_count* requests at a time; the ring needs two descriptors for each."""

    def __init__(
        self,
        ram: GuestRam,
        ring: SplitRing,
        *,
        slot_count: int = 1,
        readable_bytes_max: int = 16 << 10,
        writable_bytes_max: int = 16 << 10,
    ) -> None:
        self.ring = ring
        self._slots: dict[int, Slot] = {}
        for _ in range(slot_count):
            slot = Slot(ram, readable_bytes_max, writable_bytes_max)
            chain = [Segment(slot.readable_gpa, HEAD_BYTES), Segment(slot.writable_gpa, TAIL_BYTES, writable=True)]
            self._slots[ring.add(chain)] = slot
        self._free = list(self._slots)
        self._busy: set[int] = set()

    @property
    def free(self) -> int:
        """How many more requests fit."""
        return len(self._free)

    @property
    def busy(self) -> frozenset[int]:
        """Heads of requests without an answer."""
        return frozenset(self._busy)

    def take(self) -> tuple[int, Slot]:
        """A free slot and its descriptor chain's head."""
        head = self._free.pop()
        return head, self._slots[head]

    def slot(self, head: int) -> Slot:
        """The slot of a head."""
        return self._slots[head]

    def send(self, head: int) -> None:
        """Make a filled slot's request available; does not kick."""
        self._busy.add(head)
        self.set_sizes(head)
        self.ring.publish(head)

    def submit(self, op: int, **fields: Any) -> int:
        """Fill a free slot and make it available; its head, to know the answer by."""
        head, slot = self.take()
        slot.fill(op, **fields)
        self.send(head)
        return head

    def collect(self, count: int = 1, timeout_s: float = 10.0, *, spin_s: float = 0) -> list[tuple[int, Answer]]:
        """Answers of at least *count* requests with their heads, in the order of completion."""
        answers = []
        for head, used_bytes in self.ring.wait(count, timeout_s, keep=True, spin_s=spin_s):
            if head not in self._busy:
                raise AssertionError(f"device used head {head}, which it does not have")
            answers.append((head, self._slots[head].answer(used_bytes)))
            self._busy.remove(head)
            self._free.append(head)
        return answers

    def burst(self, heads: "array[int]", timeout_s: float = 10.0, *, spin_s: float = 0) -> None:
        """Send filled slots again, all at once, and wait for all; for benchmarks. ``statuses`` tells how it went.

        Args:
            heads: what ``take`` gave, in an array of type ``H``; the slots' sizes must be set by ``set_sizes``.
            timeout_s: how long to wait.
            spin_s: look at the ring for so long before sleeping.
        """
        self.ring.publish_batch(heads)
        self.ring.kick()
        self.ring.wait_batch(len(heads), timeout_s, spin_s=spin_s)

    def set_sizes(self, head: int) -> None:
        """Give a filled slot's descriptors their lengths."""
        slot = self._slots[head]
        self.ring.set_sizes(head, slot.readable_bytes, slot.writable_bytes)

    def statuses(self, heads: "array[int]") -> set[int]:
        """The status bytes in these slots."""
        slots = (self._slots[head] for head in heads)
        return {slot.writable[slot.writable_bytes - 1] for slot in slots}

    def request(self, op: int, *, timeout_s: float = 10.0, **fields: Any) -> Answer:
        """Send one request and wait for its answer; nothing else may be under way."""
        sent = self.submit(op, **fields)
        self.ring.kick()
        [(head, answer)] = self.collect(timeout_s=timeout_s)
        if head != sent:
            raise AssertionError("device answered another request")
        return answer

    def request_cut(self, op: int, cuts: Cuts, *, timeout_s: float = 10.0, **fields: Any) -> Answer:
        """Like ``request``, spread over descriptors as *cuts* says."""
        slot = self._slots[self._free[-1]]
        slot.fill(op, **fields)
        segments = slot.segments(cuts)
        sent = self.ring.add_indirect(segments) if cuts.indirect else self.ring.add(segments)
        self.ring.publish(sent)
        self.ring.kick()
        [(head, used_bytes)] = self.ring.wait(timeout_s=timeout_s)
        if head != sent:
            raise AssertionError("device answered another request")
        return slot.answer(used_bytes)
