# SPDX-License-Identifier: Apache-2.0
"""Deaths of workers until operators are told of them; noting one never waits, it happens on the workers' loop."""

import threading
from collections import Counter
from collections.abc import Callable, Collection


class DeathTally:
    """Counts by guest. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deaths: Counter[str] = Counter()
        self.on_death: Callable[[], None] = lambda: None

    def note(self, guest: str) -> None:
        """A worker of *guest* died."""
        with self._lock:
            self._deaths[guest] += 1
        self.on_death()

    def peek(self) -> dict[str, int]:
        """Those that nobody was told of yet."""
        with self._lock:
            return dict(self._deaths)

    def settle(self, told: dict[str, int], guests: Collection[str]) -> None:
        """Take off what *peek* gave of these guests: it is stored."""
        with self._lock:
            self._deaths.subtract({guest: told[guest] for guest in guests})
            self._deaths = +self._deaths
