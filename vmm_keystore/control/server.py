# SPDX-License-Identifier: Apache-2.0
"""The control socket and the thread that serves it."""

import asyncio
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from vmm_keystore.control.peer import PeerProtocol
from vmm_keystore.errors import DaemonError

_START_S = 10.0
_STOP_S = 5
_PASSED_HINT = "the socket's unit and serve --control-socket must name the same path"

_logger = logging.getLogger(__name__)


def listen(path: Path, admit: Callable[[Path], None] | None = None) -> socket.socket:
    """Make the control socket, open to its owner alone; a dead daemon's is replaced, a living one's is not.

    Args:
        path: of the socket.
        admit: opens it to others, before anybody can find it.

    Raises:
        DaemonError: a daemon answers there, something else is in the way, the folder cannot be written, or *admit*
            refuses; nothing of ours is left there.
    """
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Under another name until it has its mode: nobody connects to a socket that is still open to all.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _check_free(path)
        fresh.unlink(missing_ok=True)
        control.bind(str(fresh))
        fresh.chmod(0o600)
        if admit is not None:
            admit(fresh)
        control.listen(128)
        fresh.rename(path)
    except (OSError, DaemonError) as error:
        control.close()
        with suppress(OSError):
            fresh.unlink()
        if isinstance(error, DaemonError):
            raise
        reason = (error.strerror or str(error)).lower()
        raise DaemonError(f"cannot listen on {path}: {reason}", "choose another --control-socket") from error
    return control


def adopt(fd: int, path: Path, admit: Callable[[Path], None] | None = None) -> socket.socket:
    """Take over the control socket that somebody else made, and listens on after us.

    Args:
        fd: as it was passed; the caller's no more.
        path: where it is to be.
        admit: opens it to others beside its owner.

    Raises:
        DaemonError: it is no listening socket, lies elsewhere, or *admit* refuses.
    """
    try:
        control = socket.socket(fileno=fd)
    except OSError as error:
        os.close(fd)
        raise DaemonError("what was passed as the control socket is none", _PASSED_HINT) from error
    try:
        _check_passed(control, path)
        if admit is not None:
            admit(path)
    except DaemonError:
        control.close()
        raise
    return control


class ControlServer:
    """Serves *app* on the socket at *path* from ``start`` to ``stop``, in a thread of its own."""

    def __init__(
        self,
        app: ASGIApp,
        path: Path,
        admit: Callable[[Path], None] | None = None,
        passed_fd: int | None = None,
    ) -> None:
        """Set up; with *passed_fd* the socket is somebody else's, who listens on after us."""
        self.path = path
        self._admit = admit
        self._passed_fd = passed_fd
        self._socket: socket.socket | None = None
        config = uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_STOP_S,
            timeout_keep_alive=30,
        )
        self._server = _ThreadServer(config)
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Listen and serve; requests are answered when this returns.

        Raises:
            DaemonError: the socket cannot be made.
        """
        if self._passed_fd is None:
            self._socket = listen(self.path, self._admit)
        else:
            self._socket = adopt(self._passed_fd, self.path, self._admit)
        self._thread.start()
        if not self._server.ready.wait(_START_S):
            self.stop()
            raise DaemonError("the control API did not start", "the log says why")

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run *callback* on the API's thread; nowhere before the start."""
        if self._server.loop is not None:
            self._server.loop.call_soon_threadsafe(callback)

    def stop(self) -> None:
        """Answer what is under way, then end; a socket of ours is gone when this returns."""
        if self._socket is None:
            return
        if self._passed_fd is None:
            self.path.unlink(missing_ok=True)
        self._server.should_exit = True
        self._thread.join(_STOP_S + 1)
        self._socket.close()
        self._socket = None

    def _run(self) -> None:
        assert self._socket is not None  # noqa: S101 -- start made it
        self._server.run(sockets=[self._socket])


class _ThreadServer(uvicorn.Server):
    """Says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.ready.set()


def _check_passed(control: socket.socket, path: Path) -> None:
    listens = control.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or (control.family, control.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        raise DaemonError("what was passed as the control socket does not listen", _PASSED_HINT)
    if control.getsockname() != str(path):
        raise DaemonError(f"the control socket that was passed is not {path}", _PASSED_HINT)


def _check_free(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise DaemonError(f"{path} is in the way and no socket", "remove it, or choose another --control-socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            _logger.info("replacing the socket of a daemon that is gone: %s", path)
            return
    raise DaemonError(f"another daemon listens on {path}", "stop it, or choose another --control-socket")
