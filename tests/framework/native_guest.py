# SPDX-License-Identifier: Apache-2.0
"""A process of the host that is a guest by its socket: libvks's own front-end, as the build folder has it.

``VKS_TEST_GUEST`` names another build folder: tools/test-c has one that is built with sanitizers.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from framework.keystored import Outcome

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


class Exercise:
    """A running native_exercise; a context manager that leaves none behind."""

    def __init__(self, socket: Path, *arguments: str) -> None:
        command = [str(EXERCISE), f"vhost-user:{socket}", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        with self.process:
            pass

    def line(self) -> str:
        """Wait for the next line that it prints; empty at the end."""
        if self.process.stdout is None:
            raise AssertionError
        return self.process.stdout.readline().rstrip("\n")

    def wait_for(self, line: str) -> None:
        """Pass over lines up to *line*.

        Raises:
            AssertionError: it ended before.
        """
        while (read := self.line()) != line:
            if not read:
                raise AssertionError(f"no {line!r}: {self.finish()}")

    def go_on(self) -> None:
        """Let it go on where it waits for the test."""
        if self.process.stdin is None:
            raise AssertionError
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> Outcome:
        """Wait until it ends; what it printed since."""
        if self.process.stdout is None or self.process.stderr is None:
            raise AssertionError
        # Not communicate(): lines that were read ahead would be lost.
        stdout, stderr = self.process.stdout.read(), self.process.stderr.read()
        return Outcome(self.process.wait(), stdout, stderr)


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
