# SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol over a socket that is already connected, for synchronous callers.

qemu.qmp speaks it; this runs its event loop only while a call waits, in whichever thread calls.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from qemu.qmp import EventListener, Message, QMPClient, QMPError

Result = TypeVar("Result")


class QmpError(Exception):
    """QEMU refused a command, or does not answer."""


class Qmp:
    """One monitor connection; calls from several threads take turns."""

    def __init__(self, end: socket.socket, timeout: float = 30.0) -> None:
        self._client = QMPClient("guest")
        self._events = EventListener()
        self._runner = asyncio.Runner()
        self._lock = threading.Lock()
        self._timeout = timeout
        self._socket = end

    def connect(self) -> None:
        """Wait for QEMU's greeting and negotiate."""
        self._client.register_listener(self._events)
        self._wait(self._client.connect(self._socket), self._timeout)

    def _wait(self, work: Coroutine[Any, Any, Result], timeout: float) -> Result:
        with self._lock:
            try:
                return self._runner.run(asyncio.wait_for(work, timeout))
            except (QMPError, EOFError, OSError) as error:
                raise QmpError(str(error) or "QEMU went away") from None
            except TimeoutError:
                raise QmpError(f"QEMU did not answer within {timeout} s") from None

    def command(self, name: str, /, **arguments: object) -> Any:
        """Execute a command; an underscore in an argument's name stands for a dash.

        Raises:
            QmpError: QEMU refused it.
        """
        words = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self._wait(self._client.execute(name, words or None), self._timeout)

    def wait_event(self, name: str, timeout: float = 30.0, match: Callable[[Message], bool] | None = None) -> Message:
        """The next event *name* (for which *match* holds); others that come before it are dropped."""

        async def wait() -> Message:
            while True:
                event = await self._events.get()
                if event["event"] == name and (match is None or match(event)):
                    return event

        return self._wait(wait(), timeout)

    def close(self) -> None:
        """End the connection; QEMU may have ended it already."""
        with self._lock:
            with suppress(QMPError, EOFError, OSError):  # the other end was first
                self._runner.run(self._client.disconnect())
            self._runner.close()
