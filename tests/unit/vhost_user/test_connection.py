# SPDX-License-Identifier: Apache-2.0
"""Connections and listeners over real sockets: who may connect, what a breach costs, and that no descriptor stays."""

import gc
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from framework.echo_device import EchoDevice, EchoFactory
from framework.frontend import FrontEnd, Msg
from framework.guest_ram import GuestRam
from framework.split_ring import Segment, SplitRing

from vmm_keystore.vhost_user import connection as connection_module
from vmm_keystore.vhost_user.backend import Session
from vmm_keystore.vhost_user.errors import SocketInUseError
from vmm_keystore.vhost_user.listener import GuestSocket
from vmm_keystore.vhost_user.server import Server

# ADD_MEM_REG of a page at guest address 0.
SLOT = bytes(16) + (4096).to_bytes(8, "little") + bytes(16)


@pytest.fixture
def factory() -> EchoFactory:
    return EchoFactory()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path, server: Server, factory: EchoFactory) -> Path:
    server.add_guest(GuestSocket("web1", tmp_path / "web1.sock"), factory)
    return tmp_path / "web1.sock"


@pytest.fixture
def ram() -> Iterator[GuestRam]:
    with GuestRam(1 << 20) as memory:
        yield memory


def on_loop(server: Server, function: Callable[[], object]) -> None:
    """Run *function* on the loop's thread, after whatever is queued there."""
    done = threading.Event()

    def run() -> None:
        try:
            function()
        finally:
            done.set()

    server.reactor.call_soon(run)
    assert done.wait(10)


def running(stack: ExitStack, path: Path, ram: GuestRam) -> tuple[FrontEnd, SplitRing]:
    """A front-end with a ring that runs."""
    ring = stack.enter_context(SplitRing(ram, 64))
    frontend = stack.enter_context(FrontEnd.connect(path, ram))
    frontend.negotiate()
    frontend.start(ring)
    return frontend, ring


# -- who may connect -------------------------------------------------------------------------------------------------


