# SPDX-License-Identifier: Apache-2.0
"""A program of tests/c that a test talks with in lines: it says how far it is, and waits for a line to go on."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Self

from framework.keystored import Outcome


class LineProgram:
    """It runs; a context manager that leaves none behind."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)

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
