# SPDX-License-Identifier: Apache-2.0
"""Which of many audit rings have records to take, found out by one call: a host of guests that rest costs nothing."""

import threading
from typing import Any

from vmm_keystore._vks import ffi, lib


class RingWatch:
    """Audit rings by their guests' names. A ring is watched while it is mapped: :meth:`remove` comes before the end."""

    def __init__(self) -> None:
        """Watch none."""
        self._lock = threading.Lock()
        self._rings: dict[str, Any] = {}
        self._names: list[str] = []
        self._pointers: Any = ffi.new("const struct vks_audit_ring *[]", 0)
        self._found: Any = ffi.new("uint32_t[]", 0)

    def add(self, name: str, ring: Any) -> None:
        """Watch the ring at this address."""
        with self._lock:
            self._rings[name] = ring
            self._lay_out()

    def remove(self, name: str) -> None:
        """Never look at it again; nobody does when this returns."""
        with self._lock:
            if self._rings.pop(name, None) is not None:
                self._lay_out()

    def waiting(self) -> list[str]:
        """Name the guests whose rings have records to take, or are broken."""
        with self._lock:
            count = lib.vks_audit_find_waiting(self._pointers, len(self._names), self._found)
            return [self._names[self._found[i]] for i in range(count)]

    def _lay_out(self) -> None:
        self._names = list(self._rings)
        self._pointers = ffi.new("const struct vks_audit_ring *[]", list(self._rings.values()))
        self._found = ffi.new("uint32_t[]", len(self._names))