def test_the_socket_has_its_mode_from_the_start(
    tmp_path: Path, server: Server, factory: EchoFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The umask of the daemon does not matter, neither for the final mode nor in between."""
    between = []
    monkeypatch.setattr(os, "chown", lambda path, *_, **__: between.append(stat.S_IMODE(path.stat().st_mode)))
    for umask, mode in ((0o000, 0o600), (0o077, 0o660), (0o777, 0o600)):
        old = os.umask(umask)
        try:
            server.add_guest(GuestSocket("g", tmp_path / "g.sock", mode=mode), factory)
        finally:
            os.umask(old)
        found = (tmp_path / "g.sock").stat()
        assert stat.S_IMODE(found.st_mode) == mode
        assert found.st_uid == os.geteuid()
        server.remove_guest("g")
        assert not (tmp_path / "g.sock").exists()
    assert between == [0o600, 0o600, 0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_socket_has_its_owner(tmp_path: Path, server: Server, factory: EchoFactory) -> None:
    server.add_guest(GuestSocket("g", tmp_path / "g.sock", uid=65534, gid=65533), factory)
    found = (tmp_path / "g.sock").stat()
    assert (found.st_uid, found.st_gid) == (65534, 65533)


def test_a_path_that_is_taken_is_left_alone(tmp_path: Path, server: Server, path: Path, factory: EchoFactory) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SocketInUseError, match="not a socket"):
        server.add_guest(GuestSocket("file", tmp_path / "file"), factory)
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(SocketInUseError, match="served by another"):
        server.add_guest(GuestSocket("other", path), factory)
    with pytest.raises(OSError, match="No such file"):
        server.add_guest(GuestSocket("nowhere", tmp_path / "nowhere" / "g.sock"), factory)


def test_a_socket_left_by_a_dead_daemon_is_replaced(tmp_path: Path, server: Server, factory: EchoFactory) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "g.sock"))
    server.add_guest(GuestSocket("g", tmp_path / "g.sock"), factory)
    assert server.connected("g") is False


def test_a_socket_that_is_not_ours_any_more_is_not_removed(path: Path, server: Server) -> None:
    path.unlink()
    path.write_text("somebody else's")
    server.remove_guest("web1")
    assert path.read_text() == "somebody else's"


def test_the_peer_is_pinned(path: Path, ram: GuestRam, server: Server, factory: EchoFactory) -> None:
    """Pid and uid as the kernel knows them, and a pidfd that names the very process."""
    with FrontEnd.connect(path, ram) as frontend:
        frontend.negotiate()
        peer = factory.devices[0].session.peer
        assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
        info = Path(f"/proc/self/fdinfo/{peer.pidfd}").read_text()
        assert f"Pid:\t{os.getpid()}\n" in info
        assert server.connected("web1")


def test_a_foreign_uid_is_refused(tmp_path: Path, ram: GuestRam, server: Server, factory: EchoFactory) -> None:
    server.add_guest(GuestSocket("g", tmp_path / "g.sock", mode=0o666, uids=frozenset({os.geteuid() + 1})), factory)
    with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
        assert frontend.hung_up()
    assert factory.devices == []


def test_a_second_front_end_is_refused_while_one_lives(path: Path, ram: GuestRam, factory: EchoFactory) -> None:
    with ExitStack() as stack:
        frontend, ring = running(stack, path, ram)
        for _ in range(3):
            with FrontEnd.connect(path, ram) as second:
                assert second.hung_up()
        assert len(factory.devices) == 1
        ring.publish(ring.add([Segment(ram.alloc(4), 4)]))
        ring.kick()
        assert len(ring.wait()) == 1
        assert frontend.ask(Msg.GET_FEATURES)


def test_a_guest_connects_again_at_once(path: Path, ram: GuestRam, factory: EchoFactory) -> None:
    """Re-plug: the end of the first connection and the second one may be noticed in either order."""
    for number in range(50):
        with FrontEnd.connect(path, ram) as frontend:
            frontend.negotiate()
        assert len(factory.devices) == number + 1
    with FrontEnd.connect(path, ram) as frontend:
        frontend.negotiate()
        assert [device.closed for device in factory.devices[:-1]] == ["front-end closed the connection"] * 50


def test_guests_do_not_notice_each_other(tmp_path: Path, path: Path, ram: GuestRam, server: Server) -> None:
    """A breach and a device that does not answer cost their own guest only."""
    stuck = EchoFactory(late=True)
    server.add_guest(GuestSocket("stuck", tmp_path / "stuck.sock"), stuck)
    server.add_guest(GuestSocket("rude", tmp_path / "rude.sock"), EchoFactory())
    with ExitStack() as stack:
        frontend, ring = running(stack, path, ram)
        slow = stack.enter_context(FrontEnd.connect(tmp_path / "stuck.sock", ram))
        slow.negotiate()
        slow.send(Msg.ADD_MEM_REG, SLOT, [ram.fd], flags=9)
        for _ in range(100):
            ring.publish(ring.add([Segment(ram.alloc(4), 4)]))
            ring.kick()
            assert len(ring.wait()) == 1
            with FrontEnd.connect(tmp_path / "rude.sock", ram) as rude:
                rude.send(Msg.SET_LOG_BASE)
                assert rude.hung_up()
            frontend.ask(Msg.GET_FEATURES)
        assert stuck.devices[0].log == ["table 1"]


def test_a_guest_connects_again_while_its_dead_session_waits(tmp_path: Path, ram: GuestRam, server: Server) -> None:
    """A front-end that died during a call is not being read, so that nobody has noticed yet."""
    factory = EchoFactory(late=True)
    server.add_guest(GuestSocket("g", tmp_path / "g.sock"), factory)
    with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
        frontend.negotiate()
        frontend.send(Msg.ADD_MEM_REG, SLOT, [ram.fd])
        while not factory.devices[0].pending:
            os.sched_yield()
    with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
        frontend.negotiate()
        assert factory.devices[0].closed == "front-end closed the connection"


# -- late devices ----------------------------------------------------------------------------------------------------


def test_replies_wait_for_the_device(tmp_path: Path, ram: GuestRam, server: Server) -> None:
    """No reply and no further message before the call is complete."""
    factory = EchoFactory(late=True)
    server.add_guest(GuestSocket("g", tmp_path / "g.sock"), factory)
    with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
        frontend.negotiate()
        device = factory.devices[0]
        frontend.send(Msg.ADD_MEM_REG, SLOT, [ram.fd], flags=9)
        frontend.send(Msg.GET_STATUS)
        while not device.pending:
            os.sched_yield()
        frontend.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            frontend.receive()
        frontend.sock.settimeout(10)
        on_loop(server, device.pending.pop())
        assert (frontend.receive().request, frontend.receive().request) == (Msg.ADD_MEM_REG, Msg.GET_STATUS)


def test_a_device_that_never_answers_loses_its_session(
    tmp_path: Path, ram: GuestRam, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CALL_MS", 20)
    factory = EchoFactory(late=True)
    server.add_guest(GuestSocket("g", tmp_path / "g.sock"), factory)
    with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
        frontend.negotiate()
        frontend.send(Msg.ADD_MEM_REG, SLOT, [ram.fd])
        assert frontend.hung_up()
        on_loop(server, lambda: None)
        assert factory.devices[0].closed == "device did not complete SetMemTable within 20 ms"
        # Its late answer comes to nothing.
        on_loop(server, factory.devices[0].pending.pop())
        on_loop(server, factory.devices[0]._unmap)


def test_a_factory_may_refuse(tmp_path: Path, ram: GuestRam, server: Server) -> None:
    class Refusing:
        def open_session(self, session: Session) -> EchoDevice:
            raise OSError(f"no worker for {session.guest}")

    server.add_guest(GuestSocket("g", tmp_path / "g.sock"), Refusing())
    with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
        assert frontend.hung_up()
    assert server.connected("g") is False


def test_a_factory_that_fails_does_not_lock_its_guest_out(tmp_path: Path, ram: GuestRam, server: Server) -> None:
    factory = EchoFactory()

    class Failing:
        calls = 0

        def open_session(self, session: Session) -> EchoDevice:
            self.calls += 1
            if self.calls == 1:
                raise KeyError
            device = factory.open_session(session)
            if self.calls == 2:
                session.abort("changed its mind")
            return device

    server.add_guest(GuestSocket("g", tmp_path / "g.sock"), Failing())
    for _ in range(2):
        with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
            assert frontend.hung_up()
    with FrontEnd.connect(tmp_path / "g.sock", ram) as frontend:
        frontend.negotiate()
    assert factory.devices[0].closed == "aborted while it was opened"


def test_running_out_of_descriptors_delays_and_does_not_spin(path: Path, ram: GuestRam, server: Server) -> None:
    """A connection that cannot be accepted now is accepted later."""
    on_loop(server, lambda: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as sock:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
        fillers = [os.dup(sock.fileno()) for _ in range(highest)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1, hard))
        try:
            sock.connect(str(path))
            loops = []
            for _ in range(5):
                on_loop(server, lambda: loops.append(time.thread_time()))
                time.sleep(0.01)
            assert loops[-1] - loops[0] < 0.02
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in fillers:
                os.close(fd)
        with FrontEnd(sock.dup(), ram) as frontend:
            frontend.negotiate()


def test_the_device_may_end_the_session(path: Path, ram: GuestRam, server: Server, factory: EchoFactory) -> None:
    with ExitStack() as stack:
        frontend, _ = running(stack, path, ram)
        on_loop(server, lambda: factory.devices[0].session.abort("worker died"))
        assert frontend.hung_up()
        assert factory.devices[0].closed == "worker died"


# -- breaches and deaths ---------------------------------------------------------------------------------------------


def header(request: int, size: int, flags: int = 1) -> bytes:
    return b"".join(n.to_bytes(4, "little") for n in (request, flags, size))


@pytest.mark.parametrize(
    ("data", "fd_count"),
    [
        (header(Msg.GET_FEATURES, 8), 0),
        (header(Msg.GET_FEATURES, 0, flags=0), 0),
        (header(Msg.SET_VRING_CALL, 2**32 - 1), 1),
        (header(999, 0), 3),
        (header(Msg.GET_FEATURES, 0), 1),
        (header(Msg.SET_OWNER, 0), 8),
        (header(Msg.SET_VRING_CALL, 8) + bytes(8), 2),
        (header(Msg.SET_VRING_CALL, 8) + bytes(8), 9),
        (header(Msg.SET_VRING_CALL, 8) + bytes(8), 200),
        (header(Msg.SET_VRING_CALL, 8)[:5], 200),
        (header(Msg.SET_MEM_TABLE, 40) + bytes(40), 1),
        (header(Msg.GET_INFLIGHT_FD, 20) + bytes(20), 0),
        (header(Msg.SET_VRING_KICK, 8) + bytes(8), 1),
    ],
)
def test_a_breach_costs_the_connection_and_no_descriptor(
    data: bytes, fd_count: int, path: Path, ram: GuestRam, factory: EchoFactory
) -> None:
    """Right after the handshake, with the device's state still empty; the next front-end is welcome."""
    with FrontEnd.connect(path, ram) as frontend:
        frontend.negotiate()
        frontend.send_raw(data, [ram.fd] * fd_count)
        assert frontend.hung_up()
        assert "broke the protocol" in str(factory.devices[0].closed)
    with FrontEnd.connect(path, ram) as frontend:
        frontend.negotiate()


def test_descriptors_belong_to_their_message(path: Path, ram: GuestRam) -> None:
    """Two messages in one segment: the second one's descriptor must not be taken for the first one's."""
    with FrontEnd.connect(path, ram) as frontend:
        frontend.negotiate()
        features = header(Msg.GET_FEATURES, 0)
        call = header(Msg.SET_VRING_CALL, 8) + bytes(8)
        frontend.send_raw(features)
        frontend.send_raw(features)
        frontend.send_raw(call, [ram.fd])
        frontend.send_raw(features)
        for _ in range(3):
            assert frontend.receive().request == Msg.GET_FEATURES


def test_a_front_end_that_does_not_read_is_dropped(path: Path, ram: GuestRam) -> None:
    flood = header(Msg.GET_FEATURES, 0) * 200_000
    with FrontEnd.connect(path, ram) as frontend, pytest.raises(ConnectionError):
        frontend.send_raw(flood)


def test_replaced_descriptors_are_closed(path: Path, ram: GuestRam, factory: EchoFactory) -> None:
    with ExitStack() as stack:
        frontend, ring = running(stack, path, ram)
        counts = set()
        device = factory.devices[0]
        assert not os.get_inheritable(device.rings[0].kick_fd)
        for _ in range(20):
            frontend.set_call(ring)
            frontend.set_kick(ring)
            frontend.tell_u64(Msg.SET_VRING_ERR, 0, [ring.err_fd])
            frontend.ask(Msg.GET_FEATURES)
            counts.add(len(list(Path("/proc/self/fd").iterdir())))
        assert len(counts) == 1


def test_descriptors_that_might_block_are_closed_elsewhere(path: Path, ram: GuestRam, server: Server) -> None:
    """A regular file could be on a file system whose server is the front-end: the loop does not wait for it."""
    with tempfile.TemporaryFile() as file, FrontEnd.connect(path, ram) as frontend:
        frontend.negotiate()
        closers: list[str] = []
        start = threading.Thread.start

        def noted(thread: threading.Thread) -> None:
            closers.append(thread.name)
            start(thread)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", noted)
            for fd in (file.fileno(), ram.fd):
                frontend.tell_u64(Msg.SET_VRING_CALL, 0, [fd])
                frontend.tell_u64(Msg.SET_VRING_CALL, 0x100)
            frontend.ask(Msg.GET_FEATURES)
        assert closers == ["vhost-user-close"]
        server.disconnect("web1", "test over")


CHILD = """
import os, sys, signal
from framework.frontend import FrontEnd
from framework.guest_ram import GuestRam
from framework.split_ring import SplitRing
ram = GuestRam(1 << 20)
frontend = FrontEnd.connect(sys.argv[1], ram)
frontend.negotiate()
frontend.start(SplitRing(ram, 64))
if len(sys.argv) > 2:  # somebody else holds the socket, too
    socket_fd = frontend.sock.fileno()
    os.set_inheritable(socket_fd, True)
    if os.fork() == 0:
        os.close(1)
        signal.pause()
        os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_death_of_the_front_end_closes_everything(path: Path, server: Server, factory: EchoFactory) -> None:
    """SIGKILL while its ring runs; only the listener's descriptors remain."""
    on_loop(server, lambda: None)
    before = len(list(Path("/proc/self/fd").iterdir()))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert factory.devices[0].session.peer.pid == child.pid
        assert list(factory.devices[0].rings) == [0]
        child.kill()
        child.wait()
    while server.connected("web1"):
        os.sched_yield()
    assert factory.devices[0].closed in {"front-end died", "front-end closed the connection"}
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_right_to_the_guest_dies_with_the_pinned_process(path: Path, server: Server, factory: EchoFactory) -> None:
    """A socket that lives on in another process is of no use to that one."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), "shared"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            child.kill()
            child.wait()
            while server.connected("web1"):
                os.sched_yield()
            assert factory.devices[0].closed == "front-end died"
        finally:
            os.killpg(child.pid, 9)


def test_stopping_the_server_closes_everything(tmp_path: Path, ram: GuestRam, factory: EchoFactory) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ExitStack() as stack:
        with Server() as server:
            server.add_guest(GuestSocket("g", tmp_path / "g.sock"), factory)
            frontend, _ = running(stack, tmp_path / "g.sock", ram)
        assert frontend.hung_up()
        assert factory.devices[0].closed == "back-end stops"
        assert not (tmp_path / "g.sock").exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
