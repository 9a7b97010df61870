# SPDX-License-Identifier: Apache-2.0
"""What the service does by itself: one step after the other, on a thread of its own."""

import threading
import time
from abc import ABC, abstractmethod


class Background(ABC):
    """Takes steps from ``start`` to ``stop``."""

    def __init__(self, name: str, *, pause_s: float = 0.0) -> None:
        """Name the thread; between two steps there is at least *pause_s*, however often it is woken."""
        self._pause_s = pause_s
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Take the next step soon; never waits."""
        self._woken.set()

    def stop(self) -> None:
        """Wait for the end of the step under way; there is no further one."""
        self._stopping = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    @abstractmethod
    def step(self) -> float:
        """Do what there is to do; how many seconds there are until the next step, if nobody wakes it before."""

    def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            wait_s = self.step()
            # Looked at again: it may have been told to stop before the event was cleared.
            if not self._stopping and self._woken.wait(wait_s) and not self._stopping:
                time.sleep(self._pause_s)
