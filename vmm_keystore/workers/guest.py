# SPDX-License-Identifier: Apache-2.0
"""The workers of one guest, its state memory, and the order of changes to them.

Changes (start, apply, replace, stop) hold one lock and may block; the vhost-user thread and the loop never take it. A
successor touches neither ring nor guest memory before the pidfd said that its predecessor is gone: both map the same
state memory. Where a standby is ready the loop's thread lets it serve, without database or custodian.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmm_keystore._vks import lib
from vmm_keystore.errors import AuditError, KeystoreError, StoreError, WorkerError
from vmm_keystore.service.guest_values import Applied, ApplyOutcome, Latency, LatencyKind, WorkerStatus
from vmm_keystore.service.ports import AuditSink, GuestKeys
from vmm_keystore.workers.budgets import Budgets
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.data_plane import DataPlane
from vmm_keystore.workers.descriptor_store import DescriptorStore
from vmm_keystore.workers.errors import ProgramError, StateMemoryError
from vmm_keystore.workers.keeper import GuestKeeper
from vmm_keystore.workers.key_channel import KeyVersion
from vmm_keystore.workers.key_desk import KeyDesk
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.orders import OrderDesk
from vmm_keystore.workers.provision import bring_up_to_date, publish
from vmm_keystore.workers.ring_watch import RingWatch
from vmm_keystore.workers.session import WorkerSession
from vmm_keystore.workers.state_memory import RECORD_BYTES, RING_RECORDS, StateMemory
from vmm_keystore.workers.succession import Role, Succession
from vmm_keystore.workers.token import Token
from vmm_keystore.workers.worker import SetAside, Worker, start_worker
from vmm_keystore.workers.zygote import Zygote

log = logging.getLogger(__name__)

RETRY_DELAY_S = 0.1
RETRY_DELAY_MAX_S = 5.0
STANDBY_RETRY_S = 1.0
RESTOCK_DELAY_S = 0.02
"""The next standby is made when the guest has its worker back, not in competition with it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every guest shares."""

    loop: Loop
    zygote: Zygote
    custodian: Custodian
    token: Token | None
    keys: GuestKeys
    sink: AuditSink
    store: DescriptorStore
    runtime_dir: Path
    data_plane: DataPlane
    """How workers run."""
    on_death: Callable[[str], None]
    """Told of the guest whose worker died; must not wait."""
    desk: OrderDesk
    key_desk: KeyDesk
    rings: RingWatch
    run_later: Callable[[Callable[[], None]], None]
    """Run what may block on another thread, soon."""


class GuestWorker:
    """The workers of one guest, replaced when they die."""

    def __init__(
        self,
        surroundings: Surroundings,
        name: str,
        state_path: Path,
        keeper: GuestKeeper,
        session: Callable[[], WorkerSession | None],
    ) -> None:
        """Open its state memory, or make one; *session* gives the front-end of the moment.

        Raises:
            OSError: there is no room for state memory.
        """
        self._around = surroundings
        self._name = name
        self._lock = threading.Lock()
        self._state = StateMemory(state_path, surroundings.rings)
        self._budgets = Budgets(surroundings.keys, name, self._state)
        self._refill_asked = False
        self._succession = Succession()
        self._keeper = keeper
        self._has_predecessor = True
        self._front_end = session
        self._stopped = False
        self._retry_delay_s = RETRY_DELAY_S
        self._set_aside_count = 0
        self._named: frozenset[KeyVersion] = frozenset()
        self.problem = ""

    @property
    def has_new_state(self) -> bool:
        """Whether there was no state memory that checks."""
        return self._state.is_new

    @property
    def serving(self) -> Worker | None:
        """The worker that has its keys and snapshot, if there is one."""
        return self._succession.serving

    def next_base(self, queue: int, start_id: int, base: int) -> int:
        """Tell the base of a ring whose worker died."""
        return self._state.next_base(queue, start_id, base)

    def serve(self) -> None:
        """Have a worker for the front-end that came, and a standby."""
        with self._lock:
            if self._stopped:
                return
            wait_s = self._succession.wait_s
            if wait_s and not self._succession.serving:
                self._around.loop.call_later(wait_s, self._succeed)
                return
            if not self._succession.serving:
                self._start_or_retry()
        self._restock_soon(RESTOCK_DELAY_S)

    def start_or_retry(self) -> None:
        """Start a worker; when that fails, go on trying."""
        with self._lock:
            self._start_or_retry()

    def end_predecessor(self) -> None:
        """End a worker that the last keystored left, where there is no front-end to go on with.

        Raises:
            WorkerError: it does not die.
        """
        with self._lock:
            self._end_predecessor()

    def status(self, front_end_pid: int | None, problem: str) -> WorkerStatus:
        """Say how its worker is; never waits."""
        worker = self._succession.serving
        in_flight, waiting = self._state.occupancy()
        return WorkerStatus(
            pid=worker.pid if worker else None,
            secret_memory=worker.secret_memory if worker else "",
            sandbox=worker.sandbox if worker else "",
            engines=worker.engines if worker else {},
            generation=worker.generation if worker else 0,
            front_end_pid=front_end_pid,
            problem=problem or self._crash_problem() or self.problem,
            replaced_count=self._succession.replaced_count,
            set_aside_count=self._set_aside_count,
            keys_filled_count=worker.keys.filled_count if worker else 0,
            in_flight=in_flight,
            records_waiting=waiting,
        )

    def apply(self) -> Applied:
        """Bring the guest's keys as committed into force."""
        with self._lock:
            # None comes to these while the lock is held; which of them serves may change meanwhile.
            workers = self._succession.members()
            if not workers:
                return Applied(self._name, ApplyOutcome.NO_WORKER, self.problem)
            detail = ""
            try:
                acknowledged, self.problem = bring_up_to_date(self._around.keys, self._budgets, self._name, workers)
            except KeystoreError as error:
                # What is taken away must be gone when the administrator is answered; what is added can come later.
                detail = f"new keys are not usable yet: {error}"
                log.error("guest %s: %s", self._name, detail)
                permitted = self._around.keys.permitted_keys(self._name)
                acknowledged = publish(self._around.keys, self._budgets, self._name, workers, permitted)
                self._retry_later(self._apply_again)
            if acknowledged[0]:
                return Applied(self._name, ApplyOutcome.ACKNOWLEDGED, detail or self.problem)
            return Applied(self._name, ApplyOutcome.WORKER_KILLED, "it did not take the change in time")

    def dismiss_standby(self) -> None:
        """Nobody waits for a guest without a front-end."""
        with self._lock:
            standby = None if self._front_end() else self._succession.take_standby()
            if standby:
                end(standby)

    def operations_used(self) -> dict[int, int]:
        """Operations that have begun, by budget."""
        return self._budgets.used()

    def latencies(self) -> list[Latency]:
        """How long its requests took; of keys that it has, whatever a worker says."""
        worker = self._succession.serving
        if worker:
            self._named = worker.named
        found = self._state.latencies()
        named = {key_id for key_id, _version in self._named} if found else set()
        return [latency for latency in found if latency.kind is not LatencyKind.KEY or latency.key_id in named]

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
                for worker in self._succession.members():
                    worker.kill()
        worker_now = self._succession.serving
        if worker_now is not None and count == RING_RECORDS:
            worker_now.post(lib.VKS_WORKER_DRAINED)

    def leave(self) -> None:
        """Let the worker that serves go on for another keystored; the standby ends with the last of our descriptors."""
        with self._lock, self._state.drain_lock:
            if self._stopped:
                return
            self._stopped = True
            try:
                self._drain()
            except (StateMemoryError, AuditError) as error:
                log.warning("guest %s: audit records left for the next keystored: %s", self._name, error)

    def stop(self, *, remove: bool) -> None:
        """End the workers and drain what they recorded.

        Args:
            remove: the guest is gone for good, and its state memory with it.
        """
        with self._lock:
            for worker in self._succession.clear():
                end(worker)
            self._keeper.forget_worker()
            self._budgets.settle()
            with self._state.drain_lock:
                if self._stopped:
                    return
                self._stopped = True
                self._state.close_records()
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

    # -- making workers; with the lock -------------------------------------------------------------------------------

    def _start(self) -> None:
        self._renew_state()
        self._forget_orders()
        try:
            worker = self._make()
        except WorkerError:
            self._end_predecessor()
            raise
        try:
            # Up to here it has gone on serving: its successor is ready.
            self._end_predecessor()
        except WorkerError:
            end(worker)
            raise
        self._keeper.keep_worker(worker.pid, worker.control_fd)
        if not self._succession.install(worker):
            worker.close()
            raise WorkerError(f"guest {self._name}: a new worker ended at once")
        log.info("guest %s: worker pid %d, %d key versions", self._name, worker.pid, len(worker.named))
        self._tell_session()
        if self._front_end():
            self._restock_soon(RESTOCK_DELAY_S)

    def _make(self) -> Worker:
        """Start a worker and give it keys and snapshot; it does nothing yet."""
        try:
            worker = start_worker(
                loop=self._around.loop,
                zygote=self._around.zygote,
                custodian=self._around.custodian,
                token=self._around.token,
                guest=self._name,
                state_fd=self._state.fd,
                data_plane=self._around.data_plane,
                on_ended=self._worker_ended,
                on_set_aside=self._note_set_aside,
                on_budget_low=self._ask_refill,
                desk=self._around.desk,
                key_desk=self._around.key_desk,
            )
        except (ProgramError, OSError) as error:
            self.problem = f"no worker: {error}"
            raise WorkerError(f"guest {self._name}: no worker could be started: {error}") from error
        try:
            (acknowledged,), self.problem = bring_up_to_date(self._around.keys, self._budgets, self._name, [worker])
        except KeystoreError as error:
            end(worker)
            self.problem = f"no worker: {error}"
            raise WorkerError(f"guest {self._name}: its keys could not be loaded: {error}") from error
        if not acknowledged:
            worker.close()
            self.problem = "no worker: it did not take its snapshot"
            raise WorkerError(f"guest {self._name}: a new worker did not take its snapshot")
        return worker

    def _end_predecessor(self) -> None:
        """End a worker that the last keystored left, once."""
        if not self._has_predecessor:
            return
        try:
            self._keeper.end_predecessor()
        except ProgramError as error:
            raise WorkerError(f"guest {self._name}: {error}") from error
        self._has_predecessor = False
        self._state.close_records()

    def _forget_orders(self) -> None:
        """No request is the one of that number in state memory of before."""
        if not self._state.is_unused():
            return
        try:
            self._around.keys.forget_orders(self._name)
        except StoreError as error:
            self.problem = f"no worker: {error.message}"
            raise WorkerError(f"guest {self._name}: no worker is started: {error.message}", error.hint) from error

    def _renew_state(self) -> None:
        """A worker refuses state memory that does not check; its predecessor may have been taken over."""
        with self._state.drain_lock:
            if self._state.is_sound():
                return
            self._state.put_aside()
            fresh = StateMemory(self._state.path, self._around.rings)
            fresh.drain_lock = self._state.drain_lock
            self._state = fresh
            self._budgets.attach(fresh)
        session = self._front_end()
        if session:
            # Which requests were in flight is unknown now: nobody can go on with its rings.
            session.abort("the guest's state memory was damaged")

    # -- replacing them ----------------------------------------------------------------------------------------------

    def _worker_ended(self, worker: Worker) -> None:
        """On the loop's thread."""
        role, lived_s = self._succession.ended(worker, self._state.close_records)
        if role is Role.NONE:
            return  # whoever made it notices by itself
        self._around.run_later(worker.close)
        if role is Role.STANDBY:
            log.error("guest %s: standby pid %d ended", self._name, worker.pid)
            self._restock_soon(STANDBY_RETRY_S)
            return
        delay_s = self._succession.backoff.note_death(lived_s)
        if delay_s == 0:
            self._promote()
        self._tell_session()
        self._around.on_death(self._name)
        log.error("guest %s: worker pid %d ended after %.1f s", self._name, worker.pid, lived_s)
        if delay_s:
            log.error("guest %s: %s", self._name, self._crash_problem())
        if not self._front_end():
            self._succession.forget_death()
            return  # the next one gets a worker
        if self._succession.serving is None:
            self._around.loop.call_later(delay_s, self._succeed)
        self._restock_soon(max(delay_s, RESTOCK_DELAY_S))

    def _promote(self) -> bool:
        """Let the standby serve, if there is one and the state memory is one that it may go on with."""
        if not self._state.is_usable():
            return False
        standby = self._succession.standby
        if standby and not self._succession.serving:
            self._keeper.keep_worker(standby.pid, standby.control_fd)
        return self._succession.promote()

    def _succeed(self) -> None:
        """On the loop's thread, when the guest has waited long enough."""
        if self._promote():
            self._tell_session()
        else:
            self._around.run_later(self._replace)

    def _replace(self) -> None:
        with self._lock:
            if self._stopped or not self._front_end():
                return
            if self._promote():
                self._tell_session()
                return
            standby = self._succession.take_standby()
            if standby:
                end(standby)
            self._start_or_retry()

    def _start_or_retry(self) -> None:
        try:
            self._start()
        except WorkerError as error:
            log.error("%s", error)
            self._retry_later(self._replace)
        else:
            self._retry_delay_s = RETRY_DELAY_S

    def _restock_soon(self, delay_s: float) -> None:
        self._around.loop.call_later(delay_s, lambda: self._around.run_later(self._restock))

    def _restock(self) -> None:
        """Have a standby for a guest with a front-end."""
        with self._lock:
            if self._stopped or not self._front_end() or self._succession.standby or not self._succession.serving:
                return
            try:
                worker = self._make()
            except WorkerError as error:
                log.error("%s", error)
                self._retry_later(self._restock)
                return
            if self._succession.stand_by(worker):
                log.debug("guest %s: standby pid %d", self._name, worker.pid)
            else:
                worker.close()
                self._retry_later(self._restock)

    def _tell_session(self) -> None:
        session = self._front_end()
        if session:
            session.worker_changed()

    def _crash_problem(self) -> str:
        if not self._succession.in_crash_loop:
            return ""
        backoff = self._succession.backoff
        return f"crash loop: {backoff.quick_deaths} workers ended at once, the next one waits {backoff.delay_s:.1f} s"

    def _note_set_aside(self, request: SetAside) -> None:
        """On the loop's thread."""
        self._set_aside_count += 1
        log.error(
            "guest %s: request %d set aside: %d workers died over it (op %d, key %s)",
            self._name,
            request.sequence,
            request.deaths,
            request.op,
            request.key_id.hex(),
        )

    def _ask_refill(self) -> None:
        """On the loop's thread: a worker may ask as often as it likes, one answer is under way at most."""
        if not self._refill_asked:
            self._refill_asked = True
            self._around.run_later(self._refill)

    def _refill(self) -> None:
        """Not with the lock: requests wait for this, and a change may take long."""
        self._refill_asked = False
        if not self._budgets.refill():
            self._retry_later(self._refill)
            return
        worker = self._succession.serving
        if worker is not None:
            worker.post(lib.VKS_WORKER_LEASED)

    def _apply_again(self) -> None:
        applied = self.apply()
        log.info("guest %s: change brought into force later: %s", self._name, applied.outcome.value)

    def _retry_later(self, action: Callable[[], None]) -> None:
        delay_s = self._retry_delay_s
        self._retry_delay_s = min(RETRY_DELAY_MAX_S, delay_s * 2)
        self._around.loop.call_later(delay_s, lambda: self._around.run_later(action))


def end(worker: Worker) -> None:
    """End a worker that no longer counts, and wait for it."""
    worker.kill()
    worker.wait_ended()
    worker.close()
