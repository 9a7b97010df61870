# SPDX-License-Identifier: Apache-2.0
"""A software HSM (SoftHSM2) with tokens in a folder of its own, and a module before it that causes trouble."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import pytest

from framework.keystored import PROGRAM

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
LABEL = "vault"
KEY_LABEL = "vmm-keystore root"
SO_PIN = "12345678"
SHIM_SOURCE = Path(__file__).parent / "pkcs11_shim.c"
SHIM_FOLDER = "PKCS11_SHIM_FOLDER"
CONFIGURATION = "SOFTHSM2_CONF"
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="a module that is compiled here must be root's")


class SoftwareHsm:
    """One token, initialised; a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hsm-"))
        self.tokens = self.folder / "tokens"
        self.pin = secrets.token_hex(16)
        self.pin_file = self.folder / "pin"
        self.configuration = self.folder / "softhsm2.conf"

    def __enter__(self) -> Self:
        self.tokens.mkdir()
        self.configuration.write_text(f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n")
        self.write_pin(self.pin)
        self.add_token(LABEL)
        return self

    def __exit__(self, *_exc: object) -> None:
        shutil.rmtree(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """What the module, and whoever uses it, needs to see."""
        return {CONFIGURATION: str(self.configuration), SHIM_FOLDER: str(self.folder)}

    @property
    def program(self) -> tuple[str, ...]:
        """How keystored is run with that."""
        return ("env", *(f"{name}={value}" for name, value in self.environment.items()), str(PROGRAM))

    def arguments(self, module: Path = MODULE, *others: str) -> tuple[str, ...]:
        """What keystored is told."""
        seen = (option for name in self.environment for option in ("--hsm-env", name))
        return ("--hsm-module", str(module), "--hsm-pin", str(self.pin_file), *seen, *others)

    def write_pin(self, pin: str) -> None:
        """Into the file that it has, as an editor that writes in place does."""
        with self.pin_file.open("w" if not self.pin_file.exists() else "r+") as file:
            file.write(pin + "\n")
            file.truncate()

    def add_token(self, label: str) -> None:
        """Make one with the same PIN."""
        self._softhsm("--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", self.pin)

    def change_pin(self, pin: str) -> None:
        """Behind keystored's back; *pin_file* keeps the last one."""
        self.tool("--change-pin", "--new-pin", pin)
        self.pin = pin

    def tool(self, *words: str, token: str = LABEL, stdin: bytes = b"") -> bytes:
        """Have the token do something, logged in."""
        command = ["pkcs11-tool", "--module", str(MODULE), "--token-label", token, "--login", "--pin", self.pin, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, env=self._environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def keys(self) -> int:
        """How many keys of our label there are."""
        listed = self.tool("--list-objects", "--type", "secrkey").decode()
        return sum(line.strip() == f"label:      {KEY_LABEL}" for line in listed.splitlines())

    def cause(self, trouble: str) -> None:
        """Say what the shim is to do, from its next start on; nothing takes it back."""
        (self.folder / "trouble").write_text(trouble)

    def begin(self, trouble: str) -> None:
        """Have the shim look for it at each signature, until :meth:`end`."""
        (self.folder / trouble).touch()

    def end(self, trouble: str) -> None:
        """No more of it."""
        (self.folder / trouble).unlink()

    def waiting(self) -> int:
        """How many signatures have waited, or do."""
        path = self.folder / "waiting"
        return path.stat().st_size if path.exists() else 0

    def signed(self) -> bytes:
        """First bytes of what was signed, in the order in which the module was asked."""
        return (self.folder / "signed").read_bytes()

    def logins(self) -> int:
        """How many PINs the shim has seen."""
        path = self.folder / "logins"
        return path.stat().st_size if path.exists() else 0

    def compile_shim(self) -> Path:
        """A module that counts logins, and does what :meth:`cause` says."""
        module = self.folder / "shim.so"
        header = subprocess.run(["pkg-config", "--cflags", "p11-kit-1"], capture_output=True, check=True, text=True)
        command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", *header.stdout.split(), "-o", str(module)]
        subprocess.run([*command, str(SHIM_SOURCE)], check=True)
        return module

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _softhsm(self, *words: str) -> None:
        subprocess.run(["softhsm2-util", *words], env=self._environment, check=True, stdout=subprocess.DEVNULL)
