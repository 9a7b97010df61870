# SPDX-License-Identifier: Apache-2.0
"""Calls of the device: how one is made, and how it ends."""

import logging
import time
from collections.abc import Callable

from .backend import VringBackend
from .effects import Call, CallResult, SetMemTable, SetRingFd, StartRing, StopRing

_log = logging.getLogger(__name__)


class PendingCall:
    """``Completion`` of one call; tells *resume* when it has ended."""

    def __init__(self, call: Call, guest: str, resume: Callable[["PendingCall"], None]) -> None:
        self.result: CallResult | None = None
        self.call = call
        self.started_s = time.monotonic()
        self._guest = guest
        self._resume = resume

    def done(self, base: int = 0) -> None:
        """The call succeeded."""
        self._finish(CallResult(ok=True, base=base & 0xFFFF))

    def failed(self, reason: str) -> None:
        """The call had no effect."""
        _log.warning("guest %s: %s failed: %s", self._guest, type(self.call).__name__, reason)
        self._finish(CallResult(ok=False))

    def _finish(self, result: CallResult) -> None:
        if self.result is not None:
            raise AssertionError("a call was completed twice")
        self.result = result
        self._resume(self)


def issue(backend: VringBackend, call: Call, completion: PendingCall) -> None:
    """Make a call."""
    match call:
        case SetMemTable(regions=regions):
            backend.set_mem_table(regions, completion)
        case StartRing(vring=vring):
            backend.start_ring(vring, completion)
        case StopRing(index=index):
            backend.stop_ring(index, completion)
        case SetRingFd(index=index, role=role, fd=fd):
            backend.set_ring_fd(index, role, fd, completion)
