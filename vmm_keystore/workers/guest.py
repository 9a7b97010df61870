# SPDX-License-Identifier: Apache-2.0
"""One guest: its state memory, its worker, its front-end, and the order of changes to them.

Changes (start, apply, replace, stop) hold one lock and may block; the vhost-user thread and the loop only ever read
``serving``. A successor starts when the pidfd said that its predecessor is gone: both map the same state memory.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmm_keystore._vks import lib
from vmm_keystore.errors import AuditError, KeystoreError, WorkerError
from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.service.ports import Applied, ApplyOutcome, AuditSink, GuestKeys, WorkerStatus
from vmm_keystore.vhost_user.backend import Session
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.errors import ProgramError, ProgramLostError, StateMemoryError
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.session import WorkerSession
from vmm_keystore.workers.snapshot import build_snapshot
from vmm_keystore.workers.state_memory import RECORD_BYTES, RING_RECORDS, StateMemory
from vmm_keystore.workers.worker import KeyVersion, Worker, start_worker
from vmm_keystore.workers.zygote import Zygote

log = logging.getLogger(__name__)

LOAD_ROUNDS_MAX = 4
RETRY_DELAY_S = 0.1
RETRY_DELAY_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every guest shares."""

    loop: Loop
    zygote: Zygote
    custodian: Custodian
    keys: GuestKeys
    sink: AuditSink
    runtime_dir: Path
    run_later: Callable[[Callable[[], None]], None]
    """Run what may block on another thread, soon."""


