# SPDX-License-Identifier: Apache-2.0
"""The front-end's memory table: which regions may stand in it, and whether a range lies in one of them.

Pure: descriptors are numbers here. That a region really is as long as announced only its file can tell; whoever maps
it checks that.
"""

from collections.abc import Iterable
from itertools import pairwise

from .backend import MemoryRegion
from .errors import ProtocolError
from .messages import RegionDescription

ADDRESS_END = 1 << 64
# Offsets are signed in the kernel's interfaces; a region that ends behind this cannot be mapped by anyone.
FILE_END = 1 << 63


class MemoryTable:
    """An immutable set of regions, disjoint for the guest and for the front-end alike."""

    def __init__(self, regions: Iterable[MemoryRegion] = ()) -> None:
        """Check and take *regions*.

        Raises:
            ProtocolError: a region is empty, wraps around, or overlaps another one.
        """
        self.regions = tuple(regions)
        for region in self.regions:
            ends = (region.gpa + region.size_bytes, region.uva + region.size_bytes)
            if not region.size_bytes or max(ends) > ADDRESS_END or region.mmap_offset + region.size_bytes > FILE_END:
                raise ProtocolError("memory region is empty or wraps around")
        self._refuse_overlap("guest physical", [(region.gpa, region.size_bytes) for region in self.regions])
        self._refuse_overlap("front-end", [(region.uva, region.size_bytes) for region in self.regions])

    @staticmethod
    def _refuse_overlap(space: str, ranges: list[tuple[int, int]]) -> None:
        ranges.sort()
        for (start, size_bytes), (following, _) in pairwise(ranges):
            if start + size_bytes > following:
                raise ProtocolError(f"memory regions overlap in {space} addresses")

    def covers(self, uva: int, size_bytes: int) -> bool:
        """Whether all of the range lies in one region."""
        return any(region.uva <= uva and uva + size_bytes <= region.uva + region.size_bytes for region in self.regions)

    def with_region(self, region: MemoryRegion) -> "MemoryTable":
        """This table and one more region."""
        return MemoryTable((*self.regions, region))

    def without_region(self, gone: RegionDescription) -> "MemoryTable":
        """This table less one region; front-ends do not repeat its mmap offset.

        Raises:
            ProtocolError: there is no such region.
        """
        kept = [r for r in self.regions if (r.gpa, r.size_bytes, r.uva) != (gone.gpa, gone.size_bytes, gone.uva)]
        if len(kept) == len(self.regions):
            raise ProtocolError("REM_MEM_REG names a region that is not there")
        return MemoryTable(kept)
