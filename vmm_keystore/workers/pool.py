# SPDX-License-Identifier: Apache-2.0
"""The workers of all guests: ``service.ports.GuestWorkers``.

Threads: callers of the ports (may block), the loop (reads sockets, never blocks), a few threads that replace workers,
one that drains audit rings. The vhost-user thread only enters through the sessions.
"""

import errno
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vmm_keystore.errors import AuditError, KeystoreError, NotFoundError, WorkerError
from vmm_keystore.service.guest_values import Applied, ApplyOutcome, Guest, Latency, WorkerStatus
from vmm_keystore.service.ports import AuditSink, GuestKeys
from vmm_keystore.vhost_user.errors import SocketInUseError
from vmm_keystore.vhost_user.listener import GuestSocket, Inherited
from vmm_keystore.vhost_user.offer import Offer
from vmm_keystore.vhost_user.server import Server
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.data_plane import DataPlane
from vmm_keystore.workers.descriptor_store import DescriptorStore
from vmm_keystore.workers.device import GuestDevice
from vmm_keystore.workers.guest import Surroundings
from vmm_keystore.workers.key_desk import KeyDesk
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.orders import OrderDesk
from vmm_keystore.workers.ring_watch import RingWatch
from vmm_keystore.workers.token import Token
from vmm_keystore.workers.zygote import Zygote

log = logging.getLogger(__name__)

DRAIN_PERIOD_S = 0.05
REPLACING_THREADS = 4


