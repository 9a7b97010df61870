# SPDX-License-Identifier: Apache-2.0
"""The scripts of docs/recipes, and what each says the host has to do for it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.keystored import Keystored

FOLDER = Path(__file__).resolve().parents[2] / "docs/recipes"
HOST_COMMAND = re.compile(r"(?m)^#? +vmm-keystore (.*)$")
GRANT = re.compile(r"^grant add GUEST (\S+) ")


@dataclass(frozen=True)
class Recipe:
    """One of them."""

    path: Path

    @property
    def name(self) -> str:
        """What it is called, without its ending."""
        return self.path.stem

    @property
    def host_commands(self) -> Sequence[str]:
        """What the administrator has to say, without the program's name."""
        return HOST_COMMAND.findall(self.path.read_text())

    @property
    def labels(self) -> set[str]:
        """The keys that it gets."""
        return {found[1] for command in self.host_commands if (found := GRANT.match(command))}

    def prepare(self, vault: Keystored, guest: str) -> None:
        """Do what the host has to; a key that is there already is that key, and so is a grant."""
        for command in self.host_commands:
            done = vault.cli(*command.replace("GUEST", guest).split(), ok=False)
            if done.status and " already" not in done.stderr:
                raise AssertionError(f"{command}: {done.stderr}")

    def unused(self, vault: Keystored, guest: str) -> set[str]:
        """The keys that the guest did not sign with, as far as the audit log has it."""
        lines = map(json.loads, vault.cli("audit", "export", "--guest", guest).stdout.splitlines())
        return self.labels - {line["key"] for line in lines if line.get("op") == "sign" and line["status"] == "ok"}


def recipe(file: str) -> Recipe:
    """The one in this file."""
    return Recipe(FOLDER / file)


def recipes(*but: str) -> list[Recipe]:
    """All shell scripts, without *but*."""
    return [Recipe(path) for path in sorted(FOLDER.glob("*.sh")) if path.name not in but]
