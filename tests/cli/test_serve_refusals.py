# SPDX-License-Identifier: Apache-2.0
"""A keystored that cannot start says why in one line, ends non-zero, and leaves the state folder as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.operator_view import (
    NOBODY,
    ask,
    assert_one_clear_line,
    everything,
    files_of,
    is_root,
    needs_another_user,
    run_program,
    store_rows,
)
from framework.keystored import Keystored


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a keystored that held keys and ended."""
    folder = tmp_path_factory.mktemp("used")
    with Keystored(folder) as keystored:
        for arguments in (
            ["guest", "add", "web", "--socket", folder / "web.sock"],
            ["key", "generate", "tls", "--type", "ec-p256"],
            ["key", "generate", "disk", "--type", "aes-256"],
            ["grant", "add", "web", "tls", "--ops", "sign"],
        ):
            assert ask(keystored, *arguments).status == 0
    return folder / "state"


@pytest.fixture
def state_dir(used: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    copy = tmp_path / "state"
    shutil.copytree(used, copy, ignore=shutil.ignore_patterns("*.sock"))
    copy.chmod(0o700)
    return copy


def _kept(state_dir: Path) -> dict[str, bytes]:
    """What must not change, to the byte: all but the lock and what only says that somebody looked."""
    passing = {"lock", "keystore.db-shm"}
    return {name: content for name, content in files_of(state_dir).items() if name not in passing}


def _kept_with_store(state_dir: Path) -> tuple[dict[str, bytes], list[str]]:
    """The same where the database was opened: its rows, and the other files to the byte."""
    files = {name: content for name, content in _kept(state_dir).items() if not name.startswith("keystore.db")}
    return files, store_rows(state_dir)


def test_the_copy_is_good(state_dir: Path) -> None:
    """The refusals below are not those of a folder that never works."""
    with Keystored(state_dir.parent) as keystored:
        assert [key["label"] for key in keystored.facts("key", "list")] == ["disk", "tls"]


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def _torn_in_the_middle(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 8192 * 4096
    path.write_bytes(content[:middle] + os.urandom(4096) + content[middle + 4096 :])


def _halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    path.chmod(0o600)


@pytest.mark.parametrize("damage", [_garbage, _torn_in_the_middle, _halved, _foreign])
def test_a_damaged_database(state_dir: Path, damage: Callable[[Path], None]) -> None:
    damage(state_dir / "keystore.db")
    before = _kept(state_dir)
    outcome = run_program("serve", "--state-dir", state_dir)
    assert_one_clear_line(outcome, str(state_dir / "keystore.db"))
    assert _kept(state_dir) == before


def test_the_kek_is_missing_while_sealed_keys_are_there(state_dir: Path) -> None:
    """A new KEK would make every key unreadable for ever, quietly."""
    (state_dir / "kek").unlink()
    before = _kept_with_store(state_dir)
    outcome = run_program("serve", "--state-dir", state_dir)
    assert_one_clear_line(outcome, str(state_dir / "kek"))
    assert _kept_with_store(state_dir) == before


@pytest.mark.parametrize(
    "damage", [_halved, lambda path: path.write_bytes(b""), _garbage], ids=["halved", "empty", "garbage"]
)
def test_the_kek_is_damaged(state_dir: Path, damage: Callable[[Path], None]) -> None:
    damage(state_dir / "kek")
    before = _kept_with_store(state_dir)
    outcome = run_program("serve", "--state-dir", state_dir)
    assert_one_clear_line(outcome, "kek")
    assert _kept_with_store(state_dir) == before


def test_others_may_enter_the_state_folder(state_dir: Path) -> None:
    state_dir.chmod(0o755)
    before = _kept(state_dir)
    assert_one_clear_line(run_program("serve", "--state-dir", state_dir), "others", str(state_dir))
    assert _kept(state_dir) == before


def test_others_may_read_the_kek(state_dir: Path) -> None:
    (state_dir / "kek").chmod(0o644)
    assert_one_clear_line(run_program("serve", "--state-dir", state_dir), "kek")


def test_the_state_folder_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert_one_clear_line(run_program("serve", "--state-dir", file), str(file))
    assert file.read_text() == "mine"


@pytest.mark.skipif(not is_root, reason="needs root: gives a folder away")
def test_the_state_folder_is_somebody_elses(state_dir: Path) -> None:
    os.chown(state_dir, NOBODY, NOBODY)
    before = _kept(state_dir)
    assert_one_clear_line(run_program("serve", "--state-dir", state_dir), str(state_dir))
    assert _kept(state_dir) == before


@needs_another_user
def test_the_state_folder_cannot_be_written() -> None:
    outcome = run_program("serve", "--state-dir", "/var/lib/vmm-keystore-of-nobody", uid=NOBODY)
    assert_one_clear_line(outcome, "/var/lib/vmm-keystore-of-nobody")


def test_a_second_keystored_in_the_same_folder(state_dir: Path) -> None:
    """It ends; the first one goes on, with its socket."""
    with Keystored(state_dir.parent) as keystored:
        before = everything(keystored)
        outcome = run_program("serve", "--state-dir", state_dir)
        assert_one_clear_line(outcome, str(state_dir))
        assert everything(keystored) == before


def test_a_second_keystored_on_the_same_runtime_folder(state_dir: Path, tmp_path: Path) -> None:
    """It ends; the first one keeps its holder and its guests' state memory."""
    with Keystored(state_dir.parent) as keystored:
        holder = keystored.holder_pid
        outcome = run_program("serve", "--state-dir", tmp_path / "other", "--runtime-dir", keystored.runtime_dir)
        assert_one_clear_line(outcome, str(keystored.runtime_dir))
        assert keystored.holder_pid == holder


def test_a_killed_keystored_leaves_a_socket_nobody_listens_on(state_dir: Path) -> None:
    """The next start takes its place."""
    keystored = Keystored(state_dir.parent)
    with keystored:
        keystored.kill()
        assert_one_clear_line(ask(keystored, "key", "list"), "not running", str(keystored.control_socket), status=3)
    with Keystored(state_dir.parent) as again:
        assert len(again.facts("key", "list")) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    if not is_root:
        pytest.skip("needs root: mounts a file system")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8M,mode=700", "none", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return filler


def test_a_full_disk(small_disk: Path) -> None:
    """Changes are refused whole while it is full, and work again when there is room."""
    state_dir = small_disk / "state"
    with Keystored(small_disk) as keystored:
        assert ask(keystored, "key", "generate", "tls", "--type", "ec-p256").status == 0
        filler = _fill(small_disk)
        rows, keys = store_rows(state_dir), keystored.facts("key", "list")
        outcomes = [ask(keystored, "key", "generate", f"more-{number}", "--type", "rsa-2048") for number in range(12)]
        refused = [number for number, outcome in enumerate(outcomes) if outcome.status != 0]
        assert refused, "the disk was not full"
        for number in refused:
            assert_one_clear_line(outcomes[number])
        # A full audit log does not undo a change that is in force; then the line says so.
        done = [
            f"more-{number}"
            for number, outcome in enumerate(outcomes)
            if outcome.status == 0 or "the change is in force" in outcome.stderr
        ]
        labels = [key["label"] for key in keystored.facts("key", "list")]
        assert labels == sorted([*done, *(key["label"] for key in keys)])
        if not done:
            assert store_rows(state_dir) == rows
        filler.unlink()
        again = ask(keystored, "key", "generate", "later", "--type", "ec-p256")
        assert again.status == 0, again.stderr
        assert keystored.facts("audit", "verify")["ok"]
        expected = sorted([*labels, "later"])
    with Keystored(state_dir.parent) as restarted:
        assert [key["label"] for key in restarted.facts("key", "list")] == expected


def test_event_handlers_that_somebody_else_could_change(state_dir: Path, tmp_path: Path) -> None:
    """Before anything is opened: what is in that file is run."""
    handlers = tmp_path / "handlers.toml"
    handlers.write_text('[handlers.a]\nexec = "/bin/true"\n')
    handlers.chmod(0o666)
    before = _kept(state_dir)
    outcome = run_program("serve", "--state-dir", state_dir, "--event-handlers", handlers)
    assert_one_clear_line(outcome, f"{handlers} decides what keystored runs, and somebody else could change it")
    assert _kept(state_dir) == before


def test_event_handlers_that_are_not_there(state_dir: Path) -> None:
    outcome = run_program("serve", "--state-dir", state_dir, "--event-handlers", "/nowhere/handlers.toml")
    assert_one_clear_line(outcome, "cannot open the event handlers' file /nowhere/handlers.toml")
