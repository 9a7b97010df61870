# SPDX-License-Identifier: Apache-2.0
"""The key encryption key of a restored store: another one is refused before anything is sealed under it."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from framework.backups import restore
from framework.keystored import Keystored
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

ANOTHER = "vmm-keystore: the kek does not open what the store has sealed: it is that of another store"
PUT_BACK = "hint: put the kek file back that the store was used with"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Keystored]:
    """A keystored that was backed up and stopped; beside it the kek of another one."""
    with Keystored() as keystored:
        keystored.add_guest("g")
        keystored.api.generate("sig", "ed25519")
        keystored.api.grant("g", "sig", ["sign"])
        keystored.cli("backup", tmp_path / "backup")
        keystored.stop()
        with Keystored() as other:
            other.stop()
            shutil.copy(other.state_dir / "kek", tmp_path / "another")
        shutil.copy(keystored.state_dir / "kek", tmp_path / "right")
        yield keystored


def test_right_one_is_put_in_place(vault: Keystored, tmp_path: Path) -> None:
    """One command, and keystored starts and serves."""
    said = restore(vault, tmp_path / "backup", "--root-key", tmp_path / "right").stdout
    assert "next:" not in said
    kek = vault.state_dir / "kek"
    assert (kek.read_bytes(), kek.stat().st_mode & 0o777) == ((tmp_path / "right").read_bytes(), 0o600)
    vault.start()
    with ring_guest(vault.folder / "g.sock") as guest:
        assert guest.sign("sig", b"m").status == lib.VKS_STATUS_OK
    # The new log's key is sealed under it, and the old one has told what it could.
    assert vault.api.get("/audit/verify")["ok"]
    with closing(sqlite3.connect(vault.state_dir / "keystore.db")) as connection:
        names = connection.execute("SELECT name FROM meta ORDER BY name").fetchall()
        assert names == [("audit-key",), ("key-uses",)]


def test_another_one_is_refused(vault: Keystored, tmp_path: Path) -> None:
    """Given or lying there: nothing comes of the folder, and nothing goes from it."""
    refused = restore(vault, tmp_path / "backup", "--root-key", tmp_path / "another", ok=False)
    assert refused.stderr.splitlines() == [ANOTHER, PUT_BACK]
    assert not vault.state_dir.exists()
    vault.state_dir.mkdir(mode=0o700)
    shutil.copy(tmp_path / "another", vault.state_dir / "kek")
    (vault.state_dir / "kek").chmod(0o600)
    refused = restore(vault, tmp_path / "backup", ok=False)
    assert refused.stderr.splitlines() == [ANOTHER, PUT_BACK]
    assert {path.name for path in vault.state_dir.iterdir()} == {"kek", "lock"}
    assert (vault.state_dir / "kek").read_bytes() == (tmp_path / "another").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {}: no such file or directory"),
        (b"", "{} is no key encryption key"),
        (b"k" * 100000, "{} is no key encryption key"),
        (b"k", "the kek is damaged"),
    ],
)
def test_what_is_no_kek(vault: Keystored, tmp_path: Path, content: bytes | None, message: str) -> None:
    """One clear line, and no folder."""
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    refused = restore(vault, tmp_path / "backup", "--root-key", path, ok=False)
    assert refused.stderr.splitlines()[0] == "vmm-keystore: " + message.format(path)
    assert not vault.state_dir.exists()


def test_one_is_there_already(vault: Keystored, tmp_path: Path) -> None:
    """It is not overwritten."""
    vault.state_dir = vault.folder / "restored"
    vault.state_dir.mkdir(mode=0o700)
    shutil.copy(tmp_path / "right", vault.state_dir / "kek")
    refused = restore(vault, tmp_path / "backup", "--root-key", tmp_path / "another", ok=False)
    assert f"there is a kek in {vault.state_dir} already" in refused.stderr
    assert (vault.state_dir / "kek").read_bytes() == (tmp_path / "right").read_bytes()


def test_another_one_put_there_afterwards(vault: Keystored, tmp_path: Path) -> None:
    """With it the daemon does not start, nor without any; with the right one it does."""
    restore(vault, tmp_path / "backup")
    kek = vault.state_dir / "kek"
    with pytest.raises(AssertionError, match="did not start"):
        vault.start()
    assert f"cannot open {kek}: no such file or directory" in vault.log_text
    assert not kek.exists()
    for name in ("another", "right"):
        shutil.copy(tmp_path / name, kek)
        kek.chmod(0o600)
        if name == "another":
            with pytest.raises(AssertionError, match="did not start"):
                vault.start()
            assert ANOTHER in vault.log_text
    vault.start()
    with ring_guest(vault.folder / "g.sock") as guest:
        assert guest.sign("sig", b"m").status == lib.VKS_STATUS_OK
