# SPDX-License-Identifier: Apache-2.0
"""keystored's command line, with a process that is killed at one chosen step of a change of the root of trust.

Steps are what the thread that makes the change opens, renames, removes and sends (PEP 578 names them), from the moment
it makes the new KEK file.
"""

import os
import signal
import sys
import threading
from typing import Any

from framework.processes import descendants
from vmm_keystore.cli.main import main

STEP, WHO = "VKS_DIE_AT_STEP", "VKS_WHO_DIES"
STEPS = frozenset({"open", "os.rename", "os.remove", "socket.sendmsg"})


class Killer:
    """Counts steps."""

    def __init__(self, step: int, role: str) -> None:
        self._left = step
        self._role = role
        self._thread: int | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Before each step."""
        if event not in STEPS or self._left < 0:
            return
        if self._thread is None and event == "open" and "/kek." in str(arguments[0]):
            self._thread = threading.get_ident()
        if self._thread != threading.get_ident():
            return
        self._left -= 1
        if self._left < 0:
            pids = [child.pid for child in descendants(os.getpid()) if child.role == self._role]
            os.kill(pids[0] if self._role else os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.addaudithook(Killer(int(os.environ[STEP]), os.environ[WHO]))
    main()
