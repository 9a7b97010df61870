# SPDX-License-Identifier: Apache-2.0
"""keystored: puts the parts together, in the order in which they need each other, and takes them apart again.

Threads: this one waits for the signal to end; ``control`` runs the control API; ``vhost-user`` talks to front-ends;
``workers`` reads control sockets and watches processes; ``audit-drain`` stores audit records; ``replace-worker`` starts
successors of dead workers.
"""

import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from vmm_keystore.audit.journal import JournalSink
from vmm_keystore.audit.keeper import AuditKeeper
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.control.app import make_app
from vmm_keystore.control.server import ControlServer
from vmm_keystore.errors import DaemonError
from vmm_keystore.identity import become, choose_identity, give_folder, log_process
from vmm_keystore.process import harden, log_to_stderr, notify
from vmm_keystore.service.audit import Audit
from vmm_keystore.service.audit_key import AuditKey
from vmm_keystore.service.guest_keys import KeyLabels, StoreGuestKeys
from vmm_keystore.service.keystore import Keystore
from vmm_keystore.store.audit_key import find_audit_key
from vmm_keystore.store.keys import list_keys
from vmm_keystore.store.state_dir import StateDir
from vmm_keystore.store.store import Store
from vmm_keystore.vhost_user.server import Server
from vmm_keystore.workers.custodian import PROGRAM as CUSTODIAN
from vmm_keystore.workers.custodian import Custodian, open_kek
from vmm_keystore.workers.errors import ProgramError
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.pool import GuestPool
from vmm_keystore.workers.programs import LIBEXEC, FirstPrograms
from vmm_keystore.workers.state_memory import default_runtime_dir, prepare_runtime_dir
from vmm_keystore.workers.zygote import PROGRAM as ZYGOTE
from vmm_keystore.workers.zygote import Zygote

log = logging.getLogger("keystored")

SWITCH_INTERVAL_S = 0.001
"""QEMU waits for some answers with its main loop: no other thread may keep the interpreter for the usual 5 ms."""


class StopRequested(BaseException):
    """Like KeyboardInterrupt: SIGTERM or SIGINT came, in the main thread, wherever it is."""


def serve(
    state_dir: Path,
    control_socket: Path | None = None,
    runtime_dir: Path | None = None,
    journal: Path | None = None,
    *,
    poll_us: int = 0,
    user: str | None = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; it then ends cleanly and returns.

    Args:
        state_dir: where store, KEK and audit log live; made private on first start.
        control_socket: of the control API; in *state_dir* when None.
        runtime_dir: on tmpfs, for state memory; chosen when None.
        journal: socket of a systemd journal that gets a copy of the audit log.
        poll_us: how long a worker looks at its ring before it sleeps.
        user: whom root is to become; chosen when None.

    Raises:
        KeystoreError: it cannot start; nothing of it is left running.
    """
    log_to_stderr()
    harden()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_requested)
    with ExitStack() as stack:
        try:
            runtime_dir = runtime_dir or default_runtime_dir(state_dir)
            first = give_up_rights(stack, user, state_dir, runtime_dir)
            start(stack, first, state_dir, control_socket, runtime_dir=runtime_dir, journal=journal, poll_us=poll_us)
            wait_for_signal()
        except StopRequested:
            notify("STOPPING=1")
            log.info("keystored stopping")
    log.info("keystored stopped")


def wait_for_signal() -> None:
    """Sleep until a signal's handler leaves; also woken when the kernel gives the signal to another thread."""
    woken, wake = socket.socketpair()
    with woken, wake:
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        try:
            while True:
                woken.recv(1)
        finally:
            signal.set_wakeup_fd(-1)


def stop_requested(_number: int, _frame: FrameType | None) -> None:
    """Leave what is under way; everything is taken apart in order, unless a second signal cuts that short."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    raise StopRequested


def give_up_rights(stack: ExitStack, user: str | None, state_dir: Path, runtime_dir: Path) -> FirstPrograms:
    """Start the programs that need root's rights, then be without them; *stack* ends programs that nobody took."""
    identity = choose_identity(user)
    give_folder(state_dir, identity)
    give_folder(runtime_dir, identity)
    try:
        first = FirstPrograms((CUSTODIAN, ZYGOTE), identity.uid)
    except ProgramError as error:
        raise DaemonError(str(error)) from error
    stack.callback(first.close)
    become(identity, (state_dir, runtime_dir, LIBEXEC))
    # Another user's process is dumpable again.
    harden()
    return first


def start(
    stack: ExitStack,
    first: FirstPrograms,
    state_dir: Path,
    control_socket: Path | None,
    *,
    runtime_dir: Path,
    journal: Path | None = None,
    poll_us: int = 0,
) -> None:
    """Start every part; *stack* takes apart what was started."""
    folder = stack.enter_context(StateDir(state_dir))
    control_socket = control_socket or folder.control_socket
    store = stack.enter_context(Store(folder.database))
    labels = KeyLabels(store)
    audit = AuditLog(folder.audit, labels.find)
    stack.callback(audit.close)
    if journal is not None:
        sink = JournalSink(audit, journal)
        sink.start()
        stack.callback(sink.stop)
    prepare_runtime_dir(runtime_dir)

    def open_root() -> tuple[int, bool]:
        with store.read() as connection:
            may_create = not list_keys(connection) and find_audit_key(connection) is None
            return open_kek(folder.root_key, may_create=may_create)

    server = Server()
    server.start()
    stack.callback(server.stop)
    loop = Loop("workers")
    loop.start()
    stack.callback(loop.stop)
    custodian = Custodian(loop, open_root, first)
    custodian.start()
    stack.callback(custodian.stop)
    audit_key = AuditKey(store, custodian)
    keeper = AuditKeeper(audit, audit_key)
    keeper.start()
    # After the pool's end, which drains the last records, and before the custodian's.
    stack.callback(keeper.stop)
    zygote = Zygote(loop, first)
    zygote.start()
    stack.callback(zygote.stop)
    pool = GuestPool(
        loop=loop,
        custodian=custodian,
        zygote=zygote,
        keys=StoreGuestKeys(store),
        sink=audit,
        runtime_dir=runtime_dir,
        poll_us=poll_us,
        server=server,
    )
    stack.callback(pool.stop)
    pool.start()
    keystore = Keystore(store, custodian, pool, Audit(keeper, audit_key.public, pool), labels)
    stack.callback(keystore.close)
    keystore.recover()
    control = ControlServer(make_app(keystore, frozenset({0, os.geteuid()})), control_socket)
    control.start()
    stack.callback(control.stop)
    log_process()
    if not custodian.status().is_hidden_from_root:
        log.warning(
            "this kernel has memfd_secret off: keys are in locked memory, which root can read; "
            "hint: boot with secretmem.enable=1"
        )
    log.info("keystored ready: control %s, guests %d", control_socket, pool.guest_count)
    notify("READY=1")
