# SPDX-License-Identifier: Apache-2.0
"""One worker process: its control socket, its keys, the snapshot in force.

Knows ``VKS_WORKER_*`` of ``ipc.h``. Ring messages may be posted from the vhost-user thread: they never wait.
"""

import itertools
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from vmm_keystore._vks import lib
from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.service.guest_values import Order, Ordered
from vmm_keystore.service.key_values import KeyLoad
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.custodian_messages import SECRET_MEMORY
from vmm_keystore.workers.data_plane import DataPlane, engines
from vmm_keystore.workers.errors import ProgramError, ProgramLostError
from vmm_keystore.workers.ipc import REPLY, Form, Message, pack
from vmm_keystore.workers.key_channel import KeyChannel, KeyVersion
from vmm_keystore.workers.key_desk import KeyDesk
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.order_messages import checked_order, pack_ordered
from vmm_keystore.workers.orders import OrderDesk
from vmm_keystore.workers.programs import Process, control_pair
from vmm_keystore.workers.sandbox import describe
from vmm_keystore.workers.snapshot import seal_snapshot
from vmm_keystore.workers.token import Token
from vmm_keystore.workers.zygote import Zygote

log = logging.getLogger(__name__)

SNAPSHOT_TIMEOUT_S = 0.1
"""Promise P6: a worker that has not acknowledged by then is killed."""
READY_TIMEOUT_S = 5.0
DEATH_TIMEOUT_S = 5.0

FORMS = {
    lib.VKS_WORKER_MEM_TABLE | REPLY: Form(),
    lib.VKS_WORKER_RING_START | REPLY: Form(),
    lib.VKS_WORKER_RING_STOP | REPLY: Form("vks_worker_ring_stopped"),
    lib.VKS_WORKER_RING_CALL | REPLY: Form(),
    lib.VKS_WORKER_RING_KICK | REPLY: Form(),
    lib.VKS_WORKER_RING_ERR | REPLY: Form(),
    lib.VKS_WORKER_SNAPSHOT | REPLY: Form(),
    lib.VKS_WORKER_DRAINED | REPLY: Form(),
    lib.VKS_WORKER_LEASED | REPLY: Form(),
    lib.VKS_WORKER_TOKEN | REPLY: Form(),
    lib.VKS_WORKER_ORDERED | REPLY: Form(),
    lib.VKS_WORKER_KEYS_FILLED | REPLY: Form(),
    lib.VKS_WORKER_READY: Form("vks_worker_ready"),
    lib.VKS_WORKER_RING_BROKEN: Form("vks_worker_ring_broken"),
    lib.VKS_WORKER_KEYS_LOADED: Form("vks_worker_keys_loaded"),
    lib.VKS_WORKER_SET_ASIDE: Form("vks_worker_set_aside"),
    lib.VKS_WORKER_BUDGET_LOW: Form(),
    lib.VKS_WORKER_ORDER: Form("vks_worker_order"),
    lib.VKS_WORKER_KEYS_WANTED: Form("vks_worker_keys_wanted"),
}

