# SPDX-License-Identifier: Apache-2.0
"""A control socket that somebody else listens on: served, and left as it was."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework.patience import wait_for
from unit.fakes import FakeDaemon

from vmm_keystore import errors
from vmm_keystore.control import peer
from vmm_keystore.control.access import Access
from vmm_keystore.control.app import make_app
from vmm_keystore.control.server import ControlServer, adopt

REQUEST = b"GET /v1/status HTTP/1.1\r\nhost: k\r\n\r\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """The service layer over a store of its own."""
    opened = FakeDaemon(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of whoever starts us."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "control.sock"))
        sock.listen()
        yield sock


def serve(daemon: FakeDaemon, listening: socket.socket) -> ControlServer:
    """One keystored after the other."""
    app = make_app(daemon.keystore, Access.for_owners([os.geteuid()]))
    server = ControlServer(app, Path(listening.getsockname()), passed_fd=os.dup(listening.fileno()))
    server.start()
    return server


def ask(path: str) -> socket.socket:
    """Connect and ask, without waiting for the answer."""
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(path)
    asking.sendall(REQUEST)
    return asking


def test_next_one_answers_who_came_meanwhile(daemon: FakeDaemon, listening: socket.socket) -> None:
    """The end of one server closes and removes nothing that the next one needs."""
    path = listening.getsockname()
    first = serve(daemon, listening)
    with ask(path) as asking:
        assert asking.recv(65536).startswith(b"HTTP/1.1 200 ")
    first.stop()
    assert Path(path).is_socket()
    with ask(path) as waiting:
        second = serve(daemon, listening)
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")
    second.stop()


def test_who_has_connected_is_answered(
    daemon: FakeDaemon, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request comes when the end has begun; it is the last one of its connection."""
    monkeypatch.setattr(peer, "_FIRST_REQUEST_S", 60)
    server = serve(daemon, listening)
    with socket.socket(socket.AF_UNIX) as early:
        early.connect(listening.getsockname())
        connections = server._server.server_state.connections
        wait_for(lambda: len(connections) == 1)
        (connection,) = connections
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_for(lambda: connection._is_last)  # type: ignore[union-attr]
        early.sendall(REQUEST)
        answer = b"".join(iter(lambda: early.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        stopping.join()


def test_who_says_nothing_is_not_waited_for(
    daemon: FakeDaemon, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection without a request ends with the server."""
    monkeypatch.setattr(peer, "_FIRST_REQUEST_S", 0)
    monkeypatch.setattr("vmm_keystore.control.server._STOP_S", 3600)
    server = serve(daemon, listening)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(listening.getsockname())
        wait_for(lambda: len(server._server.server_state.connections) == 1)
        server.stop()
        assert silent.recv(1) == b""


def test_what_is_no_control_socket(tmp_path: Path, listening: socket.socket) -> None:
    """A file, a socket that does not listen, one of datagrams, one elsewhere: refused, and closed."""
    path = tmp_path / "control.sock"
    file = os.open(tmp_path, os.O_RDONLY)
    idle = socket.socket(socket.AF_UNIX).detach()
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()
    elsewhere = os.dup(listening.fileno())
    for fd, at in [(file, path), (idle, path), (datagrams, path), (elsewhere, tmp_path / "other.sock")]:
        with pytest.raises(errors.DaemonError, match="passed") as caught:
            adopt(fd, at)
        assert caught.value.hint
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    adopt(os.dup(listening.fileno()), path).close()
