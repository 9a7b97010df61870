# SPDX-License-Identifier: Apache-2.0
"""systemd's descriptor store: ``DescriptorStore`` where systemd starts keystored (sd_pid_notify_with_fds(3)).

The unit needs FileDescriptorStoreMax=, KillMode=process and NotifyAccess=main. What is stored survives a restart of the
service and its crash; when the service is stopped systemd closes it, and with the control sockets the workers end.
"""

import logging
import os
import socket
import struct
import threading

from vmm_keystore.errors import DaemonError
from vmm_keystore.process import notify_address
from vmm_keystore.workers.descriptor_store import label_of, new_name

log = logging.getLogger(__name__)

FIRST_FD = 3
SEND_WAIT_S = 0.2


class SystemdStore:
    """What systemd handed over at start, and the way to hand it more."""

    def __init__(self, inherited: dict[str, int]) -> None:
        """Take over *inherited*, as :func:`take_listen_fds` gives it.

        Raises:
            DaemonError: systemd did not start this process, or not with a notification socket.
        """
        address = notify_address()
        if not address:
            raise DaemonError(
                "--descriptor-store systemd needs a service of systemd with NOTIFY_SOCKET",
                "Type=notify and FileDescriptorStoreMax= in the unit, or leave the option out",
            )
        self._lock = threading.Lock()
        self._inherited = inherited
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        wait = struct.pack("@ll", 0, int(SEND_WAIT_S * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        self._socket.connect(address)

    @property
    def has_inherited(self) -> bool:
        """Whether a keystored before this one left anything."""
        return bool(self._inherited)

    def take(self, label: str) -> dict[str, int]:
        """Give what was left under *label*."""
        with self._lock:
            names = [name for name in self._inherited if label_of(name) == label]
            return {name: self._inherited.pop(name) for name in names}

    def keep(self, label: str, fd: int) -> str:
        """Have systemd keep a copy of *fd*, also when its other end is closed: that is for us to find out."""
        name = new_name(label)
        self._notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [fd])
        return name

    def drop(self, name: str) -> None:
        """Have systemd close its copy."""
        self._notify(f"FDSTOREREMOVE=1\nFDNAME={name}", [])

    def drop_unclaimed(self) -> None:
        """Close what nobody took."""
        with self._lock:
            left, self._inherited = self._inherited, {}
        for name, fd in left.items():
            os.close(fd)
            self.drop(name)

    def close(self, *, leave: bool) -> None:  # noqa: ARG002 - the store outlives us in any case
        """Leave: systemd knows whether there will be another keystored."""
        for fd in self._inherited.values():
            os.close(fd)
        self._inherited = {}
        self._socket.close()

    def _notify(self, state: str, fds: list[int]) -> None:
        try:
            if fds:
                socket.send_fds(self._socket, [state.encode()], fds)
            else:
                self._socket.send(state.encode())
        except OSError as error:
            log.error("systemd does not listen: %s; a restart may cost guests their device", error.strerror or error)


def take_listen_fds() -> dict[str, int]:
    """The descriptors that systemd passed to this process, by name (sd_listen_fds_with_names(3)).

    To be called before any program is started: they are close-on-exec afterwards, and forgotten by the environment.
    """
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()) or not count.isdigit():
        return {}
    found = {}
    for fd, name in zip(range(FIRST_FD, FIRST_FD + int(count)), names, strict=False):
        os.set_inheritable(fd, False)
        found[name] = fd
    return found
