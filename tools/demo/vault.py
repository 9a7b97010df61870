# SPDX-License-Identifier: Apache-2.0
"""keystored and its admin CLI, run the way a user runs them: as programs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.narration import DemoFailed, Narration

PROGRAM = Path(sys.executable).parent / "vmm-keystore"
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class Vault:
    """A keystored with a state folder of its own, gone with everything it kept when the demo ends."""

    def __init__(self, folder: Path, narration: Narration) -> None:
        self.state_dir = folder / "state"
        self.log = folder / "keystored.log"
        # State memory belongs on a tmpfs.
        self.runtime_dir = Path(tempfile.mkdtemp(prefix="vmm-keystore-demo-", dir="/dev/shm"))
        self._narration = narration
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {"VMM_KEYSTORE_STATE_DIR": str(self.state_dir)}

    def __enter__(self) -> Self:
        words = ["serve", "--state-dir", str(self.state_dir), "--runtime-dir", str(self.runtime_dir)]
        self._narration.command("host$", ["vmm-keystore", *words, "&"])
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise DemoFailed(f"keystored did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process is not None:
                self._process.terminate()
                try:
                    self._process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
        finally:
            shutil.rmtree(self.runtime_dir, ignore_errors=True)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.state_dir / "control.sock")) == 0

    @property
    def pid(self) -> int:
        """Of keystored."""
        if self._process is None:
            raise DemoFailed("keystored is not running")
        return self._process.pid

    def stop(self) -> int:
        """End keystored as an init system does; returns its exit status."""
        if self._process is None:
            raise DemoFailed("keystored is not running")
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise DemoFailed(f"keystored did not end within {STOP_SECONDS:.0f} s of SIGTERM") from error

    def cli(self, *words: str | Path, show: bool = True) -> str:
        """Run one admin command, tell it, and return what it printed."""
        arguments = [str(word) for word in words]
        if show:
            self._narration.command("host$", ["vmm-keystore", *arguments])
        done = self._quiet(*arguments)
        if done.returncode != 0:
            raise DemoFailed(f"vmm-keystore {' '.join(arguments)}: {done.stderr.strip()}")
        if show:
            self._narration.answer(done.stdout)
        return done.stdout

    def facts(self, *words: str) -> Any:
        """What an admin command says as JSON, untold."""
        return json.loads(self.cli(*words, "--json", show=False))

    def _quiet(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([PROGRAM, *words], env=self._environment, capture_output=True, text=True, check=False)
