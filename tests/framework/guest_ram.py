# SPDX-License-Identifier: Apache-2.0
"""Guest RAM of a front-end: a memfd, mapped, with guest-physical and front-end addresses of its own.

Knows nothing of rings or messages. Everything hands out plain memoryviews, so that a test can write what it likes.
"""

import contextlib
import mmap
import os
from dataclasses import dataclass
from typing import Self

PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RamRegion:
    """A stretch of guest-physical addresses and where it lies in the memfd."""

    gpa: int
    size_bytes: int
    uva: int
    mmap_offset: int


class GuestRam:
    """Memory of *layout* (guest-physical start, size) on one memfd; a context manager that owns fd and mapping."""

    def __init__(
        self,
        size_bytes: int = 32 << 20,
        *,
        layout: list[tuple[int, int]] | None = None,
        uva_offset: int = 0x7F00_0000_0000,
    ) -> None:
        layout = layout or [(0, size_bytes)]
        total_bytes = sum(size for _, size in layout)
        self.fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, total_bytes)
        self._map = mmap.mmap(self.fd, total_bytes)
        self.view = memoryview(self._map)
        self.regions: list[RamRegion] = []
        offset = 0
        for gpa, region_bytes in layout:
            self.regions.append(RamRegion(gpa, region_bytes, gpa + uva_offset, offset))
            offset += region_bytes
        self._uva_offset = uva_offset
        # The first page stays free: address 0 in a descriptor is then always somebody's mistake.
        self._next = self.regions[-1].gpa + PAGE_BYTES
        self._end = self.regions[-1].gpa + self.regions[-1].size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap and close; views handed out before must be gone, or the map stays until they are."""
        self.view.release()
        with contextlib.suppress(BufferError):
            self._map.close()
        os.close(self.fd)

    def alloc(self, size_bytes: int, align: int = 16) -> int:
        """A fresh guest-physical range in the last region, never given back."""
        gpa = -(-self._next // align) * align
        if gpa + size_bytes > self._end:
            raise MemoryError("guest RAM is used up")
        self._next = gpa + size_bytes
        return gpa

    def uva(self, gpa: int) -> int:
        """The front-end's address of a guest address, in RAM or not."""
        return gpa + self._uva_offset

    def at(self, gpa: int, size_bytes: int) -> memoryview:
        """The bytes at a guest address."""
        for region in self.regions:
            if region.gpa <= gpa and gpa + size_bytes <= region.gpa + region.size_bytes:
                offset = gpa - region.gpa + region.mmap_offset
                return self.view[offset : offset + size_bytes]
        raise ValueError(f"no RAM at {gpa:#x}+{size_bytes:#x}")
