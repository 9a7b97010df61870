# SPDX-License-Identifier: Apache-2.0
"""``vhost-user-keystore`` as a manager of back-ends runs it: in the foreground, its stderr read as a log."""

import signal
import subprocess
import threading
from pathlib import Path
from typing import Self

from framework.keystored import PROGRAM, Outcome, environment
from framework.patience import wait_for

BACK_END = PROGRAM.with_name("vhost-user-keystore")
END_WAIT_S = 10.0


def run_back_end(*arguments: str, control_socket: Path | None = None) -> Outcome:
    """Run it where it has to end by itself."""
    done = subprocess.run(
        [str(BACK_END), *arguments],
        env=_environment(control_socket),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_WAIT_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class BackEnd:
    """One that runs; entered when it says that keystored listens."""

    def __init__(self, control_socket: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(BACK_END), *arguments],
            env=_environment(control_socket),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            self.wait_for_line("keystored listens on")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.runs:
            self._process.kill()
        self._process.wait()
        self._reader.join(END_WAIT_S)

    @property
    def runs(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """Its stderr so far."""
        return "".join(self._lines)

    def wait_for_line(self, text: str) -> None:
        """Wait until it has said *text*.

        Raises:
            AssertionError: it did not, or ended.
        """
        wait_for(lambda: text in self.said or not self.runs)
        self._reader.join(0 if self.runs else END_WAIT_S)
        assert text in self.said, self.said

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait_for_end(self) -> int:
        """Its exit status, with all that it said read."""
        status = self._process.wait(END_WAIT_S)
        self._reader.join(END_WAIT_S)
        return status

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr:
            for line in self._process.stderr:
                self._lines.append(line)


def _environment(control_socket: Path | None) -> dict[str, str]:
    named = {"VMM_KEYSTORE_CONTROL_SOCKET": str(control_socket)} if control_socket else {}
    return environment() | named
