# SPDX-License-Identifier: Apache-2.0
"""Delivery of events: a thread for each handler, so that one which fails or is slow holds up no other.

At least once: a delivery is written down as made after it was made. Between attempts the wait doubles, with a random
part so that handlers which failed together do not come back together.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence

from vmm_keystore.errors import InvalidRequestError, KeystoreError
from vmm_keystore.policy.event import Event
from vmm_keystore.service.background import Background
from vmm_keystore.service.ports import DeliveryError, DeliveryStoppedError, EventHandler
from vmm_keystore.store.events import DeliveryRow, DeliveryState, Due, find_due, next_due_ms, settle_delivery
from vmm_keystore.store.store import Store

WAIT_MAX_S = 3600.0
STORE_WAIT_S = 5.0
REASON_LETTERS_MAX = 500

_logger = logging.getLogger(__name__)


def wait_before(attempt: int, first_s: float, jitter: float) -> float:
    """How long to wait after *attempt* attempts have failed; *jitter* is at random between 0 and 1."""
    # The exponent is bounded before it is used.
    return min(WAIT_MAX_S, first_s * 2.0 ** min(attempt - 1, 32)) * (0.5 + jitter / 2)


class Deliveries:
    """Every handler's thread, from ``start`` to ``stop``."""

    def __init__(self, store: Store, handlers: Sequence[EventHandler]) -> None:
        # Readable from the moment of the stop on: whoever waits for a handler waits for this as well.
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopped = False
        self._once = threading.Lock()
        self._queues = [HandlerQueue(store, handler, self._stop_fd) for handler in handlers]

    def start(self) -> None:
        """Start the threads."""
        for queue in self._queues:
            queue.start()

    def wake(self) -> None:
        """Look for new events."""
        for queue in self._queues:
            queue.wake()

    def stop(self) -> None:
        """End the threads; a delivery under way is broken off and stays pending. Once more does nothing."""
        if self._stopped:
            return
        self._stopped = True
        os.eventfd_write(self._stop_fd, 1)
        for queue in self._queues:
            queue.stop()
        # Never given back: the descriptor is looked at by whoever tries a handler, until there is no keystored any more.
        self._once.acquire()
        os.close(self._stop_fd)

    def try_once(self, handler: EventHandler, event: Event) -> str:
        """Deliver an event that is not stored; why that failed, empty if it did not.

        Raises:
            InvalidRequestError: another one is under way.
        """
        if not self._once.acquire(blocking=False):
            raise InvalidRequestError("another test of an event handler is under way", "try again when it has ended")
        try:
            handler.deliver(event, self._stop_fd)
        except DeliveryError as error:
            return shorten(str(error))
        except DeliveryStoppedError:
            return "keystored is stopping"
        finally:
            self._once.release()
        return ""

    def attempts(self) -> Mapping[str, tuple[int, int]]:
        """Deliveries that succeeded and attempts that failed, by handler, since the start."""
        return {queue.handler.name: (queue.delivered_count, queue.failed_count) for queue in self._queues}


class HandlerQueue(Background):
    """One handler and what it is to get, one after the other."""

    def __init__(self, store: Store, handler: EventHandler, stop_fd: int) -> None:
        super().__init__(f"event-{handler.name}")
        self.handler = handler
        self.delivered_count = 0
        self.failed_count = 0
        self._store = store
        self._stop_fd = stop_fd

    def step(self) -> float:
        """Make one delivery that is due."""
        try:
            return self._deliver_due()
        except KeystoreError as error:
            # What was delivered meanwhile will be once more: the store did not take that it was.
            _logger.error("events for handler %s wait: %s", self.handler.name, error)
            return STORE_WAIT_S
        except DeliveryStoppedError:
            return WAIT_MAX_S  # until the end, which is near

    def _deliver_due(self) -> float:
        """How long to wait for the next one."""
        now_ms = time.time_ns() // 1_000_000
        with self._store.read() as connection:
            due = find_due(connection, self.handler.name, now_ms, int(WAIT_MAX_S * 1000))
            next_ms = None if due else next_due_ms(connection, self.handler.name)
        if due is None:
            return WAIT_MAX_S if next_ms is None else min(WAIT_MAX_S, max(0.001, (next_ms - now_ms) / 1000))
        outcome = self._attempt(due)
        with self._store.write() as connection:
            settle_delivery(connection, due.row_id, outcome)
        return 0.0

    def _attempt(self, due: Due) -> DeliveryRow:
        attempts = due.attempts + 1
        reason = ""
        try:
            self.handler.deliver(due.event, self._stop_fd)
        except DeliveryStoppedError:
            raise
        except DeliveryError as error:
            reason = shorten(str(error))
        except Exception as error:  # noqa: BLE001 -- a fault of ours over one event must not keep all others back
            reason = f"keystored could not deliver it: {type(error).__name__}"
        now_ms = time.time_ns() // 1_000_000
        if not reason:
            self.delivered_count += 1
            return DeliveryRow(self.handler.name, DeliveryState.DELIVERED, attempts, now_ms, now_ms // 1000, "")
        self.failed_count += 1
        name, kind = self.handler.name, due.event.kind.value
        if attempts >= self.handler.attempts_max:
            _logger.error(
                "event handler %s failed %d times over event %s (%s), it is given up: %s",
                name,
                attempts,
                due.event.event_id,
                kind,
                reason,
            )
            return DeliveryRow(name, DeliveryState.DEAD, attempts, now_ms, now_ms // 1000, reason)
        wait_s = wait_before(attempts, self.handler.first_wait_s, random.random())  # noqa: S311 -- no secret
        _logger.warning("event handler %s failed over event %s (%s): %s", name, due.event.event_id, kind, reason)
        due_ms = now_ms + int(wait_s * 1000)
        return DeliveryRow(name, DeliveryState.PENDING, attempts, due_ms, now_ms // 1000, reason)


def shorten(reason: str) -> str:
    """A reason that may come from a program or a server, for logs, the store and terminals."""
    words = " ".join(reason.split()).encode("unicode_escape").decode() or "it gave no reason"
    return words if len(words) <= REASON_LETTERS_MAX else words[:REASON_LETTERS_MAX] + "…"
