# SPDX-License-Identifier: Apache-2.0
"""keystored as a process: hardened, logging to stderr, telling its supervisor when it is ready."""

import ctypes
import logging
import os
import resource
import socket
import time

from vmm_keystore.log_limit import LogLimit

PR_SET_DUMPABLE = 4
DEFAULT_USER = "vmm-keystore"
"""Whom root becomes when nobody is named."""
CONTROL_FD_NAME = "control"
"""FileDescriptorName= of the control socket's unit."""


def harden() -> None:
    """Leave no core dump, and let no other process of this user look inside."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A few descriptors a guest add up; the soft limit is for select(), which nobody here uses.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Formatter(logging.Formatter):
    """One line a message: time in UTC, level, part, text."""

    def __init__(self) -> None:
        # The journal has its own clock.
        stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s.%(msecs)03dZ "
        super().__init__(f"{stamp}%(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Write the level in lower case and the part without the package."""
        line = logging.makeLogRecord(record.__dict__)
        line.levelname = record.levelname.lower()
        line.name = record.name.removeprefix("vmm_keystore.")
        return super().format(line)


def log_to_stderr() -> None:
    """Send every part's log to stderr; libraries only where something is wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    handler.addFilter(LogLimit())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("keystored", "vmm_keystore"):
        logging.getLogger(name).setLevel(logging.INFO)


def notify_address() -> str:
    """Where systemd listens, as a socket takes it; empty where it did not ask for anything."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    return "\0" + address[1:] if address.startswith("@") else address


def notify(state: str) -> None:
    """Tell systemd (sd_notify), when it asked for it."""
    address = notify_address()
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.sendto(state.encode(), address)
