# SPDX-License-Identifier: Apache-2.0
"""What an operator has in front of them: the program, its words, and what keystored keeps."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from framework.keystored import PROGRAM, Keystored, Outcome, environment

NOBODY = 65534
is_root = os.geteuid() == 0


def run_program(*arguments: str | Path, uid: int | None = None, timeout: float = 30.0) -> Outcome:
    """Run ``vmm-keystore`` to its end, as another user where *uid* is given (needs root)."""
    words = [str(PROGRAM), *(str(argument) for argument in arguments)]
    if uid is not None:
        words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *words]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=environment(),
        start_new_session=True,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def ask(keystored: Keystored, *arguments: str | Path, uid: int | None = None) -> Outcome:
    """Run one command on a keystored, without a terminal."""
    return run_program("--state-dir", keystored.state_dir, *arguments, uid=uid)


def everything(keystored: Keystored) -> dict[str, Any]:
    """All that keystored keeps: what it says, and every row of its store."""
    said = {name: keystored.api.get(f"/{name}")[name] for name in ("guests", "keys", "grants", "roles")}
    for guest in said["guests"]:
        # How its worker is just now is no part of what is kept.
        del guest["worker"]
    return said | {"rows": store_rows(keystored.state_dir)}


def store_rows(state_dir: Path) -> list[str]:
    """Every row of every table, as SQL."""
    connection = sqlite3.connect(f"file:{state_dir}/keystore.db?mode=ro", uri=True)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def files_of(folder: Path) -> dict[str, bytes]:
    """Every regular file under *folder* with its content, and every other by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def assert_one_clear_line(outcome: Outcome, *words: str, status: int = 1) -> None:
    """Nothing on stdout; on stderr one line that holds *words*, and perhaps a hint."""
    lines = outcome.stderr.splitlines()
    assert outcome.stdout == ""
    assert len(lines) in {1, 2}, outcome.stderr
    assert lines[0].startswith("vmm-keystore: "), outcome.stderr
    for word in words:
        assert word in lines[0], outcome.stderr
    cause = lines[0].removeprefix("vmm-keystore: ")
    assert not cause.endswith("."), outcome.stderr
    assert cause[0] == cause[0].lower(), outcome.stderr
    assert all(line.startswith("hint: ") for line in lines[1:]), outcome.stderr
    assert outcome.status == status, outcome.stderr


def _nobody_can_run() -> bool:
    words = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "--", str(PROGRAM), "--help"]
    return is_root and subprocess.run(words, capture_output=True, check=False).returncode == 0


needs_another_user = pytest.mark.skipif(
    not _nobody_can_run(), reason="needs root, and a checkout that the user nobody may enter"
)
