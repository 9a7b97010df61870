# SPDX-License-Identifier: Apache-2.0
"""Who serves a guest and who comes next.

A standby is a worker like the one that serves, with the same keys under other nonce leases and the same snapshot, but
no ring and no guest memory: to take over it only has to be told these. Every method may be called from any thread and
none waits.
"""

import threading
import time
from collections.abc import Callable
from enum import Enum

from vmm_keystore.workers.worker import Worker

QUICK_DEATH_S = 0.25
"""A worker that lives shorter may have died of what the guest asks of it."""
QUICK_DEATHS_FREE = 3
DELAY_S = 0.1
DELAY_MAX_S = 5.0


class Role(Enum):
    """What a worker was to its guest."""

    SERVING = "serving"
    STANDBY = "standby"
    NONE = "none"


class Backoff:
    """How long a guest waits for its next worker: not at all, unless they die one right after the other. Pure."""

    def __init__(self) -> None:
        self.quick_deaths = 0
        self.delay_s = 0.0

    def note_death(self, lived_s: float) -> float:
        """Count a death after *lived_s*; the delay before the next worker may serve."""
        self.quick_deaths = self.quick_deaths + 1 if lived_s < QUICK_DEATH_S else 0
        excess = self.quick_deaths - QUICK_DEATHS_FREE
        # The exponent is bounded before it is used: a loop may run for years.
        self.delay_s = min(DELAY_MAX_S, DELAY_S * 2 ** min(excess - 1, 16)) if excess > 0 else 0.0
        return self.delay_s


class Succession:
    """The workers of one guest, at most one of each role."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serving: Worker | None = None
        self._standby: Worker | None = None
        self._serving_since_s = 0.0
        self._ended_s = 0.0
        self._died = False
        self.backoff = Backoff()
        self.replaced_count = 0

    @property
    def serving(self) -> Worker | None:
        """The worker that has its keys and snapshot, if there is one."""
        worker = self._serving
        return None if worker is None or worker.ended.is_set() else worker

    @property
    def standby(self) -> Worker | None:
        """The successor that waits, if there is one."""
        return self._standby

    @property
    def in_crash_loop(self) -> bool:
        """Whether the last workers died one right after the other, and nothing shows yet that it is over."""
        if self.backoff.delay_s == 0:
            return False
        return self.serving is None or time.monotonic() - self._serving_since_s < QUICK_DEATH_S

    @property
    def wait_s(self) -> float:
        """How long the next worker has to wait yet, whoever asks for it: a front-end that comes anew changes nothing."""
        return max(0.0, self._ended_s + self.backoff.delay_s - time.monotonic()) if self.backoff.delay_s else 0.0

    def members(self) -> list[Worker]:
        """Give all, the serving one first."""
        with self._lock:
            return [worker for worker in (self._serving, self._standby) if worker is not None]

    def install(self, worker: Worker) -> bool:
        """Let *worker* serve; false when it has ended already: nobody will be told again."""
        with self._lock:
            if worker.ended.is_set():
                return False
            self._serve(worker)
            return True

    def stand_by(self, worker: Worker) -> bool:
        """Let *worker* be the next; false when it has ended already."""
        with self._lock:
            if worker.ended.is_set():
                return False
            self._standby = worker
            return True

    def promote(self) -> bool:
        """Let the standby serve when nobody does; whether somebody does now."""
        with self._lock:
            if self._serving is None and self._standby is not None and not self._standby.ended.is_set():
                self._serve(self._standby)
                self._standby = None
            return self._serving is not None

    def take_standby(self) -> Worker | None:
        """Remove the standby."""
        with self._lock:
            worker, self._standby = self._standby, None
            return worker

    def ended(self, worker: Worker, settle: Callable[[], None]) -> tuple[Role, float]:
        """Remove a worker that ended; what it was, and how long it had served.

        Args:
            worker: the one that ended.
            settle: called, if it served, before anybody can serve in its place; must neither wait nor call back.
        """
        with self._lock:
            if worker is self._standby:
                self._standby = None
                return Role.STANDBY, 0.0
            if worker is self._serving:
                settle()
                self._serving = None
                self._ended_s = time.monotonic()
                self._died = True
                return Role.SERVING, self._ended_s - self._serving_since_s
            return Role.NONE, 0.0

    def forget_death(self) -> None:
        """Nobody needed the one that died: the next one replaces none."""
        with self._lock:
            self._died = False

    def clear(self) -> list[Worker]:
        """Remove all; they are the caller's to end."""
        workers = self.members()
        with self._lock:
            self._serving = self._standby = None
        return workers

    def _serve(self, worker: Worker) -> None:
        self._serving = worker
        self._serving_since_s = time.monotonic()
        # Here, before it is told of a ring: whoever sees its first answer sees it counted.
        self.replaced_count += self._died
        self._died = False
