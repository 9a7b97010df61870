# SPDX-License-Identifier: Apache-2.0
"""Between the sealing of a new key and its commit the KEK must stay what it is, or nobody could open it afterwards."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Sealing:
    """Lets new keys be made side by side, or the KEK be changed; whoever comes to change it waits, and is next.

    Take it before the lock of changes, never with that held.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._under_way = 0
        self._changing = False

    @contextmanager
    def new_key(self) -> Iterator[None]:
        """From before it is sealed until it is committed."""
        with self._condition:
            self._condition.wait_for(lambda: not self._changing)
            self._under_way += 1
        try:
            yield
        finally:
            with self._condition:
                self._under_way -= 1
                self._condition.notify_all()

    @contextmanager
    def new_kek(self) -> Iterator[None]:
        """While everything is sealed anew."""
        with self._condition:
            self._condition.wait_for(lambda: not self._changing)
            self._changing = True
            self._condition.wait_for(lambda: self._under_way == 0)
        try:
            yield
        finally:
            with self._condition:
                self._changing = False
                self._condition.notify_all()