_worker_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A request that workers died over, answered as an internal error instead of a further run."""

    sequence: int
    op: int
    deaths: int
    key_id: bytes


class Worker:
    """A running worker of one guest. ``keys.load`` and :meth:`publish` are for one thread at a time."""

    def __init__(
        self,
        *,
        loop: Loop,
        custodian: Custodian,
        token: Token | None,
        guest: str,
        control: socket.socket,
        process: Process,
        worker_id: int,
        data_plane: DataPlane,
        on_ended: Callable[["Worker"], None],
        on_set_aside: Callable[[SetAside], None],
        on_budget_low: Callable[[], None],
        desk: OrderDesk,
        key_desk: KeyDesk,
    ) -> None:
        """Take over a freshly forked process; use :func:`start_worker`."""
        self.guest = guest
        self.worker_id = worker_id
        self.poll_us = data_plane.poll_us
        self.pid = process.pid
        self.secret_memory = ""
        self.sandbox = ""
        self.engines: dict[str, str] = {}
        self.named: frozenset[KeyVersion] = frozenset()
        """Versions in the snapshot in force."""
        self.keys = KeyChannel(custodian, guest, worker_id, self.kill)
        self.generation = 0
        self.ended = process.ended
        self._process = process
        self._loop = loop
        self._custodian = custodian
        self._token = token
        self._on_ended = on_ended
        self._on_set_aside = on_set_aside
        self._on_budget_low = on_budget_low
        self._desk = desk
        self._key_desk = key_desk
        self._has_order = False
        self._wants_keys = False
        self._ready: Future[None] = Future()
        loop.add_reader(process.pidfd, self._process_ended)
        self._connection = Connection(
            loop,
            control,
            FORMS,
            name=f"worker of {guest}",
            on_event=self._event,
            on_lost=lambda _reason: self.kill(),
        )

    @property
    def control_fd(self) -> int:
        """Our end of its control socket: it ends when nobody has that any more."""
        return self._connection.fileno()

    def post(self, message_type: int, body: bytes = b"", fds: Sequence[int] = ()) -> Future[Message]:
        """Send a ring or memory message without waiting; replies come in the order of the messages."""
        return self._connection.post(message_type, body, fds)

    def wait_ready(self) -> None:
        """Wait for its first message.

        Raises:
            ProgramLostError: it did not come.
        """
        try:
            self._ready.result(READY_TIMEOUT_S)
        except FutureTimeoutError:
            raise ProgramLostError(f"worker of {self.guest} did not become ready") from None

    def publish(self, content: bytes, versions: frozenset[KeyVersion]) -> "Publication":
        """Send a snapshot; it is in force, or the worker is dead, when its ``settle`` has returned.

        Args:
            content: the snapshot's bytes.
            versions: the key versions in it; the worker wipes all others.
        """
        body = pack("vks_worker_snapshot", {"generation": self.generation + 1, "size_bytes": len(content)})
        fd = seal_snapshot(content)
        try:
            reply = self._connection.post(lib.VKS_WORKER_SNAPSHOT, body, [fd])
        finally:
            os.close(fd)
        return Publication(self, reply, versions, time.monotonic() + SNAPSHOT_TIMEOUT_S)

    def reach(self, keys: Sequence[PermittedKey]) -> None:
        """Have the token take its requests for those of *keys* that lie there, and for no others, from now on."""
        if self._token and not self.ended.is_set():
            self._token.allow(self.worker_id, keys, self._give_channel)

    def _give_channel(self, fd: int) -> None:
        self.post(lib.VKS_WORKER_TOKEN, b"", [fd])

    def in_force(self, versions: frozenset[KeyVersion]) -> None:
        """Note that it acknowledged a snapshot."""
        self.generation += 1
        self.named = versions
        self.keys.keep(versions)

    def fill(self, loads: Sequence[KeyLoad]) -> list[str]:
        """Have keys brought that it asked for; see :class:`KeyChannel`."""
        return self.keys.fill(loads)

    def note_filled(self) -> None:
        """Say that the keys it asked for have come, or do not come now."""
        self._wants_keys = False
        self.post(lib.VKS_WORKER_KEYS_FILLED)

    def kill(self) -> None:
        """Send SIGKILL; it has ended when ``ended`` is set."""
        self._process.kill()

    def wait_ended(self) -> None:
        """Wait until the process is gone.

        Raises:
            ProgramLostError: the kernel does not let it die: it must not be succeeded.
        """
        if not self.ended.wait(DEATH_TIMEOUT_S):
            raise ProgramLostError(f"worker of {self.guest}, pid {self.pid}, does not die")

    def close(self) -> None:
        """Give back what an ended worker leaves behind; not on the loop's thread."""
        self._connection.close("worker ended")
        self._custodian.close_channel(self.worker_id)
        if self._token:
            self._token.close_channel(self.worker_id)

    def _process_ended(self) -> None:
        """On the loop's thread, when the pidfd says exit."""
        self._loop.remove_reader(self._process.pidfd)
        self._process.close(reap=False)
        error = ProgramLostError(f"worker of {self.guest} ended")
        if not self._ready.done():
            self._ready.set_exception(error)
        self.keys.close(error)
        self._connection.close(str(error))
        self._on_ended(self)

    def _event(self, message: Message) -> None:
        """On the loop's thread: what the worker says unasked."""
        body: Any = message.body
        if message.type == lib.VKS_WORKER_READY and not self._ready.done():
            self.secret_memory = SECRET_MEMORY.get(body.secret_memory, "unknown")
            self.sandbox = describe(body.sandbox)
            self.engines = engines(body.accelerated)
            self._ready.set_result(None)
        elif message.type == lib.VKS_WORKER_KEYS_LOADED:
            self.keys.loaded(body)
        elif message.type == lib.VKS_WORKER_SET_ASIDE:
            self._on_set_aside(SetAside(body.request_sequence, body.op, body.deaths, bytes(body.key_id)))
        elif message.type == lib.VKS_WORKER_BUDGET_LOW:
            self._on_budget_low()
        elif message.type == lib.VKS_WORKER_ORDER and not self._has_order and (order := checked_order(body)):
            self._has_order = True
            self._desk.take(self.guest, order, lambda ordered: self._answer(order, ordered))
        elif message.type == lib.VKS_WORKER_KEYS_WANTED and not self._wants_keys and (wanted := wanted_keys(body)):
            self._wants_keys = True
            self._key_desk.take(self, wanted)
        elif message.type == lib.VKS_WORKER_RING_BROKEN:
            log.warning("guest %s: queue %d broken: %s", self.guest, body.queue, os.strerror(abs(body.error)))
        else:
            self._connection.close(f"worker of {self.guest} sent an event out of turn")

    def _answer(self, order: Order, ordered: Ordered) -> None:
        """On the desk's thread; a worker that is gone is succeeded by one that asks again."""
        self._has_order = False
        self.post(lib.VKS_WORKER_ORDERED, pack_ordered(order, ordered))


