# SPDX-License-Identifier: Apache-2.0
"""Orders of guests, carried out one after the other on a thread of their own, without holding up anybody's ring.

A guest has one order here at a time and another one only some time after the last: they queue fairly, and one that
orders without end costs the vault a bounded part of its time.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable

from vmm_keystore.policy.vocabulary import Status
from vmm_keystore.service.guest_values import Order, Ordered
from vmm_keystore.service.ports import GuestOrders
from vmm_keystore.workers.loop import Loop

PAUSE_S = 0.1
"""From one order of a guest to its next."""

log = logging.getLogger(__name__)

Answer = Callable[[Ordered], None]


class OrderDesk:
    """Takes orders at once; carries them out from ``start`` to ``stop``."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._queue: queue.SimpleQueue[tuple[str, Order, Answer] | None] = queue.SimpleQueue()
        self._next_s: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, orders: GuestOrders) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, args=(orders,), name="orders", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it with the order that is under way; the others are asked for again by whoever has the rings then."""
        self._stopping.set()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def take(self, guest: str, order: Order, answer: Answer) -> None:
        """Take an order, on the loop's thread; *answer* is called on another one."""
        now = time.monotonic()
        due_s = max(now, self._next_s.get(guest, now))
        self._next_s[guest] = due_s + PAUSE_S
        if due_s > now:
            self._loop.call_later(due_s - now, lambda: self._queue.put((guest, order, answer)))
        else:
            self._queue.put((guest, order, answer))

    def _run(self, orders: GuestOrders) -> None:
        while (taken := self._queue.get()) is not None and not self._stopping.is_set():
            guest, order, answer = taken
            try:
                answer(orders.carry_out(guest, order))
            except Exception:  # a mistake of ours must not take the other guests' orders with it
                log.exception("guest %s: %s of request %d failed", guest, order.op.text, order.sequence)
                answer(Ordered(Status.INTERNAL))
