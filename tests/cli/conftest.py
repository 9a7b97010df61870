# SPDX-License-Identifier: Apache-2.0
"""Runs the CLI in this process, against a fake or a real keystored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli.control_fake import ControlFake, control_fake

from vmm_keystore.cli import main as cli_main


@dataclass(frozen=True)
class Outcome:
    """How one command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def facts(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.stdout)


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VMM_KEYSTORE_CONTROL_SOCKET", "VMM_KEYSTORE_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run one command: ``cli("key", "list")``."""

    def run(*arguments: str | Path) -> Outcome:
        status = cli_main.run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(status, out, err)

    return run


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlFake]:
    """A control socket with canned answers, named by the environment."""
    with control_fake(tmp_path / "control.sock") as server:
        monkeypatch.setenv("VMM_KEYSTORE_CONTROL_SOCKET", str(server.socket))
        yield server
