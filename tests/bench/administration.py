# SPDX-License-Identifier: Apache-2.0
"""What an administrator waits for: a file of many guests, one grant of a role, lists, and keystored's start.

Whole commands, as a person runs them; one round each, because each leaves the vault larger than it found it.
"""

import json
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from framework.keystored import Keystored

from bench.full_store import add_copies

GUESTS, GRANTS, KEYS, MANY_KEYS = 10_000, 100, 5000, 1_000_000
SPARE_FILES = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """How long something took, with so many guests, keys and grants by role in the vault."""

    what: str
    guests: int
    keys: int
    grants_by_role: int
    seconds: float


class Administration:
    """One vault that grows."""

    def __init__(self, vault: Keystored) -> None:
        self._vault = vault
        self._guests = 0
        self._keys = 0
        self._grants = 0
        self.figures: list[Figure] = []

    def run(self, guests: int, grants: int, keys: int) -> None:
        """Measure everything."""
        self._time("vmm-keystore --help", partial(self._vault.cli, "--help"))
        self._apply(f"apply: {keys} keys", keys=keys)
        self._apply(f"apply: a role with {grants} bounded grants", keys=keys, grants=grants)
        self._apply(f"apply: {guests} guests with the role", keys=keys, grants=grants, guests=guests)
        self._apply("apply: nothing to change", keys=keys, grants=grants, guests=guests)
        self._apply("apply: one grant of the role", keys=keys, grants=grants, guests=guests, ops_max=999)
        for command in ("key list", "grant list", "guest list"):
            self._time(command, partial(self._vault.cli, *command.split(), "--json"))
        self._time("root change file: every key sealed anew", partial(self._vault.cli, "root", "change", "file"))
        self._vault.stop()
        self._time("keystored from its start to readiness", self._vault.start)

    def run_many_keys(self, keys: int) -> None:
        """Measure what must not depend on how many keys there are; they are put into the database, not made."""
        self._vault.api.generate("one", "ed25519")
        self._vault.stop()
        add_copies(self._vault.state_dir, "one", range(1, keys + 1))
        self._keys, self._grants, self._guests = keys, 0, 0
        self._time("keystored from its start to readiness", self._vault.start)
        for command in (
            *("key list k12345*", "key list *99999", "key list --state active --limit 50", "status"),
            *("key list --tag env=prod --limit 50", "key list --tag env=prod --tag number=7"),
            "key list --unused-since 90d",
        ):
            self._time(command, partial(self._vault.cli, *command.split(), "--json"))
        self._time("key generate", partial(self._vault.cli, "key", "generate", "another", "--type", "ed25519"))

    def _apply(self, what: str, *, keys: int, grants: int = 0, guests: int = 0, ops_max: int = 1000) -> None:
        lines = [f'[keys.k{number}]\ntype = "ed25519"' for number in range(keys)]
        terms = [
            f'{{ key = "k{number}", ops = ["sign"], ops_max = {ops_max if number == 0 else 1000} }}'
            for number in range(grants)
        ]
        if terms:
            lines.append(f"[roles.web]\ngrants = [{', '.join(terms)}]")
        folder = self._vault.folder
        lines += [
            f'[guests.g{number}]\nsocket = "{folder}/g{number}.sock"\nroles = ["web"]' for number in range(guests)
        ]
        path = folder / "vault.toml"
        path.write_text("\n".join(lines))
        self._keys, self._grants, self._guests = keys, grants, guests
        self._time(what, partial(self._vault.cli, "apply", "-f", path))

    def _time(self, what: str, action: Callable[[], object]) -> None:
        started_s = time.monotonic()
        action()
        seconds = round(time.monotonic() - started_s, 3)
        self.figures.append(Figure(what, self._guests, self._keys, self._grants, seconds))
        print(f"bench: {what}: {seconds:.2f} s", flush=True)


def measure_administration(
    json_path: Path, guests: int = GUESTS, grants: int = GRANTS, keys: int = KEYS, many_keys: int = MANY_KEYS
) -> None:
    """Measure, print, and write *json_path*; with fewer guests where so many files cannot be open."""
    _soft, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if guests > (files - SPARE_FILES) // 2:
        guests = (files - SPARE_FILES) // 2
        print(f"bench: {files} open files are allowed: {guests} guests instead of {GUESTS}", flush=True)
    figures: list[Figure] = []
    with Keystored() as vault:
        administration = Administration(vault)
        administration.run(guests, grants, keys)
        figures += administration.figures
    with Keystored() as vault:
        administration = Administration(vault)
        administration.run_many_keys(many_keys)
        figures += administration.figures
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
