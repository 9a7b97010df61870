# SPDX-License-Identifier: Apache-2.0
"""Looks for the imported keys in every place where a vault could have lost them, and shows that it would find them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from framework.secret_forms import Secret
from framework.secret_search import Report, SecretSearch

from demo.known_keys import KnownKey
from demo.narration import DemoFailed, Narration

MIB = 1 << 20


@dataclass(frozen=True)
class Place:
    """What was searched, and whether the control had to be there."""

    report: Report
    controlled: bool = True


class Searches:
    """One search for the keys and the control, used everywhere.

    Args:
        keys: the secrets that must not be found.
        control: what went through the vault by the same ways and must be found wherever it is looked for.
    """

    def __init__(self, narration: Narration, keys: list[Secret], control: Secret) -> None:
        self._narration = narration
        self._keys = keys
        self._control = control
        self._search = SecretSearch([*keys, control])

    def file(self, path: Path, place: str) -> None:
        """Search one file."""
        self._judge(Place(self._search.in_file(path, place)))

    def tree(self, folder: Path, place: str) -> None:
        """Search every file under a folder."""
        self._judge(Place(self._search.in_tree(folder, place)))

    def process(self, pid: int, place: str, *, controlled: bool = True) -> None:
        """Search all memory of a process that root can read."""
        try:
            report = self._search.in_process(pid, place)
        except PermissionError:
            if os.geteuid() == 0:
                raise
            self._narration.tell(f"{place}: not searched, only root may look into it")
            return
        self._judge(Place(report, controlled))

    def ordinary_program(self, keys: list[KnownKey], passphrase_file: Path) -> None:
        """Show that the search finds each of the keys in a program that loads them itself."""
        script = Path(__file__).parent / "ordinary_program.py"
        command = [sys.executable, str(script), str(passphrase_file), *(str(key.file) for key in keys)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            if process.stdout is None or process.stdin is None or process.stdout.readline() != b"ready\n":
                raise DemoFailed("the program that loads the keys itself did not start")
            report = self._search.in_process(process.pid)
            process.stdin.close()
        found = {hit.secret for hit in report.of(self._keys)}
        forms = {(hit.secret, hit.form) for hit in report.of(self._keys)}
        wanted = {secret.name for secret in self._keys}
        self._narration.require(
            found == wanted,
            f"the search finds all {len(wanted)} secrets, in {len(forms)} forms, in a program without a vault",
        )

    def _judge(self, place: Place) -> None:
        report = place.report
        found = report.of(self._keys)
        controls = len(report.of([self._control]))
        text = f"{report.place}: {report.searched_bytes / MIB:.1f} MiB searched"
        if report.unreadable_bytes:
            text += f", {report.unreadable_bytes / MIB:.1f} MiB not readable even for root"
        if found:
            raise DemoFailed(f"{text}; found {'; '.join(str(hit) for hit in found[:5])}")
        if place.controlled and not controls:
            raise DemoFailed(f"{text}; the planted control was not found: this search proves nothing")
        control = f"control found {controls} times, " if controls else ""
        self._narration.require(True, f"{text}; {control}keys never")
