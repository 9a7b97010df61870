# SPDX-License-Identifier: Apache-2.0
"""keystored: puts the parts together, in the order in which they need each other, and takes them apart again.

Threads: this one waits for the signal to end; ``control`` runs the control API; ``vhost-user`` talks to front-ends;
``workers`` reads control sockets and watches processes; ``audit-drain`` stores audit records; ``replace-worker`` starts
workers; ``orders`` carries out what guests ask for of keys of their own; ``token`` looks after vks-hsm, where keys lie
in a token; ``event-watch`` finds out what operators should know, ``event-NAME`` tells one handler.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from vmm_keystore.audit.journal import JournalSink
from vmm_keystore.audit.keeper import AuditKeeper
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.audit.use_counts import UseCounts
from vmm_keystore.control.access import Access, AdminRole, parse_access
from vmm_keystore.control.admission import admit_others, check_reach
from vmm_keystore.control.app import make_app
from vmm_keystore.control.server import ControlServer
from vmm_keystore.errors import DaemonError
from vmm_keystore.events.own_sights import OwnSights
from vmm_keystore.identity import become, choose_identity, give_folder, log_process
from vmm_keystore.process import CONTROL_FD_NAME, harden, log_to_stderr, notify
from vmm_keystore.service.audit import Audit
from vmm_keystore.service.audit_key import AuditKey
from vmm_keystore.service.death_tally import DeathTally
from vmm_keystore.service.guest_keys import KeyLabels, StoreGuestKeys
from vmm_keystore.service.keystore import Keystore
from vmm_keystore.service.ports import EventHandler, GuestOrders
from vmm_keystore.settings import Settings
from vmm_keystore.store.audit_key import find_audit_key, find_retired_audit_key
from vmm_keystore.store.keys import has_keys, has_token_keys
from vmm_keystore.store.sealed import root_file_name
from vmm_keystore.store.state_dir import StateDir
from vmm_keystore.store.store import Store
from vmm_keystore.vhost_user.server import Server
from vmm_keystore.watchdog import CallSoon, Watchdog, watchdog_period_s
from vmm_keystore.workers.activated import ActivatedPrograms
from vmm_keystore.workers.custodian import PROGRAM as CUSTODIAN
from vmm_keystore.workers.custodian import Custodian
from vmm_keystore.workers.data_plane import POLL_WORKERS_MAX, DataPlane, make_board
from vmm_keystore.workers.descriptor_store import DescriptorStore
from vmm_keystore.workers.errors import ProgramError
from vmm_keystore.workers.handler import PROGRAM as HANDLER
from vmm_keystore.workers.handler import HandlerPrograms
from vmm_keystore.workers.holder import Holder
from vmm_keystore.workers.hsm import Hsm, open_hsm
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.orders import OrderDesk
from vmm_keystore.workers.pool import GuestPool
from vmm_keystore.workers.programs import LIBEXEC, FirstPrograms, Process, RightfulPrograms, start_program
from vmm_keystore.workers.root_file import RootFile
from vmm_keystore.workers.root_openers import Openers
from vmm_keystore.workers.root_secret import ask_for_passphrase, open_credential
from vmm_keystore.workers.secret_file import open_secret
from vmm_keystore.workers.state_memory import default_runtime_dir, lock_runtime_dir, prepare_runtime_dir
from vmm_keystore.workers.systemd_store import SystemdStore, take_listen_fds
from vmm_keystore.workers.token import Token
from vmm_keystore.workers.tpm import open_tpm
from vmm_keystore.workers.zygote import PROGRAM as ZYGOTE
from vmm_keystore.workers.zygote import Zygote

log = logging.getLogger("keystored")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
SWITCH_INTERVAL_S = 0.001
"""QEMU waits for some answers with its main loop: no other thread may keep the interpreter for the usual 5 ms."""


class StopRequested(BaseException):
    """Like KeyboardInterrupt: a signal asked for the end, in the main thread, wherever it is."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.leave = number == signal.SIGUSR2


@dataclass
class Ending:
    """How everything is taken apart: *leave* has the guests' workers go on, for the next keystored."""

    leave: bool = False


