# SPDX-License-Identifier: Apache-2.0
"""Programs that systemd starts, one for each connection to the socket of its name. ``RightfulPrograms``.

They need rights that such a keystored has never had: to be users of their own. The next one has the same rights, so
nothing is lost when one dies. The kernel names systemd as the other end of the socket, which made it; so a program says
itself who it is, before anything else.
"""

import socket
from pathlib import Path

from vmm_keystore._vks import lib
from vmm_keystore.workers.connection import receive_message
from vmm_keystore.workers.errors import ProgramLostError
from vmm_keystore.workers.ipc import Form
from vmm_keystore.workers.programs import Process

FORMS = {lib.VKS_PROGRAM_STARTED: Form("vks_program_started", fd_count=1)}
START_TIMEOUT_S = 10.0
HINT = "see systemctl status 'vmm-keystore-*', and what the program said in journalctl -u 'vmm-keystore-*'"


class ActivatedPrograms:
    """The sockets in a folder."""

    had_more_rights = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, name: str) -> tuple[Process, socket.socket]:
        """Have systemd start a program.

        Raises:
            ProgramLostError: it does not, or the program ends at once.
            ProtocolError: it says something else.
        """
        path = self._folder / f"{name}.sock"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.settimeout(START_TIMEOUT_S)
            process = _connect(sock, path)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            reason = (error.strerror or str(error)).lower()
            raise ProgramLostError(f"systemd does not start {name} at {path}: {reason}", HINT) from error
        except BaseException:
            sock.close()
            raise
        return process, sock

    def close(self) -> None:
        """Nothing: a program that nobody took was not started."""


def _connect(sock: socket.socket, path: Path) -> Process:
    sock.connect(str(path))
    message = receive_message(sock, FORMS)
    if message is None:
        raise ProgramLostError(f"the program at {path} ended at once", HINT)
    return Process(int(message.body.pid), message.fds[0])
