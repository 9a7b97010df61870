# SPDX-License-Identifier: Apache-2.0
"""The one thread that reads control sockets and watches processes.

A reactor like the vhost-user thread's, but a thread of its own, so that no burst of ours delays an answer to QEMU.
Callbacks never block: no database, no file but tmpfs, no waiting for another program.
"""

import threading
import time

from vmm_keystore.vhost_user.reactor import Callback, SelectorReactor


class Loop:
    """A reactor on its own thread; every method but :meth:`remove_reader` may be called from any thread."""

    def __init__(self, name: str) -> None:
        self._reactor = SelectorReactor()
        self._thread = threading.Thread(target=self._reactor.run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the calls already asked for, and forget every reader."""
        self._reactor.stop()
        self._thread.join()
        self._reactor.close()

    def is_own_thread(self) -> bool:
        """Tell whether the caller runs on the loop's thread, where waiting for a reply would never end."""
        return threading.current_thread() is self._thread

    def call_soon(self, callback: Callback) -> None:
        """Run *callback* on the loop's thread."""
        self._reactor.call_soon(callback)

    def call_later(self, delay_s: float, callback: Callback) -> None:
        """Run *callback* on the loop's thread after *delay_s*."""
        due_s = time.monotonic() + delay_s

        def arm() -> None:
            self._reactor.call_later(due_s - time.monotonic(), callback)

        self.call_soon(arm)

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call *callback* whenever *fd* is readable or hung up."""
        self.call_soon(lambda: self._reactor.add_reader(fd, callback))

    def remove_reader(self, fd: int) -> None:
        """Forget *fd*; on the loop's thread, before the descriptor is closed."""
        self._reactor.remove_reader(fd)
