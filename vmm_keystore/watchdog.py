# SPDX-License-Identifier: Apache-2.0
"""systemd's watchdog (sd_watchdog_enabled(3)): keystored says that it is alive while each of its loops answers.

One that hangs is ended by systemd and started again; guests' workers go on meanwhile.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from vmm_keystore.process import notify

log = logging.getLogger(__name__)

CallSoon = Callable[[Callable[[], None]], None]
"""Runs a callback on a thread, soon."""


def watchdog_period_s(environment: Mapping[str, str]) -> float | None:
    """How often to say it: half of what systemd allows; None where it does not ask us."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    allowed_us = environment.get("WATCHDOG_USEC", "")
    return int(allowed_us) / 2e6 if allowed_us.isdecimal() and int(allowed_us) else None


class Watchdog:
    """Asks every loop, and says what came of it."""

    def __init__(self, loops: Mapping[str, CallSoon], period_s: float) -> None:
        self._loops = loops
        self.period_s = period_s

    def beat(self) -> bool:
        """Ask each loop for an answer; tell systemd when all gave one, within half a period."""
        answers = {name: threading.Event() for name in self._loops}
        for name, call_soon in self._loops.items():
            call_soon(answers[name].set)
        end_s = time.monotonic() + self.period_s / 2
        silent = [name for name, answer in answers.items() if not answer.wait(max(0.0, end_s - time.monotonic()))]
        if silent:
            log.error("no answer from: %s", ", ".join(silent))
            return False
        notify("WATCHDOG=1")
        return True
