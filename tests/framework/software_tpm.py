# SPDX-License-Identifier: Apache-2.0
"""A software TPM 2.0 (swtpm), and somebody on the bus between it and whoever uses it."""

import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from framework.patience import wait_for

HEAD_BYTES = 10


class SoftwareTpm:
    """One TPM on a UNIX socket; a context manager. ``renew`` is a TPM that was cleared."""

    def __init__(self) -> None:
        # Short: a socket's path has room for 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="tpm-"))
        self.socket = self.folder / "tpm.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()

    @property
    def pid(self) -> int:
        """Its process; 0 while it is off."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Power on."""
        server = ["--server", f"type=unixio,path={self.socket}", "--flags", "not-need-init,startup-clear"]
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", *server]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(self.socket.exists)

    def stop(self) -> None:
        """Power off; what it keeps for good stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self.socket.unlink(missing_ok=True)

    def renew(self) -> None:
        """The same place, another TPM: other seeds."""
        self.stop()
        for path in self.folder.iterdir():
            path.unlink()
        self.start()

    def connect(self) -> socket.socket:
        """A connection; it takes one at a time."""
        connection: socket.socket = wait_for(self._try_to_connect)
        return connection

    def _try_to_connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.socket))
        except ConnectionRefusedError:  # its file is there before it listens
            connection.close()
            return None
        return connection


class Bus:
    """Carries commands and responses while entered, keeps what went by, and may change responses."""

    def __init__(self, tpm: socket.socket, change: Callable[[int, bytes], bytes] = lambda _number, data: data) -> None:
        self._tpm = tpm
        self._change = change
        self._ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self.traffic: list[bytes] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._theirs.close()
        self._thread.join()
        self._ours.close()

    def fileno(self) -> int:
        """The end to give away."""
        return self._theirs.fileno()

    def _carry(self) -> None:
        number = 0
        while command := _whole(self._ours):
            self._tpm.sendall(command)
            response = _whole(self._tpm)
            self.traffic += [command, response]
            said = self._change(number, response)
            self._ours.sendall(said)
            if int.from_bytes(said[2:6], "big") > len(said):
                self._ours.shutdown(socket.SHUT_RDWR)  # nobody waits for the rest
                return
            number += 1


def _whole(sock: socket.socket) -> bytes:
    """One command or response; nothing at the end."""
    data = sock.recv(HEAD_BYTES, socket.MSG_WAITALL)
    size = int.from_bytes(data[2:6], "big")
    return data + (sock.recv(size - HEAD_BYTES, socket.MSG_WAITALL) if size > HEAD_BYTES else b"")
