# SPDX-License-Identifier: Apache-2.0
"""One guest as the pool sees it: its front-end, and its workers from the first front-end on.

A guest that nobody has connected for costs a listening socket: no state memory, no process, no key outside the store.
What a front-end wants before there is a worker is kept, as while a dead one is replaced (``session.py``).
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmm_keystore.errors import WorkerError
from vmm_keystore.service.guest_values import Applied, ApplyOutcome, Latency, WorkerStatus
from vmm_keystore.vhost_user.backend import Session
from vmm_keystore.vhost_user.descriptors import close_received
from vmm_keystore.vhost_user.listener import Inherited
from vmm_keystore.workers.errors import ProgramError
from vmm_keystore.workers.guest import GuestWorker, Surroundings
from vmm_keystore.workers.keeper import GuestKeeper
from vmm_keystore.workers.session import WorkerSession
from vmm_keystore.workers.worker import Worker

log = logging.getLogger(__name__)

RETRY_DELAY_S = 1.0


class GuestDevice:
    """``BackendFactory`` and ``SessionOwner`` of a guest. From any thread, but for what the vhost-user thread calls."""

    def __init__(self, surroundings: Surroundings, name: str) -> None:
        """Set up; state memory that another keystored left is taken over, with what waits in it."""
        self._around = surroundings
        self._name = name
        self._lock = threading.Lock()
        self._session: WorkerSession | None = None
        self._stopped = False
        self._problem = ""
        self.keeper = GuestKeeper(surroundings.store, surroundings.runtime_dir, name)
        self._workers: GuestWorker | None = None
        if self._state_path.exists():
            self._workers = self._make()

    # -- for its front-end -------------------------------------------------------------------------------------------

    @property
    def serving(self) -> Worker | None:
        """The worker that has its keys and snapshot, if there is one."""
        workers = self._workers
        return workers.serving if workers else None

    def next_base(self, queue: int, start_id: int, base: int) -> int:
        """Tell the base of a ring whose worker died."""
        workers = self._workers
        return workers.next_base(queue, start_id, base) if workers else base

    def open_session(self, session: Session) -> WorkerSession:
        """Take a front-end in, on the vhost-user thread; its worker is made meanwhile."""
        self._session = WorkerSession(self, session)
        self._around.run_later(self._serve)
        return self._session

    def session_closed(self, session: WorkerSession) -> None:
        """Forget a front-end. The worker that serves stays for the next one."""
        if self._session is not session:
            return
        self._session = None
        workers = self._workers
        if workers:
            self._around.run_later(workers.dismiss_standby)

    def inherit_front_end(self) -> Inherited:
        """Give what the last keystored had of the guest's front-end, as far as it can be carried on."""
        inherited = self.keeper.inherit_front_end()
        if inherited.content is None or (self._workers and not self._workers.has_new_state):
            return inherited
        # Which requests were in flight is unknown: nobody can go on with its rings.
        log.error("guest %s: its front-end is dropped: the guest's state memory is lost", self._name)
        self.keeper.forget()
        for fd in inherited.fds:
            close_received(fd)
        return Inherited(inherited.listening_fd)

    # -- for the pool ------------------------------------------------------------------------------------------------

    def take_over(self, inherited: Inherited) -> None:
        """Go on where the last keystored ended: with a worker for its front-end, or without its worker."""
        if inherited.content is not None and self._workers:
            self._workers.start_or_retry()
            return
        try:
            if self._workers:
                self._workers.end_predecessor()
            else:
                self.keeper.end_predecessor()
        except (WorkerError, ProgramError) as error:
            # Whoever makes the next worker tries again.
            log.error("guest %s: %s", self._name, error)

    def apply(self) -> Applied:
        """Bring the guest's keys as committed into force."""
        # A worker that is being made reads them when its turn comes, which is after this.
        with self._lock:
            workers = self._workers
        return workers.apply() if workers else Applied(self._name, ApplyOutcome.NO_WORKER, self._problem)

    def status(self, listening_problem: str) -> WorkerStatus:
        """Say how its worker and front-end are; never waits."""
        session, workers = self._session, self._workers
        pid = session.front_end_pid if session else None
        if workers:
            return workers.status(pid, listening_problem or self._problem)
        return WorkerStatus(None, "", 0, pid, problem=listening_problem or self._problem)

    def operations_used(self) -> Mapping[int, int]:
        """Operations that have begun, by budget."""
        workers = self._workers
        return workers.operations_used() if workers else {}

    def latencies(self) -> Sequence[Latency]:
        """How long its requests took."""
        workers = self._workers
        return workers.latencies() if workers else ()

    def drain_audit(self) -> None:
        """Move the records committed so far to the sink."""
        workers = self._workers
        if workers:
            workers.drain_audit()

    def leave(self) -> None:
        """Let the worker that serves go on for another keystored."""
        with self._lock:
            self._stopped = True
        if self._workers:
            self._workers.leave()

    def stop(self, *, remove: bool) -> None:
        """End the workers and drain what they recorded; with *remove* the guest is gone for good."""
        with self._lock:
            self._stopped = True
        if self._workers:
            self._workers.stop(remove=remove)

    # -- making workers ----------------------------------------------------------------------------------------------

    @property
    def _state_path(self) -> Path:
        return self._around.runtime_dir / f"{self._name}.state"

    def _make(self) -> GuestWorker:
        return GuestWorker(self._around, self._name, self._state_path, self.keeper, lambda: self._session)

    def _serve(self) -> None:
        """Have a worker for the front-end."""
        with self._lock:
            if self._stopped or self._session is None:
                return
            try:
                self._workers = self._workers or self._make()
                self._problem = ""
            except OSError as error:
                self._problem = f"no state memory: {(error.strerror or str(error)).lower()}"
                log.error("guest %s: %s", self._name, self._problem)
                self._around.loop.call_later(RETRY_DELAY_S, lambda: self._around.run_later(self._serve))
                return
        self._workers.serve()
