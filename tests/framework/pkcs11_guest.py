# SPDX-License-Identifier: Apache-2.0
"""Programs that use a guest's keys through the PKCS#11 module, over the guest's socket, as the build folder has them.

``VKS_TEST_GUEST`` names another build folder, as for native_guest.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from framework.keystored import environment
from framework.line_program import LineProgram
from framework.native_guest import BUILD, Answered

MODULE = BUILD / "guest_driver/pkcs11/vmm_keystore.so"
UNDER_SANITIZER = "VKS_TEST_GUEST" in os.environ
PROGRAMS = BUILD / "tests/c/guest"


class Program(LineProgram):
    """A running program of tests/c/guest."""

    def __init__(self, device: str, name: str, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        command = [str(PROGRAMS / f"pkcs11_{name}"), str(MODULE), *arguments]
        super().__init__(command, environment() | {"VKS_DEVICE": device} | dict(variables or {}))


class Pkcs11Guest:
    """Commands at one guest's socket."""

    def __init__(self, socket: Path) -> None:
        self.device = f"vhost-user:{socket}"

    def run(self, name: str, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
        """Run a program of tests/c/guest to its end; what it printed.

        Raises:
            AssertionError: something broke.
        """
        with Program(self.device, name, *arguments, variables=variables) as program:
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
        self,
        *command: str,
        data: bytes = b"",
        ok: bool = True,
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Answered:
        """Run a program that knows by itself of the module.

        Args:
            command: the program and its arguments.
            data: its standard input.
            ok: it must succeed.
            variables: more of its environment.
            folder: where it runs, else here.

        Raises:
            AssertionError: it failed although *ok*.
        """
        return self._answer(list(command), data, ok=ok, variables=variables, folder=folder)

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """What such a program needs."""
        return environment() | {"VKS_DEVICE": self.device} | sanitizer() | dict(variables or {})

    def _answer(
        self,
        command: list[str],
        data: bytes,
        *,
        ok: bool,
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Answered:
        env = self.environment(variables)
        done = subprocess.run(command, input=data, capture_output=True, check=False, env=env, cwd=folder)
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
