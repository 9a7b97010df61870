# SPDX-License-Identifier: Apache-2.0
"""A guest's socket: made with its owner and mode, one front-end at a time.

The right to connect is the guest's identity, so the file never exists with a wider mode than it ends with, and a
second front-end is refused while the first one lives.
"""

import contextlib
import logging
import os
import secrets
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path

from .acl import admit
from .backend import BackendFactory, Peer, Reactor, SessionKeeper
from .connection import Connection
from .descriptors import close_received
from .device_state import DeviceState
from .errors import ProtocolError, SocketInUseError
from .offer import Offer
from .peer import hung_up, pin_peer
from .saved import load

_log = logging.getLogger(__name__)

_BACKLOG = 4
_ACCEPT_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class GuestSocket:
    """Where a guest's front-end connects; -1 leaves owner or group as they come; *uids* None lets the mode decide."""

    guest: str
    path: Path
    mode: int = 0o600
    uid: int = -1
    gid: int = -1
    uids: frozenset[int] | None = None
    offer: Offer = field(default_factory=Offer)


@dataclass(frozen=True, slots=True)
class Inherited:
    """What another process had of a guest's front-end; whoever gets it owns the descriptors.

    *content* and *fds* are what a ``SessionKeeper`` was told last, None where there was no session.
    """

    listening_fd: int | None = None
    content: bytes | None = None
    fds: tuple[int, ...] = ()