def serve(settings: Settings) -> None:
    """Run the daemon until SIGTERM, SIGINT or SIGUSR2; it then ends cleanly and returns.

    SIGUSR2 leaves the guests' workers and front-ends to the next keystored on the same folders; so does every signal
    where systemd keeps the descriptors, which knows whether there will be a next one.

    Raises:
        KeystoreError: it cannot start; nothing of it is left running.
    """
    log_to_stderr()
    listen_fds = take_listen_fds()
    control_fd = listen_fds.pop(CONTROL_FD_NAME, None)
    harden()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    for number in STOP_SIGNALS:
        signal.signal(number, stop_requested)
    ending = Ending()

    def open_store(loop: Loop, folder: Path) -> DescriptorStore:
        return SystemdStore(listen_fds) if settings.systemd_store else Holder(loop, folder)

    with ExitStack() as stack:
        try:
            runtime_dir = settings.runtime_dir or default_runtime_dir(settings.state_dir)
            secret = settings.root_secret
            secret_fd = open_secret(secret) if secret else open_credential(os.environ)
            openers = Openers(secret_fd, open_tpm(settings.tpm), open_hsm(settings.hsm, os.environ))
            # As root, where that starts us: the file may be nobody else's to read.
            control_socket = (settings.control_socket,) if settings.control_socket else ()
            sights = OwnSights((settings.state_dir, runtime_dir, *control_socket))
            handlers = named_handlers(settings, sights)
            first = give_up_rights(stack, settings, (settings.state_dir, runtime_dir))
            who_by_role = {AdminRole[name.upper()]: who for name, who in settings.roles.items()}
            access = parse_access(who_by_role, {0, os.geteuid()})
            check_reach(access, settings.control_socket, settings.state_dir)
            loops = start(
                stack,
                first,
                settings,
                runtime_dir=runtime_dir,
                open_store=open_store,
                ending=ending,
                access=access,
                openers=openers,
                handlers=handlers,
                sights=sights,
                control_fd=control_fd,
            )
            period_s = watchdog_period_s(os.environ)
            wait_for_signal(Watchdog(loops, period_s) if period_s else None)
        except StopRequested as request:
            ending.leave = request.leave or settings.systemd_store
            notify("STOPPING=1")
            log.info("keystored stopping%s", "; workers go on for the next one" if ending.leave else "")
    log.info("keystored stopped")


def wait_for_signal(watchdog: Watchdog | None) -> None:
    """Sleep until a signal's handler leaves; also woken when the kernel gives the signal to another thread."""
    woken, wake = socket.socketpair()
    with woken, wake:
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        woken.settimeout(watchdog.period_s if watchdog else None)
        try:
            while True:
                if watchdog:
                    watchdog.beat()
                with suppress(TimeoutError):
                    woken.recv(1)
        finally:
            signal.set_wakeup_fd(-1)


def stop_requested(number: int, _frame: FrameType | None) -> None:
    """Leave what is under way; everything is taken apart in order, unless a second signal cuts that short."""
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_DFL)
    raise StopRequested(number)


def give_up_rights(stack: ExitStack, settings: Settings, folders: Sequence[Path]) -> RightfulPrograms:
    """Start the programs that need root's rights, then be without them; *stack* ends programs that nobody took.

    Where systemd starts them there is nothing to start, and no right to give up.
    """
    identity = choose_identity(settings.user)
    for folder in folders:
        give_folder(folder, identity)
    first: RightfulPrograms
    if settings.program_sockets is not None:
        first = ActivatedPrograms(settings.program_sockets)
    else:
        try:
            first = FirstPrograms((CUSTODIAN, ZYGOTE), identity.uid)
        except ProgramError as error:
            raise DaemonError(str(error)) from error
    stack.callback(first.close)
    become(identity, (*folders, LIBEXEC))
    # Another user's process is dumpable again.
    harden()
    return first


