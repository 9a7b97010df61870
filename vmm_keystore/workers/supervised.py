# SPDX-License-Identifier: Apache-2.0
"""A program of ours that must always run: started again when it ends, with what it needs to know told anew.

One way to the end: whatever goes wrong, the program is killed, its pidfd becomes readable, it is reaped and restarted.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from vmm_keystore.errors import KeystoreError
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.errors import ProgramLostError
from vmm_keystore.workers.ipc import Form
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.programs import Process, RightfulPrograms, is_child, start_program

log = logging.getLogger(__name__)

HEALTHY_S = 1.0
RESTART_DELAY_MAX_S = 5.0
READY_WAIT_S = 3.0
END_WAIT_S = 1.0


class SupervisedProgram:
    """Starts a program, keeps it running, gives its connection to whoever asks."""

    def __init__(
        self,
        loop: Loop,
        name: str,
        forms: Mapping[int, Form],
        prepare: Callable[[Connection], None] | None = None,
        *,
        first: RightfulPrograms | None = None,
        without_rights: str = "",
    ) -> None:
        """Set up without starting.

        Args:
            loop: watches the program.
            name: of the installed program.
            forms: of the messages it sends.
            prepare: tells a fresh program what it must know before anybody else may ask it.
            first: has the first one, or every one; what it has not is started here.
            without_rights: what a later one means, when it can only have the rights that keystored kept.
        """
        self._loop = loop
        self._name = name
        self._forms = forms
        self._prepare = prepare
        self._first = first
        self._without_rights = without_rights
        self._changed = threading.Condition()
        self._child: Process | None = None
        self._connection: Connection | None = None
        self._started_s = 0.0
        self._delay_s = 0.0
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The pid of the running program."""
        child = self._child
        return child.pid if child else None

    def start(self) -> None:
        """Start the program and prepare it.

        Raises:
            ProgramError: it is missing, or ended or refused while it was prepared; nothing is left running.
        """
        early = self._first.take(self._name) if self._first else None
        child, control = early or start_program(self._name)
        connection = Connection(
            self._loop,
            control,
            self._forms,
            name=self._name,
            on_event=lambda _message: child.kill(),
            on_lost=lambda reason: self._lost(child, reason),
        )
        try:
            if self._prepare:
                self._prepare(connection)
        except Exception:
            child.kill()
            child.close(reap=is_child(child.pidfd))
            connection.close(f"{self._name} could not be prepared")
            raise
        with self._changed:
            self._child, self._connection = child, connection
            self._started_s = time.monotonic()
            self._changed.notify_all()
        self._loop.add_reader(child.pidfd, lambda: self._ended(child))

    def connection(self, wait_s: float = READY_WAIT_S) -> Connection:
        """Give the connection to the running program, waiting for a restart that is under way.

        Raises:
            ProgramLostError: there is none in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_connected or self._stopping, wait_s):
                raise ProgramLostError(f"{self._name} is not running")
            if self._connection is None:
                raise ProgramLostError(f"{self._name} is being stopped")
            return self._connection

    @property
    def _is_connected(self) -> bool:
        """A connection that is lost stays here until the program's end is known: it is nothing to give away."""
        return self._connection is not None and not self._connection.closed

    def stop(self) -> None:
        """End the program: it does so itself when its control socket closes, and is killed when it does not."""
        with self._changed:
            self._stopping = True
            connection, child = self._connection, self._child
            self._changed.notify_all()
        if connection is None or child is None:
            return
        connection.close("stopping")
        with self._changed:
            ended = self._changed.wait_for(lambda: self._child is not child, END_WAIT_S)
        if not ended:
            log.warning("%s did not end, killed", self._name)
            child.kill()
            with self._changed:
                self._changed.wait_for(lambda: self._child is not child, END_WAIT_S)

    def _lost(self, child: Process, reason: str) -> None:
        if self._stopping:
            return
        # One that is still being prepared is the business of whoever started it, who is told by an exception.
        if child is self._child:
            log.error("%s; killed", reason)
        child.kill()

    def _ended(self, child: Process) -> None:
        """On the loop's thread, when the pidfd says exit."""
        self._loop.remove_reader(child.pidfd)
        child.close(reap=is_child(child.pidfd))
        with self._changed:
            connection, self._connection, self._child = self._connection, None, None
            restart = not self._stopping
            if time.monotonic() - self._started_s > HEALTHY_S:
                self._delay_s = 0.0
            self._changed.notify_all()
        if connection:
            connection.close(f"{self._name} ended")
        if restart:
            log.error("%s (pid %d) ended, restarting", self._name, child.pid)
            threading.Thread(target=self._restart, name=f"restart-{self._name}", daemon=True).start()

    def _restart(self) -> None:
        while not self._stopping:
            time.sleep(self._delay_s)
            self._delay_s = min(RESTART_DELAY_MAX_S, max(0.05, self._delay_s * 2))
            try:
                self.start()
            except (KeystoreError, OSError) as error:
                log.error("%s could not be restarted: %s", self._name, error)
            else:
                log.info("%s restarted, pid %s", self._name, self.pid)
                if self._first and self._first.had_more_rights:
                    log.error("%s; hint: restart keystored", self._without_rights)
                return