class GuestWorker:
    """The worker of one guest, replaced when it dies; ``SessionOwner`` for its front-end."""

    def __init__(self, surroundings: Surroundings, name: str) -> None:
        self._around = surroundings
        self._name = name
        self._lock = threading.Lock()
        self._state = StateMemory(surroundings.runtime_dir / f"{name}.state")
        self._serving: Worker | None = None
        self._session: WorkerSession | None = None
        self._stopped = False
        self._retry_delay_s = RETRY_DELAY_S
        self.problem = ""

    @property
    def serving(self) -> Worker | None:
        """The worker that has its keys and snapshot, if there is one."""
        worker = self._serving
        return None if worker is None or worker.ended.is_set() else worker

    def open_session(self, session: Session) -> WorkerSession:
        """Take a front-end in; ``BackendFactory`` of vhost_user, on its thread."""
        self._session = WorkerSession(self, session)
        return self._session

    def session_closed(self, session: WorkerSession) -> None:
        """Forget a front-end."""
        if self._session is session:
            self._session = None

    def next_base(self, queue: int) -> int:
        """Tell the base of a ring whose worker died."""
        with self._state.drain_lock:
            return 0 if self._stopped else self._state.next_base(queue)

    def start(self) -> None:
        """Start a worker with the guest's keys.

        Raises:
            WorkerError: it could not be started; try again or :meth:`stop`.
        """
        with self._lock:
            self._start()

    def start_or_retry(self) -> None:
        """Start a worker; when that fails, go on trying."""
        with self._lock:
            self._start_or_retry()

    def status(self, listening_problem: str) -> WorkerStatus:
        """Say how its worker and front-end are; never waits."""
        worker, session = self._serving, self._session
        return WorkerStatus(
            pid=worker.pid if worker else None,
            secret_memory=worker.secret_memory if worker else "",
            generation=worker.generation if worker else 0,
            front_end_pid=session.front_end_pid if session else None,
            problem=listening_problem or self.problem,
        )

    def apply(self) -> Applied:
        """Bring the guest's keys as committed into force."""
        with self._lock:
            worker = self._serving
            if worker is None or worker.ended.is_set():
                return Applied(self._name, ApplyOutcome.NO_WORKER, self.problem)
            detail = ""
            try:
                acknowledged = self._bring_up_to_date(worker)
            except KeystoreError as error:
                # What is taken away must be gone when the administrator is answered; what is added can come later.
                detail = f"new keys are not usable yet: {error}"
                log.error("guest %s: %s", self._name, detail)
                acknowledged = self._publish(worker, self._permitted())
                self._retry_later(self._apply_again)
            if acknowledged:
                return Applied(self._name, ApplyOutcome.ACKNOWLEDGED, detail or self.problem)
            return Applied(self._name, ApplyOutcome.WORKER_KILLED, "it did not take the change in time")

    def drain_audit(self) -> None:
        """Move the records committed so far to the sink."""
        with self._state.drain_lock:
            if self._stopped:
                return
            try:
                count = self._drain()
            except StateMemoryError as error:
                log.error("guest %s: %s, worker killed", self._name, error)
                count = 0
                self._kill()
        worker = self._serving
        if worker is not None and count == RING_RECORDS:
            worker.post(lib.VKS_WORKER_DRAINED)

    def stop(self, *, remove: bool) -> None:
        """End the worker and drain what it recorded.

        Args:
            remove: the guest is gone for good, and its state memory with it.
        """
        with self._lock:
            worker, self._serving = self._serving, None
            if worker is not None:
                self._end(worker)
            with self._state.drain_lock:
                if self._stopped:
                    return
                self._stopped = True
                try:
                    self._drain()
                except (StateMemoryError, AuditError) as error:
                    log.error("guest %s: last audit records not stored: %s", self._name, error)
                    self._state.close()
                    return
                if remove:
                    self._state.remove()
                else:
                    self._state.close()

    def _drain(self) -> int:
        records = self._state.peek()
        count = len(records) // RECORD_BYTES
        if count:
            self._around.sink.append_records(self._name, records)
            self._state.take(count)
        return count

    def _permitted(self) -> tuple[PermittedKey, ...]:
        return self._around.keys.permitted_keys(self._name)

    def _start(self) -> None:
        self._renew_state()
        try:
            worker = start_worker(
                loop=self._around.loop,
                zygote=self._around.zygote,
                custodian=self._around.custodian,
                guest=self._name,
                state_fd=self._state.fd,
                on_ended=self._worker_ended,
            )
        except (ProgramError, OSError) as error:
            self.problem = f"no worker: {error}"
            raise WorkerError(f"guest {self._name}: no worker could be started: {error}") from error
        try:
            acknowledged = self._bring_up_to_date(worker)
        except KeystoreError as error:
            self._end(worker)
            self.problem = f"no worker: {error}"
            raise WorkerError(f"guest {self._name}: its keys could not be loaded: {error}") from error
        if not acknowledged:
            worker.close()
            self.problem = "no worker: it did not take its snapshot"
            raise WorkerError(f"guest {self._name}: a new worker did not take its snapshot")
        self._serving = worker
        log.info("guest %s: worker pid %d, %d key versions", self._name, worker.pid, len(worker.held))
        session = self._session
        if session:
            session.worker_serving()

    def _renew_state(self) -> None:
        """A worker refuses state memory that does not check; its predecessor may have been taken over."""
        with self._state.drain_lock:
            if not self._state.is_sound():
                self._state.put_aside()
                fresh = StateMemory(self._state.path)
                fresh.drain_lock = self._state.drain_lock
                self._state = fresh

    def _bring_up_to_date(self, worker: Worker) -> bool:
        """Load what the worker lacks, then publish; False when it was killed over it."""
        problems: list[str] = []
        permitted = self._permitted()
        for attempts_left in reversed(range(LOAD_ROUNDS_MAX)):
            missing = [version for version in versions(permitted) if version not in worker.held]
            if not missing or problems:
                break
            try:
                problems = worker.load(self._around.keys.lease_keys(self._name, missing))
            except ProgramLostError:
                # The custodian died: its successor gets fresh leases.
                if worker.ended.is_set() or not attempts_left:
                    raise
            # Read again: what was revoked while keys were loaded must not be published.
            permitted = self._permitted()
        for problem in problems:
            log.error("guest %s: %s", self._name, problem)
        self.problem = problems[0] if problems else ""
        return self._publish(worker, permitted)

    def _publish(self, worker: Worker, permitted: tuple[PermittedKey, ...]) -> bool:
        usable = [key for key in permitted if (key.key_id, key.version) in worker.held]
        content = build_snapshot(self._name, worker.generation + 1, usable)
        return worker.publish(content, frozenset(versions(usable)))

    def _apply_again(self) -> None:
        applied = self.apply()
        log.info("guest %s: change brought into force later: %s", self._name, applied.outcome.value)

    def _worker_ended(self, worker: Worker) -> None:
        """On the loop's thread."""
        session = self._session
        if session:
            session.worker_ended(worker)
        self._around.run_later(lambda: self._replace(worker))

    def _replace(self, worker: Worker) -> None:
        with self._lock:
            if worker is not self._serving or self._stopped:
                return  # whoever started it notices by itself
            self._serving = None
            worker.close()
            log.error("guest %s: worker pid %d ended, replacing it", self._name, worker.pid)
            self._start_or_retry()

    def _start_or_retry(self) -> None:
        try:
            self._start()
        except WorkerError as error:
            log.error("%s", error)
            self._retry_later(self._retry)
        else:
            self._retry_delay_s = RETRY_DELAY_S

    def _retry(self) -> None:
        with self._lock:
            if self._serving is None and not self._stopped:
                self._start_or_retry()

    def _retry_later(self, action: Callable[[], None]) -> None:
        delay_s = self._retry_delay_s
        self._retry_delay_s = min(RETRY_DELAY_MAX_S, delay_s * 2)
        self._around.loop.call_later(delay_s, lambda: self._around.run_later(action))

    def _kill(self) -> None:
        worker = self._serving
        if worker is not None:
            worker.kill()

    @staticmethod
    def _end(worker: Worker) -> None:
        worker.kill()
        worker.wait_ended()
        worker.close()


def versions(keys: list[PermittedKey] | tuple[PermittedKey, ...]) -> list[KeyVersion]:
    """Name the key versions."""
    return [(key.key_id, key.version) for key in keys]