def wanted_keys(body: Any) -> tuple[KeyVersion, ...]:
    """Read ``struct vks_worker_keys_wanted``; nothing where it breaks its form."""
    if not 0 < body.count <= lib.VKS_KEYS_WANTED_MAX:
        return ()
    return tuple((bytes(key.key_id), int(key.version)) for key in body.key[0 : body.count])


class Publication:
    """A snapshot on its way."""

    def __init__(
        self, worker: Worker, reply: Future[Message], versions: frozenset[KeyVersion], deadline_s: float
    ) -> None:
        """Take what :meth:`Worker.publish` knows."""
        self._worker = worker
        self._reply = reply
        self._versions = versions
        self._deadline_s = deadline_s

    def settle(self) -> bool:
        """Wait for the acknowledgement, or kill the worker; nothing older can start any more on return.

        Returns:
            Whether it acknowledged.
        """
        worker = self._worker
        try:
            self._reply.result(max(0.0, self._deadline_s - time.monotonic()))
        except (FutureTimeoutError, ProgramError) as error:
            log.error("worker of %s did not take its snapshot, killed: %s", worker.guest, str(error) or "no answer")
            worker.kill()
            worker.wait_ended()
            return False
        worker.in_force(self._versions)
        return True


def start_worker(
    *,
    loop: Loop,
    zygote: Zygote,
    custodian: Custodian,
    token: Token | None,
    guest: str,
    state_fd: int,
    data_plane: DataPlane,
    on_ended: Callable[[Worker], None],
    on_set_aside: Callable[[SetAside], None],
    on_budget_low: Callable[[], None],
    desk: OrderDesk,
    key_desk: KeyDesk,
) -> Worker:
    """Fork a worker, connect it to the custodian and wait until it is ready.

    Args:
        loop: watches it.
        zygote: forks it.
        custodian: gets the other end of its key channel.
        token: where keys may lie that are not the vault's own.
        guest: whose worker it is.
        state_fd: the guest's state memory, lent.
        data_plane: how it runs.
        on_ended: called on the loop's thread when the process has ended.
        on_set_aside: called on the loop's thread when it has set a request aside.
        on_budget_low: called on the loop's thread when little is left of what was leased of a budget.
        desk: takes its guest's orders.
        key_desk: brings keys that its requests wait for.

    Raises:
        ProgramError: it could not be started; *on_ended* is called if there was a process.
    """
    worker_id = next(_worker_ids)
    control, worker_control = control_pair()
    channel, worker_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with worker_control, channel, worker_channel:
        try:
            process = zygote.spawn(worker_id, worker_control.fileno(), worker_channel.fileno(), state_fd, data_plane)
        except ProgramError:
            control.close()
            raise
        # A worker that takes nothing must not block the custodian.
        channel.setblocking(False)
        # The custodian's end stays with us as well, for a successor: who has it can send keys but not receive any.
        custodian.open_channel(worker_id, channel.detach())
    worker = Worker(
        loop=loop,
        custodian=custodian,
        token=token,
        guest=guest,
        control=control,
        process=process,
        worker_id=worker_id,
        data_plane=data_plane,
        on_ended=on_ended,
        on_set_aside=on_set_aside,
        on_budget_low=on_budget_low,
        desk=desk,
        key_desk=key_desk,
    )
    try:
        worker.wait_ready()
    except ProgramError:
        worker.kill()
        raise
    return worker