class GuestPool:
    """Every guest's worker and vhost-user socket."""

    def __init__(
        self,
        *,
        loop: Loop,
        custodian: Custodian,
        token: Token | None = None,
        zygote: Zygote,
        keys: GuestKeys,
        sink: AuditSink,
        store: DescriptorStore,
        runtime_dir: Path,
        data_plane: DataPlane,
        server: Server,
        on_death: Callable[[str], None],
    ) -> None:
        """Set up without starting anything.

        *token* is where keys may lie that are not the vault's own; *store* outlives keystored; *runtime_dir* holds the
        state memory files; *data_plane* is how workers run; *on_death* is told of the
        guest whose worker died, and must not wait.
        """
        self._replacing = ThreadPoolExecutor(REPLACING_THREADS, thread_name_prefix="replace-worker")
        self._keys = keys
        self._server = server
        self.desk = OrderDesk(loop)
        self._key_desk = KeyDesk(keys)
        self._rings = RingWatch()
        self._surroundings = Surroundings(
            loop,
            zygote,
            custodian,
            token,
            keys,
            sink,
            store,
            runtime_dir,
            data_plane,
            on_death,
            self.desk,
            self._key_desk,
            self._rings,
            self._run_later,
        )
        self._guests: dict[str, GuestDevice] = {}
        self._not_listening: dict[str, str] = {}
        self._stopping = threading.Event()
        self._drain_thread = threading.Thread(target=self._drain_forever, name="audit-drain", daemon=True)

    def start(self) -> None:
        """Listen for every guest, and go on with each front-end that another keystored had.

        One guest's problem is its own.
        """
        self._key_desk.start()
        guests = self._keys.guests()
        for guest in guests:
            self._guests[guest.name] = GuestDevice(self._surroundings, guest.name)
        # Each as soon as it can: a front-end may be waiting for an answer.
        list(self._replacing.map(self._start_guest, guests))
        self._surroundings.store.drop_unclaimed()
        self._drain_thread.start()

    def _start_guest(self, guest: Guest) -> None:
        device = self._guests[guest.name]
        inherited = device.inherit_front_end()
        device.take_over(inherited)
        try:
            self._listen(guest, device, inherited)
        except WorkerError as error:
            log.error("guest %s: %s", guest.name, error)
            self._not_listening[guest.name] = str(error)

    def stop(self, *, leave: bool = False) -> None:
        """End every worker; audit records and in-flight tables stay in state memory or reach the sink.

        Args:
            leave: let the workers go on, for another keystored.
        """
        self._stopping.set()
        if self._drain_thread.ident is not None:
            self._drain_thread.join()
        self._key_desk.stop()
        for guest in list(self._guests.values()):
            if leave:
                guest.leave()
            else:
                guest.stop(remove=False)
        self._replacing.shutdown(wait=True, cancel_futures=True)

    @property
    def guest_count(self) -> int:
        """How many guests there are."""
        return len(self._guests)

    def add_guest(self, guest: Guest) -> None:
        """Listen on the guest's socket; its worker is made when a front-end comes."""
        device = GuestDevice(self._surroundings, guest.name)
        try:
            inherited = device.inherit_front_end()
            device.take_over(inherited)
            self._listen(guest, device, inherited)
        except OSError as error:
            device.stop(remove=True)
            reason = (error.strerror or str(error)).lower()
            raise WorkerError(f"cannot add guest {guest.name}: {reason}", _hint(error)) from error
        except KeystoreError:
            device.stop(remove=True)
            raise
        self._guests[guest.name] = device

    def remove_guest(self, name: str) -> None:
        """Disconnect the front-end, end the worker, remove the socket."""
        self._server.remove_guest(name)
        self._not_listening.pop(name, None)
        device = self._guests.pop(name, None)
        if device is not None:
            device.stop(remove=True)

    def apply(self, guest: str) -> Applied:
        """Bring the guest's keys as committed into force."""
        device = self._guests.get(guest)
        return device.apply() if device else Applied(guest, ApplyOutcome.NO_WORKER)

    def worker_status(self, guest: str) -> WorkerStatus:
        """Say how the guest's worker is."""
        device = self._guests.get(guest)
        if device is None:
            raise NotFoundError(f"no guest '{guest}'")
        problem = self._not_listening.get(guest, "")
        return replace(device.status(problem), listening=not problem)

    def operations_used(self, guest: str) -> Mapping[int, int]:
        """Operations that have begun under each budget of the guest's grants."""
        device = self._guests.get(guest)
        return device.operations_used() if device else {}

    def latencies(self) -> Iterator[tuple[str, Latency]]:
        """How long the requests of each guest took."""
        for name, device in sorted(self._guests.items()):
            for latency in device.latencies():
                yield name, latency

    def drain_audit(self) -> None:
        """Move every record committed so far to the audit sink."""
        for guest in list(self._guests.values()):
            guest.drain_audit()

    def _drain_waiting(self) -> None:
        for name in self._rings.waiting():
            guest = self._guests.get(name)
            if guest:
                guest.drain_audit()

    def _listen(self, guest: Guest, device: GuestDevice, inherited: Inherited) -> None:
        uid = -1 if guest.owner_uid is None else guest.owner_uid
        try:
            guest_socket = GuestSocket(
                guest.name, Path(guest.socket), uid=uid, offer=Offer(queue_count=self._surroundings.data_plane.rings)
            )
            self._server.add_guest(guest_socket, device, device.keeper, inherited)
        except SocketInUseError as error:
            raise WorkerError(str(error), "choose another --socket, or stop whoever uses it") from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise WorkerError(f"cannot listen on {guest.socket}: {reason}", _hint(error)) from error

    def _run_later(self, action: Callable[[], None]) -> None:
        def run() -> None:
            try:
                action()
            except KeystoreError as error:
                log.error("%s", error)

        if not self._stopping.is_set():
            self._replacing.submit(run)

    def _drain_forever(self) -> None:
        failing = False
        while not self._stopping.wait(DRAIN_PERIOD_S):
            try:
                self._drain_waiting()
            except AuditError as error:
                # Rings fill up meanwhile, and then workers stop taking requests: nothing goes unrecorded.
                if not failing:
                    log.error("audit records wait in memory: %s", error)
                failing = True
            else:
                failing = False


def _hint(error: OSError) -> str:
    match error.errno:
        case errno.EMFILE:
            return "raise keystored's limit on open files (LimitNOFILE): each guest takes two, and more while it runs"
        case errno.EOPNOTSUPP | errno.EPERM:
            return "its file system must have access control lists, or keystored the right to give files away"
        case _:
            return "its folder must exist and be writable"
