# SPDX-License-Identifier: Apache-2.0
"""A guest that is this host, and a disk that its vault unlocks: vks luks and stock cryptsetup as the build folder has them."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from framework.keystored import Keystored
from framework.luks import PASSPHRASE
from framework.native_guest import BUILD, Answered
from framework.pkcs11_guest import sanitizer

FOLDER = BUILD / "guest_driver/luks"
PROGRAM = FOLDER / "vks-luks"
OPS = ("data-key", "decrypt", "release")
GUEST = "app"
KEY = "disks"


class Host:
    """A guest of the vault that is this host, with key disks, and its disk."""

    def __init__(self, vault: Keystored, disk: Path) -> None:
        self.vault = vault
        self.disk = disk
        self.env = os.environ | {"VKS_DEVICE": f"vhost-user:{vault.folder / GUEST}.sock"}

    def run(self, *words: str | Path, stdin: bytes = b"", ok: bool = True) -> Answered:
        """Run a program.

        Raises:
            AssertionError: it failed although *ok*.
        """
        command = [str(word) for word in words]
        done = subprocess.run(command, input=stdin, capture_output=True, env=self.env, check=False)
        answered = Answered(done.returncode, done.stdout, done.stderr.decode())
        if ok and answered.status:
            raise AssertionError(f"{words}: {answered.stderr}")
        return answered

    def luks(self, command: str, *words: str | Path, stdin: bytes = b"", ok: bool = True) -> Answered:
        """Run one command of vks luks on the disk."""
        return self.run(PROGRAM, command, self.disk, *words, stdin=stdin, ok=ok)

    def refused(self, command: str, *words: str | Path, stdin: bytes = b"") -> str:
        """What a command says that has to fail, and gives nothing."""
        answered = self.luks(command, *words, stdin=stdin, ok=False)
        assert (answered.status, answered.stdout) == (1, b"")
        return answered.stderr

    def enroll(self) -> None:
        """By the passphrase."""
        self.luks("enroll", KEY, stdin=PASSPHRASE + b"\n")

    def tokens(self) -> Any:
        """The facts that list gives."""
        return json.loads(self.luks("list", "--json").stdout)

    def opens(self, secret: bytes) -> bool:
        """Does stock cryptsetup open a keyslot by it?"""
        command = ("cryptsetup", "open", "--test-passphrase", "--key-file", "-", self.disk)
        return self.run(*command, stdin=secret, ok=False).status == 0

    def with_plugin(self, *words: str | Path, ok: bool = True) -> Answered:
        """Run stock cryptsetup where the built plugin is, and no other, without installing it."""
        if os.geteuid():
            pytest.skip("only root can show cryptsetup another folder of plugins")
        path = re.search(r"plugin path: (\S+?)\.?\n", self.run("cryptsetup", "--help").stdout.decode())
        assert path
        if not Path(path[1]).is_dir():
            pytest.skip("there is no folder of plugins to lay another one over")
        command = 'mount --bind "$0" "$1" && shift && exec env "$@"'
        env = [f"{name}={value}" for name, value in sanitizer().items()]
        return self.run("unshare", "--mount", "sh", "-c", command, FOLDER, path[1], *env, "cryptsetup", *words, ok=ok)

    @contextmanager
    def granted(self, *ops: str) -> Iterator[None]:
        """The key is granted for *ops* inside, for none not at all, and as before behind."""
        api = self.vault.api
        api.revoke(GUEST, KEY)
        if ops:
            api.grant(GUEST, KEY, ops)
        try:
            yield
        finally:
            if ops:
                api.revoke(GUEST, KEY)
            api.grant(GUEST, KEY, OPS)
