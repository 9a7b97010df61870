# SPDX-License-Identifier: Apache-2.0
"""Programs that use a guest's keys through the PKCS#11 module, over the guest's socket, as the build folder has them.

``VKS_TEST_GUEST`` names another build folder, as for native_guest.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from framework.keystored import Outcome, environment
from framework.native_guest import BUILD, Answered

MODULE = BUILD / "guest_driver/pkcs11/vmm_keystore.so"
UNDER_SANITIZER = "VKS_TEST_GUEST" in os.environ
PROGRAMS = BUILD / "tests/c/guest"


class Program:
    """A running program of tests/c/guest; a context manager that leaves none behind."""

    def __init__(self, device: str, name: str, *arguments: str) -> None:
        command = [str(PROGRAMS / f"pkcs11_{name}"), str(MODULE), *arguments]
        pipe = subprocess.PIPE
        env = environment() | {"VKS_DEVICE": device}
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        with self.process:
            pass

    def wait_for(self, line: str) -> None:
        """Pass over lines up to *line*.

        Raises:
            AssertionError: it ended before.
        """
        if self.process.stdout is None:
            raise AssertionError
        while (read := self.process.stdout.readline().rstrip("\n")) != line:
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
        stdout, stderr = self.process.communicate()
        return Outcome(self.process.returncode, stdout, stderr)


class Pkcs11Guest:
    """Commands at one guest's socket."""

    def __init__(self, socket: Path) -> None:
        self.device = f"vhost-user:{socket}"

    def run(self, name: str, *arguments: str) -> str:
        """Run a program of tests/c/guest to its end; what it printed.

        Raises:
            AssertionError: something broke.
        """
        with Program(self.device, name, *arguments) as program:
            outcome = program.finish()
        if outcome.status != 0:
            raise AssertionError(f"{name} {arguments}: {outcome.stderr}")
        return outcome.stdout

    def operate(
        self, command: str, mechanism: str, label: str, data: bytes = b"", *more: Path, ok: bool = True
    ) -> Answered:
        """Run one operation; what comes of it.

        Raises:
            AssertionError: it failed although *ok*.
        """
        program = [str(PROGRAMS / "pkcs11_operation"), str(MODULE), command, mechanism, label, *map(str, more)]
        return self._answer(program, data, ok=ok)

    def tool(self, *arguments: str, data: bytes = b"", ok: bool = True) -> Answered:
        """Run pkcs11-tool of OpenSC.

        Raises:
            AssertionError: it failed although *ok*.
        """
        return self._answer(["pkcs11-tool", "--module", str(MODULE), *arguments], data, ok=ok)

    def use(
        self, *command: str, data: bytes = b"", ok: bool = True, variables: Mapping[str, str] | None = None
    ) -> Answered:
        """Run a program that knows by itself of the module.

        Args:
            command: the program and its arguments.
            data: its standard input.
            ok: it must succeed.
            variables: more of its environment.

        Raises:
            AssertionError: it failed although *ok*.
        """
        return self._answer(list(command), data, ok=ok, variables=variables)

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """What such a program needs."""
        return environment() | {"VKS_DEVICE": self.device} | sanitizer() | dict(variables or {})

    def _answer(
        self, command: list[str], data: bytes, *, ok: bool, variables: Mapping[str, str] | None = None
    ) -> Answered:
        env = self.environment(variables)
        done = subprocess.run(command, input=data, capture_output=True, check=False, env=env)
        answered = Answered(done.returncode, done.stdout, done.stderr.decode())
        if ok and answered.status != 0:
            raise AssertionError(f"{command}: {answered.stderr} {answered.stdout[-2000:]!r}")
        return answered


def sanitizer() -> dict[str, str]:
    """What a program without sanitizers needs to load a module with them; other people's leaks are not ours."""
    if not UNDER_SANITIZER:
        return {}
    done = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, check=True, text=True)
    return {"LD_PRELOAD": done.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
