# SPDX-License-Identifier: Apache-2.0
"""A process of the host that is a guest by its socket: libvks's own front-end, as the build folder has it.

``VKS_TEST_GUEST`` names another build folder: tools/test-c has one that is built with sanitizers.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from framework.keystored import Outcome
from framework.line_program import LineProgram

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("VKS_TEST_GUEST", "build/meson")
VKS = BUILD / "guest_driver/cli/vks"
EXERCISE = BUILD / "tests/c/guest/native_exercise"


@dataclass(frozen=True, slots=True)
class Answered:
    """How one command of vks ended; its output may be anything."""

    status: int
    stdout: bytes
    stderr: str


class Exercise(LineProgram):
    """A running native_exercise."""

    def __init__(self, socket: Path, *arguments: str) -> None:
        super().__init__([str(EXERCISE), f"vhost-user:{socket}", *arguments])


class NativeGuest:
    """Commands of vks at one socket."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.device = f"vhost-user:{socket}"

    def vks(self, *arguments: str | Path, stdin: bytes = b"", ok: bool = True) -> Answered:
        """Run one command.

        Raises:
            AssertionError: it failed although *ok*.
        """
        command = [str(VKS), *(str(argument) for argument in arguments), "--device", self.device]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        answered = Answered(done.returncode, done.stdout, done.stderr.decode())
        if ok and answered.status != 0:
            raise AssertionError(f"{arguments}: {answered.stderr}")
        return answered

    def exercise(self, *arguments: str) -> Outcome:
        """Run native_exercise to its end.

        Raises:
            AssertionError: something broke.
        """
        with Exercise(self.socket, *arguments) as exercise:
            outcome = exercise.finish()
        if outcome.status != 0:
            raise AssertionError(f"{arguments}: {outcome.stderr}")
        return outcome