def open_data_plane(stack: ExitStack, settings: Settings) -> DataPlane:
    """How workers run: settings, and a board where they poll."""
    processors = len(os.sched_getaffinity(0))
    board_fd = -1
    if settings.poll_us:
        board_fd = make_board()
        stack.callback(os.close, board_fd)
    return DataPlane(
        poll_us=settings.poll_us,
        poll_workers=settings.poll_workers or min(max(processors // 2, 1), POLL_WORKERS_MAX),
        board_fd=board_fd,
        accelerators=settings.accelerators,
        nonce_pool=settings.nonce_pool,
        rings=settings.rings,
        cpus=settings.worker_cpus,
    )


def start(
    stack: ExitStack,
    first: RightfulPrograms,
    settings: Settings,
    *,
    runtime_dir: Path,
    open_store: Callable[[Loop, Path], DescriptorStore],
    ending: Ending,
    access: Access,
    openers: Openers,
    handlers: Sequence[EventHandler],
    sights: OwnSights,
    control_fd: int | None,
) -> dict[str, CallSoon]:
    """Start every part; *stack* takes apart what was started, as *ending* says.

    *control_fd* is the control socket, where systemd listens on it.

    Returns:
        The loops that must answer as long as keystored is well, by their threads' names.
    """
    folder = stack.enter_context(StateDir(settings.state_dir))
    control_socket = settings.control_socket or folder.control_socket
    store = stack.enter_context(Store(folder.database))
    labels = KeyLabels(store)
    audit = AuditLog(folder.audit, labels.find)
    stack.callback(audit.close)
    if settings.journal is not None:
        copy_to_journal(stack, audit, settings.journal)
    prepare_runtime_dir(runtime_dir)
    stack.callback(os.close, lock_runtime_dir(runtime_dir))

    server = start_server(stack)
    loop = Loop("workers")
    loop.start()
    stack.callback(loop.stop)
    descriptors = open_store(loop, runtime_dir)
    stack.callback(lambda: descriptors.close(leave=ending.leave))
    # A start that fails is no reason to take a device away from a guest that has it.
    ending.leave = descriptors.has_inherited
    kek = RootFile(folder.root_key)
    custodian = Custodian(loop, lambda: open_root(store, kek), openers, first)
    custodian.start()
    stack.callback(custodian.stop)
    unlock(custodian, store)
    audit_key = AuditKey(store, custodian)
    keeper = AuditKeeper(audit, audit_key)
    keeper.start()
    # After the pool's end, which drains the last records, and before the custodian's.
    stack.callback(keeper.stop)
    token = open_token(stack, loop, store, openers.hsm)
    zygote = Zygote(loop, first)
    zygote.start()
    stack.callback(zygote.stop)
    uses = UseCounts(audit, labels.find)
    deaths = DeathTally()
    sights.guests = StoreGuestKeys(store).guests
    pool = GuestPool(
        loop=loop,
        custodian=custodian,
        token=token,
        zygote=zygote,
        keys=StoreGuestKeys(store),
        sink=uses,
        store=descriptors,
        runtime_dir=runtime_dir,
        data_plane=open_data_plane(stack, settings),
        server=server,
        on_death=deaths.note,
    )
    stack.callback(lambda: pool.stop(leave=ending.leave))
    pool.start()
    # Before the pool's end: what a front-end says from then on is for the next keystored.
    stack.callback(lambda: server.stop(leave=True) if ending.leave else None)
    keystore = Keystore(
        store,
        custodian,
        pool,
        Audit(keeper, audit_key.public, pool),
        labels,
        uses=uses,
        kek=kek,
        handlers=handlers,
        deaths=deaths,
        token=token,
        rules=settings.rules,
        histograms_max=settings.histograms_max,
    )
    stack.callback(keystore.close)
    keystore.recover()
    take_orders(stack, pool.desk, keystore.own_keys)
    control = ControlServer(make_app(keystore, access), control_socket, admit_others(access), control_fd)
    control.start()
    stack.callback(control.stop)
    log_process()
    warn_of_open_memory(custodian)
    log.info("keystored ready: control %s, guests %d", control_socket, pool.guest_count)
    notify("READY=1")
    return {"control": control.call_soon, "vhost-user": server.reactor.call_soon, "workers": loop.call_soon}


def start_server(stack: ExitStack) -> Server:
    """Talk to front-ends, once guests are added; *stack* ends that."""
    server = Server()
    server.start()
    stack.callback(server.stop)
    return server


def take_orders(stack: ExitStack, desk: OrderDesk, orders: GuestOrders) -> None:
    """Carry out what guests ask for; *stack* ends that before anything that an order needs."""
    desk.start(orders)
    stack.callback(desk.stop)


def named_handlers(settings: Settings, sights: OwnSights) -> tuple[EventHandler, ...]:
    """The operators' handlers that a file names; none without it."""
    if settings.event_handlers is None:
        return ()
    # An HTTP library, which would make every other start slower.
    from vmm_keystore.events.handler_file import read_handlers  # noqa: PLC0415

    activated = ActivatedPrograms(settings.program_sockets) if settings.program_sockets else None

    def start() -> tuple[Process, socket.socket]:
        return activated.take(HANDLER) if activated else start_program(HANDLER, arguments=sights.words())

    return read_handlers(settings.event_handlers, HandlerPrograms(start).run)


def copy_to_journal(stack: ExitStack, audit: AuditLog, journal: Path) -> None:
    """Have systemd's journal get a copy of the audit log; *stack* ends that."""
    sink = JournalSink(audit, journal)
    sink.start()
    stack.callback(sink.stop)


def open_root(store: Store, kek: RootFile) -> tuple[int, bool]:
    """Open the KEK file that everything is sealed under; one is made only where nothing was sealed with any."""
    with store.read() as connection:
        sealed = find_audit_key(connection) or find_retired_audit_key(connection)
        may_create = not has_keys(connection) and sealed is None
        name = root_file_name(connection)
    if name:
        kek.finish(name)
    return kek.open(may_create=may_create)


def unlock(custodian: Custodian, store: Store) -> None:
    """Ask for the passphrase where there is somebody to ask; a vault may stay locked, but not a new one."""
    if not ask_for_passphrase(custodian, needed=not has_audit_key(store)):
        log.warning("the vault is locked, guests wait for their keys; hint: vmm-keystore root unlock")


def open_token(stack: ExitStack, loop: Loop, store: Store, hsm: Hsm | None) -> Token | None:
    """The token that keys may lie in, which *stack* lets go; it is asked at once only where some do."""
    if hsm is None:
        return None
    token = Token(loop, hsm.place, hsm.pin, hsm.environment)
    stack.callback(token.stop)
    with store.read() as connection:
        if has_token_keys(connection):
            token.start()
    return token


def has_audit_key(store: Store) -> bool:
    """Whether the audit log has a key; a new store, or a restored one, gets it at its first start."""
    with store.read() as connection:
        return find_audit_key(connection) is not None


def warn_of_open_memory(custodian: Custodian) -> None:
    """Say in the log where keys cannot be kept from root."""
    if not custodian.status().is_hidden_from_root:
        log.warning(
            "this kernel has memfd_secret off: keys are in locked memory, which root can read; "
            "hint: boot with secretmem.enable=1"
        )
