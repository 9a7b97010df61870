# SPDX-License-Identifier: Apache-2.0
"""What ``backup`` leaves and says when something goes wrong on the way: never half a file that looks like a backup."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Cli
from cli.control_fake import Answer, ControlFake

ROUTE = "POST /v1/backup"
CONTENT = b"head\n" + bytes(3000)


def test_what_came_is_in_the_file(cli: Cli, fake: ControlFake, tmp_path: Path) -> None:
    """Byte for byte, for its owner alone, with its size as JSON."""
    fake.answers[ROUTE] = Answer(CONTENT)
    path = tmp_path / "backup"
    done = cli("backup", path, "--json")
    assert (done.status, done.stderr) == (0, "")
    assert done.facts == {"file": str(path), "bytes": len(CONTENT)}
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (
            Answer(None),
            [
                "vmm-keystore: keystored closed the connection before all of it had come",
                "hint: look at its log",
            ],
        ),
        (
            Answer(CONTENT, missing=5),
            [f"vmm-keystore: keystored closed the connection after {len(CONTENT)} of {len(CONTENT) + 5} bytes"],
        ),
    ],
)
def test_broken_off(cli: Cli, fake: ControlFake, tmp_path: Path, answer: Answer, lines: list[str]) -> None:
    """The connection is named, not the file; status 3 as for every daemon that cannot be reached; no file."""
    fake.answers[ROUTE] = answer
    for target in (tmp_path / "backup", Path("-")):
        done = cli("backup", target)
        assert done.status == 3
        assert done.stderr.splitlines() == lines
    assert not (tmp_path / "backup").exists()


def test_keystored_hangs(cli: Cli, fake: ControlFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, but not for ever."""
    monkeypatch.setattr("vmm_keystore.cli.client.ANSWER_TIMEOUT_S", 1.0)
    fake.hang(ROUTE)
    done = cli("backup", tmp_path / "backup")
    assert (done.status, done.stderr) == (3, "vmm-keystore: keystored sent nothing for 1 s\n")
    assert not (tmp_path / "backup").exists()


def test_refused(cli: Cli, fake: ControlFake, tmp_path: Path) -> None:
    """The reason keystored gave."""
    fake.answer(ROUTE, {"error": {"code": "backup", "message": "no room", "hint": "make some"}}, status=507)
    done = cli("backup", tmp_path / "backup")
    assert (done.status, done.stderr) == (1, "vmm-keystore: no room\nhint: make some\n")
    assert not (tmp_path / "backup").exists()


def test_places_that_cannot_be_written(cli: Cli, fake: ControlFake, tmp_path: Path) -> None:
    """Keystored is not even asked."""
    (tmp_path / "there").write_bytes(b"x")
    done = cli("backup", tmp_path / "there")
    assert done.stderr.splitlines() == [
        f"vmm-keystore: {tmp_path}/there exists",
        "hint: name a new file: a backup never overwrites another",
    ]
    assert (tmp_path / "there").read_bytes() == b"x"
    done = cli("backup", tmp_path / "no" / "backup")
    assert done.stderr == f"vmm-keystore: cannot write {tmp_path}/no/backup: no such file or directory\n"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert cli("backup", tmp_path / "link").status == 1
    assert not (tmp_path / "elsewhere").exists()
    assert fake.asked == []


def test_not_running(cli: Cli, tmp_path: Path) -> None:
    """As every command says it; no file."""
    done = cli("backup", tmp_path / "backup", "--control-socket", tmp_path / "none.sock")
    assert done.status == 3
    assert f"keystored is not running: no socket {tmp_path}/none.sock" in done.stderr
    assert not (tmp_path / "backup").exists()


def test_help_says_what_matters(cli: Cli) -> None:
    """Before somebody relies on it: what is readable, what is not in it, what does not encrypt afterwards."""
    said = " ".join(cli("backup", "--help").stdout.split())
    assert "labels, guests and grants can be read" in said
    assert "key encryption key" in said
    said = " ".join(cli("restore", "--help").stdout.split())
    assert "--root-key" in said
    assert "until they are rotated" in said