class Listener:
    """Listens on one path and holds the one connection; lives on the reactor's thread. Owns the socket file."""

    def __init__(
        self,
        guest_socket: GuestSocket,
        factory: BackendFactory,
        reactor: Reactor,
        keeper: SessionKeeper | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        """Bind and listen, or go on with what was *inherited*.

        Raises:
            SocketInUseError: the path is taken by a live socket or by something else.
            OSError: the path cannot be bound.
        """
        self.guest_socket = guest_socket
        self.connection: Connection | None = None
        self._factory = factory
        self._reactor = reactor
        self._keeper = keeper
        inherited = inherited or Inherited()
        try:
            self._sock, self._uids = _reuse(guest_socket, inherited.listening_fd) or _bind(guest_socket)
        except BaseException:
            for fd in inherited.fds:
                close_received(fd)
            raise
        if keeper is not None:
            keeper.keep_listening(self._sock.fileno())
        created = guest_socket.path.lstat()
        self._inode = (created.st_dev, created.st_ino)
        self._listening = False
        if inherited.content is not None:
            self._carry_on(inherited.content, inherited.fds)
        self._set_listening(wanted=True)

    def close(self, reason: str) -> None:
        """Drop the front-end, stop listening, remove the file if it is still ours."""
        if self.connection is not None:
            self.connection.close(reason)
        self._set_listening(wanted=False)
        self._sock.close()
        if self._keeper is not None:
            self._keeper.forget_listening()
        path = self.guest_socket.path
        with contextlib.suppress(OSError):
            found = path.lstat()
            if (found.st_dev, found.st_ino) == self._inode:
                path.unlink()

    def _set_listening(self, *, wanted: bool) -> None:
        if wanted and not self._listening:
            self._reactor.add_reader(self._sock.fileno(), self._on_connect)
        elif self._listening and not wanted:
            self._reactor.remove_reader(self._sock.fileno())
        self._listening = wanted

    def _listen_again(self) -> None:
        if self._sock.fileno() >= 0:  # not closed meanwhile
            self._set_listening(wanted=True)

    def _on_connect(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone again
        except OSError as error:
            # Out of descriptors: it stays in the queue, and the loop must not spin on it.
            _log.error("guest %s: cannot accept: %s", self.guest_socket.guest, error.strerror)
            self._set_listening(wanted=False)
            self._reactor.call_later(_ACCEPT_RETRY_S, self._listen_again)
            return
        guest = self.guest_socket.guest
        if self.connection is not None and hung_up(self.connection.socket):
            # The event of its end is only queued behind this one.
            self.connection.close("front-end closed the connection")
        if self.connection is not None:
            _log.warning("guest %s: a second front-end was refused", guest)
            sock.close()
            return
        try:
            self._open(sock)
        except OSError as error:
            _log.warning("guest %s: front-end refused: %s", guest, error.strerror or error)

    def _open(self, sock: socket.socket) -> None:
        try:
            peer = pin_peer(sock)
        except OSError:
            sock.close()
            raise
        state = DeviceState(self.guest_socket.offer, secrets.randbits(64))
        connection = self._connection(sock, peer, state)
        if self._uids is not None and peer.uid not in self._uids:
            connection.close(f"uid {peer.uid} may not be this guest's front-end")
            return
        self.connection = connection
        connection.open(self._factory)

    def _carry_on(self, content: bytes, fds: tuple[int, ...]) -> None:
        guest = self.guest_socket.guest
        try:
            saved = load(content, fds, self.guest_socket.offer)
        except ProtocolError as error:
            _log.error(
                "guest %s: its front-end is dropped: %s; hint: exchange its device (vmm-keystore qemu-args %s --replug)",
                guest,
                error,
                guest,
            )
            for fd in fds:
                close_received(fd)
            if self._keeper is not None:
                self._keeper.forget()
            return
        # What belonged to a ring that there cannot be any more.
        for fd in set(fds) - saved.held_fds():
            close_received(fd)
        self.connection = self._connection(socket.socket(fileno=saved.socket_fd), saved.peer, saved.state)
        try:
            self.connection.carry_on(self._factory, saved.conversation)
        except OSError as error:
            _log.warning("guest %s: front-end refused: %s", guest, error.strerror or error)

    def _connection(self, sock: socket.socket, peer: Peer, state: DeviceState) -> Connection:
        return Connection(
            sock,
            peer,
            state,
            guest=self.guest_socket.guest,
            reactor=self._reactor,
            keeper=self._keeper,
            on_closed=self._forget,
        )

    def _forget(self, connection: Connection) -> None:
        if self.connection is connection:
            self.connection = None


def _reuse(guest_socket: GuestSocket, fd: int | None) -> tuple[socket.socket, frozenset[int] | None] | None:
    """Go on with a listening socket of another process, if it is the one at the guest's path."""
    if fd is None:
        return None
    sock = socket.socket(fileno=fd)
    path = guest_socket.path
    with contextlib.suppress(OSError):
        if sock.getsockname() == str(path) and stat.S_ISSOCK(path.lstat().st_mode):
            sock.setblocking(False)
            given_away = guest_socket.uid in {-1, path.lstat().st_uid}
            return sock, guest_socket.uids if given_away else guest_socket.uids or frozenset({0, guest_socket.uid})
    sock.close()
    return None


def _bind(guest_socket: GuestSocket) -> tuple[socket.socket, frozenset[int] | None]:
    """Make the socket; the second value is who may be at its other end, None for whoever can connect."""
    _remove_stale(guest_socket.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        # bind() gives the file the socket's own mode: no moment at which somebody else could connect.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(str(guest_socket.path))
        undo.callback(guest_socket.path.unlink)
        # The owner's part first: who gave a file away without being privileged may not change its mode.
        guest_socket.path.chmod(guest_socket.mode & stat.S_IRWXU)
        uids = guest_socket.uids
        try:
            os.chown(guest_socket.path, guest_socket.uid, guest_socket.gid, follow_symlinks=False)
        except PermissionError:
            # Only root gives files away; everybody may admit somebody to what is his.
            if guest_socket.gid != -1:
                raise
            admit(guest_socket.path, [guest_socket.uid])
            uids = frozenset({0, guest_socket.uid}) if uids is None else uids
        if guest_socket.mode & ~stat.S_IRWXU:
            guest_socket.path.chmod(guest_socket.mode)
        sock.listen(_BACKLOG)
        undo.pop_all()
    return sock, uids


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketInUseError(f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise SocketInUseError(f"{path} is served by another process")
