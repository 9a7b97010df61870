# SPDX-License-Identifier: Apache-2.0
"""How many operations each guest was refused of late. Pure: the clock is given."""

from collections import Counter, deque
from collections.abc import Mapping

WINDOW_S = 60
BURST = 100
BURST_HELD = 50
"""Fewer within the window, and the burst is over."""
BURST_QUIET_S = 300
"""A guest that stops and begins again is told of at most so often."""


class RefusalWindow:
    """Turns totals, which only grow, into what came within ``WINDOW_S``."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._steps: deque[tuple[float, dict[str, int]]] = deque()
        self._sums: Counter[str] = Counter()

    def note(self, now_s: float, totals: Mapping[str, int]) -> Mapping[str, int]:
        """Take the totals of the moment; refusals within the window, of guests that had any."""
        more = {guest: total - self._last.get(guest, 0) for guest, total in totals.items()}
        more = {guest: count for guest, count in more.items() if count > 0}
        self._last = dict(totals)
        if more:
            self._steps.append((now_s, more))
            self._sums.update(more)
        while self._steps and self._steps[0][0] <= now_s - WINDOW_S:
            self._sums.subtract(self._steps.popleft()[1])
        self._sums = +self._sums
        return self._sums
