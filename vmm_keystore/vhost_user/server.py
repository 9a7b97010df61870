# SPDX-License-Identifier: Apache-2.0
"""All guests' sockets on one thread with one loop; the part other threads talk to.

Every method may be called from any thread but the loop's own, and returns when the loop has done it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Self, TypeVar

from .backend import BackendFactory, SessionKeeper
from .listener import GuestSocket, Inherited, Listener
from .reactor import SelectorReactor

_T = TypeVar("_T")


class Server:
    """A thread that serves vhost-user sockets; a context manager that starts and stops it."""

    def __init__(self) -> None:
        self.reactor = SelectorReactor()
        self._listeners: dict[str, Listener] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self.reactor.run, name="vhost-user")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, leave: bool = False) -> None:
        """Close all sessions and sockets, end the thread; does nothing the second time.

        Args:
            leave: end the thread and nothing else, another process goes on with the rest. The loop still takes calls,
                and forgets them.
        """
        if self._stopped:
            return
        self._stopped = True
        if not leave:
            self._on_loop(self._close_all)
        self.reactor.stop()
        self._thread.join()
        if not leave:
            self.reactor.close()

    def add_guest(
        self,
        guest_socket: GuestSocket,
        factory: BackendFactory,
        keeper: SessionKeeper | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        """Listen for a guest's front-end, or go on with one.

        Args:
            guest_socket: where.
            factory: makes the device side.
            keeper: remembers the session for another process; None: it ends with this one.
            inherited: what another process had.

        Raises:
            SocketInUseError: the path holds a live socket or something else.
            OSError: the socket cannot be made.
        """

        def add() -> None:
            if guest_socket.guest in self._listeners:
                raise AssertionError("a guest was added twice")
            self._listeners[guest_socket.guest] = Listener(guest_socket, factory, self.reactor, keeper, inherited)

        self._on_loop(add)

    def remove_guest(self, guest: str) -> None:
        """End a guest's session and remove its socket; nothing happens to one that is not there."""

        def remove() -> None:
            listener = self._listeners.pop(guest, None)
            if listener is not None:
                listener.close("guest removed")

        self._on_loop(remove)

    def disconnect(self, guest: str, reason: str) -> None:
        """End a guest's session, if there is one; its socket goes on listening."""

        def disconnect() -> None:
            listener = self._listeners.get(guest)
            if listener is not None and listener.connection is not None:
                listener.connection.close(reason)

        self._on_loop(disconnect)

    def connected(self, guest: str) -> bool:
        """Whether a guest's front-end is connected."""

        def connected() -> bool:
            listener = self._listeners.get(guest)
            return listener is not None and listener.connection is not None

        return self._on_loop(connected)

    def _close_all(self) -> None:
        while self._listeners:
            self._listeners.popitem()[1].close("back-end stops")

    def _on_loop(self, function: Callable[[], _T]) -> _T:
        if threading.current_thread() is self._thread:
            raise AssertionError("called on the loop's own thread")
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - the caller's thread gets it
                future.set_exception(error)

        self.reactor.call_soon(run)
        return future.result()
