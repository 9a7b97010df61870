# SPDX-License-Identifier: Apache-2.0
"""The one loop of all sessions: readable descriptors, timers, calls from other threads.

Knows nothing of vhost-user. A callback that raises is reported by type and forgotten: it must not take the other
guests' sessions with it.
"""

import heapq
import itertools
import logging
import os
import selectors
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

Callback = Callable[[], None]


class SelectorReactor:
    """A selectors loop; ``run`` returns after ``stop``. Owns its selector and its wake-up eventfd."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._drain_wake)
        self._soon: deque[Callback] = deque()
        self._timers: list[tuple[float, int, list[Callback]]] = []
        self._timer_numbers = itertools.count()
        self._stopping = False

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call *callback* whenever *fd* is readable or hung up."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def remove_reader(self, fd: int) -> None:
        """Forget *fd*."""
        self._selector.unregister(fd)

    def call_soon(self, callback: Callback) -> None:
        """Run *callback* on the loop's thread; any thread may ask for it."""
        self._soon.append(callback)
        os.eventfd_write(self._wake_fd, 1)

    def call_later(self, delay_s: float, callback: Callback) -> Callback:
        """Run *callback* after *delay_s*; the result cancels it."""
        holder = [callback]
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._timer_numbers), holder))
        return holder.clear

    def stop(self) -> None:
        """Let ``run`` return; any thread may ask for it."""

        def stop() -> None:
            self._stopping = True

        self.call_soon(stop)

    def run(self) -> None:
        """Serve until ``stop``."""
        while not self._stopping:
            for key, _events in self._selector.select(self._wait_s()):
                # An earlier callback of this round may have removed it.
                if self._selector.get_map().get(key.fd) is key:
                    self._guard(key.data)
            for _ in range(len(self._soon)):
                self._guard(self._soon.popleft())
            while self._timers and self._timers[0][0] <= time.monotonic():
                for callback in heapq.heappop(self._timers)[2]:
                    self._guard(callback)

    def close(self) -> None:
        """Release the loop's own descriptors."""
        self._selector.close()
        os.close(self._wake_fd)

    def _wait_s(self) -> float | None:
        # Cancelled timers at the head would only cause needless wake-ups.
        while self._timers and not self._timers[0][2]:
            heapq.heappop(self._timers)
        if self._soon:
            return 0
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _drain_wake(self) -> None:
        os.eventfd_read(self._wake_fd)

    @staticmethod
    def _guard(callback: Callback) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - one session's bug must not stop the others
            _log.error("callback failed: %s", type(error).__name__)
