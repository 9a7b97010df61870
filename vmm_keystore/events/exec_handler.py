# SPDX-License-Identifier: Apache-2.0
"""A program as a handler: the event as JSON on its standard input, exit status 0 when it has taken it.

No shell, an environment of its own, no descriptor of ours. How it is run and ended is the business of ``RunProgram``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmm_keystore.policy.event import Event, EventKind


class RunProgram(Protocol):
    """What runs a program on an event."""

    def __call__(self, program: Path, event: Event, timeout_s: float, stop_fd: int) -> None:
        """See ``EventHandler.deliver``."""


@dataclass(frozen=True, slots=True)
class ExecHandler:
    """``EventHandler`` that has *run* run *program*."""

    name: str
    kinds: frozenset[EventKind]
    timeout_s: float
    attempts_max: int
    first_wait_s: float
    program: Path
    run: RunProgram

    @property
    def way(self) -> str:
        """See ``EventHandler``."""
        return "exec"

    @property
    def target(self) -> str:
        """See ``EventHandler``."""
        return str(self.program)

    def deliver(self, event: Event, stop_fd: int) -> None:
        """See ``EventHandler``."""
        self.run(self.program, event, self.timeout_s, stop_fd)
