# SPDX-License-Identifier: Apache-2.0
"""A backup of a running keystored becomes a working one again; what is no good backup becomes nothing."""

import hashlib
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from framework.backups import Damage, database_of, restore, with_head, with_sql
from framework.keystored import PROGRAM, Keystored, environment
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

OK, KEY_STATE = lib.VKS_STATUS_OK, lib.VKS_STATUS_KEY_STATE
SECRET = b"what was encrypted before"


@pytest.fixture
def vault() -> Iterator[Keystored]:
    """A keystored with a guest that encrypts and signs."""
    with Keystored() as keystored:
        keystored.add_guest("g")
        for label, key_type, ops in (("seal", "aes-256", ["encrypt", "decrypt"]), ("sig", "ed25519", ["sign"])):
            keystored.api.generate(label, key_type)
            keystored.api.grant("g", label, ops)
        yield keystored


def test_what_was_there_is_there_again(vault: Keystored, tmp_path: Path) -> None:
    """Old ciphertext is read, signatures are made; nothing is encrypted under a nonce that may have been used."""
    with ring_guest(vault.folder / "g.sock") as guest:
        sealed = guest.ask(lib.VKS_OP_ENCRYPT, "seal", SECRET, output_bytes=128).data
        public = guest.public("sig")
    backup = tmp_path / "backup"
    said = vault.cli("backup", backup).stdout
    assert said == f"{backup}: {backup.stat().st_size} bytes; keep kek elsewhere, it is not in there\n"
    assert backup.stat().st_mode & 0o777 == 0o600
    kek = (vault.state_dir / "kek").read_bytes()
    assert kek not in backup.read_bytes()
    old = vault.state_dir
    vault.stop()
    said = restore(vault, backup).stdout
    assert "2 keys and 1 guests as of" in said
    assert "  seal\n" in said
    assert "  sig\n" not in said
    assert f"next: put the key encryption key back, as {vault.state_dir}/kek" in said
    shutil.copy(old / "kek", vault.state_dir / "kek")
    shutil.rmtree(old)
    vault.start()
    with ring_guest(vault.folder / "g.sock") as guest:
        assert guest.public("sig") == public
        assert guest.sign("sig", b"m").status == OK
        opened = guest.ask(lib.VKS_OP_DECRYPT, "seal", sealed, output_bytes=128)
        assert (opened.status, opened.data) == (OK, SECRET)
        assert guest.ask(lib.VKS_OP_ENCRYPT, "seal", SECRET, output_bytes=128).status == KEY_STATE
        vault.cli("key", "rotate", "seal")
        again = guest.ask(lib.VKS_OP_ENCRYPT, "seal", SECRET, output_bytes=128)
        assert (again.status, again.key_version) == (OK, 2)
        opened = guest.ask(lib.VKS_OP_DECRYPT, "seal", sealed, key_version=1, output_bytes=128)
        assert opened.data == SECRET
    [line] = [line for line in vault.api.get("/audit?limit=100")["lines"] if line.get("action") == "restore"]
    content = backup.read_bytes().partition(b"\n")[2]
    assert line["backup_sha256"] == hashlib.sha256(content).hexdigest()
    assert line["deactivated"] == ["seal"]
    assert vault.api.get("/audit/verify")["ok"]


def test_changes_go_on_meanwhile(vault: Keystored, tmp_path: Path) -> None:
    """What was answered before a backup began is in it, and each is whole."""
    answered: list[str] = []
    stopping = threading.Event()

    def change() -> None:
        while not stopping.is_set():
            label = f"k{len(answered)}"
            vault.api.generate(label, "ed25519")
            vault.api.grant("g", label, ["sign"])
            answered.append(label)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(5):
            before = list(answered)
            vault.cli("backup", tmp_path / f"b{number}")
            found = database_of(tmp_path / f"b{number}", tmp_path)
            with closing(sqlite3.connect(found)) as connection:
                labels = {row[0] for row in connection.execute("SELECT label FROM keys")}
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert labels >= set(before)
    finally:
        stopping.set()
        thread.join()
    actions = [line["action"] for line in vault.api.get("/audit?limit=1000")["lines"] if line["kind"] == "admin"]
    assert actions.count("backup") == 5
    assert not list(vault.state_dir.glob(".backup*"))


def test_to_standard_output(vault: Keystored, tmp_path: Path) -> None:
    """For a pipe; and a file that is there is never overwritten."""
    target = tmp_path / "out"
    with target.open("wb") as file:
        env = environment() | {"VMM_KEYSTORE_CONTROL_SOCKET": str(vault.control_socket)}
        subprocess.run([PROGRAM, "backup", "-"], stdout=file, env=env, check=True)
    restored = restore(vault, target)
    assert "2 keys and 1 guests" in restored.stdout
    vault.state_dir = vault.folder / "state"
    vault.control_socket = vault.state_dir / "control.sock"
    content = target.read_bytes()
    refused = vault.cli("backup", target, ok=False)
    assert f"{target} exists" in refused.stderr
    assert target.read_bytes() == content


DAMAGES: dict[str, tuple[Damage, str]] = {
    "empty": (lambda _content, _folder: b"", "it is no backup of vmm-keystore"),
    "another file": (lambda _content, _folder: b"#!/bin/sh\n" * 1000, "it is no backup of vmm-keystore"),
    "endless first line": (lambda _content, _folder: b"{" * 100000, "it is no backup of vmm-keystore"),
    "a database alone": (lambda content, _folder: content.partition(b"\n")[2], "it is no backup of vmm-keystore"),
    "newer format": (with_head(format="vmm-keystore backup 2"), "which this version does not know"),
    "no hash": (with_head(sha256=None), "its first line is damaged"),
    "size of another kind": (with_head(size_bytes="5"), "its first line is damaged"),
    "negative size": (with_head(size_bytes=-1), "its first line is damaged"),
    "half of it": (lambda content, _folder: content[: len(content) // 2], "it is cut off"),
    "last byte gone": (lambda content, _folder: content[:-1], "it is cut off: 1 of"),
    "one byte more": (lambda content, _folder: content + b"x", "more follows than its first line says"),
    "one bit": (lambda content, _folder: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:], "it is damaged"),
    "newer schema": (with_sql("UPDATE alembic_version SET version_num = 'r9999'"), "written by a newer version"),
    "database of another program": (with_sql("PRAGMA application_id = 5"), "database of another program"),
    "a trigger": (
        with_sql("CREATE TRIGGER t AFTER INSERT ON pending_audit BEGIN DELETE FROM keys; END"),
        "its database is not that of a store: t is not what it should be",
    ),
    "a trigger that looks like a tool's": (
        with_sql("CREATE TRIGGER alembic_t AFTER UPDATE ON key_versions BEGIN DELETE FROM keys; END"),
        "alembic_t is not what it should be",
    ),
    "a view": (with_sql("ALTER TABLE budgets RENAME TO b", "CREATE VIEW budgets AS SELECT * FROM b"), "not that of a"),
    "a column more": (with_sql("ALTER TABLE keys ADD COLUMN x"), "keys is not what it should be"),
    "a grant of nothing": (with_sql("UPDATE grants SET key = key + 90"), "a row of grants points nowhere"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_what_is_no_good_backup_becomes_nothing(vault: Keystored, tmp_path: Path, case: str) -> None:
    """One clear line, and no folder that looks as if it could be used."""
    vault.cli("backup", tmp_path / "good")
    damage, message = DAMAGES[case]
    (tmp_path / "bad").write_bytes(damage((tmp_path / "good").read_bytes(), tmp_path))
    refused = restore(vault, tmp_path / "bad", ok=False)
    assert refused.status == 1
    assert message in refused.stderr.splitlines()[0]
    assert not vault.state_dir.exists()
    vault.state_dir.mkdir(mode=0o700)
    shutil.copy(vault.folder / "state" / "kek", vault.state_dir / "kek")
    restore(vault, tmp_path / "bad", ok=False)
    assert {path.name for path in vault.state_dir.iterdir()} <= {"kek", "lock"}
    assert "2 keys" in restore(vault, tmp_path / "good").stdout


def test_leftovers_of_whoever_was_killed(vault: Keystored, tmp_path: Path) -> None:
    """Half a copy is removed by the next one who works in the folder."""
    vault.cli("backup", tmp_path / "good")
    vault.stop()
    (vault.state_dir / ".backup.0123").write_bytes(b"half of it")
    vault.start()
    assert not (vault.state_dir / ".backup.0123").exists()
    vault.state_dir = vault.folder / "restored"
    vault.state_dir.mkdir(mode=0o700)
    (vault.state_dir / ".restoring.x").mkdir()
    (vault.state_dir / ".restoring.x" / "keystore.db").write_bytes(b"half of it")
    assert "2 keys" in vault.cli("restore", tmp_path / "good", "--state-dir", vault.state_dir).stdout
    assert {path.name for path in vault.state_dir.iterdir()} == {"keystore.db", "lock"}


def test_answer_has_its_length(vault: Keystored) -> None:
    """So that whoever reads it, by whatever program, sees whether all of it came."""
    transport = httpx.HTTPTransport(uds=str(vault.control_socket), verify=False)
    with httpx.Client(transport=transport, trust_env=False) as client:
        answer = client.post("http://keystored/v1/backup", json={})
    assert answer.headers["content-length"] == str(len(answer.content))


def test_place_that_is_taken(vault: Keystored, tmp_path: Path) -> None:
    """Neither a running daemon's folder nor anything that lies there is touched."""
    vault.cli("backup", tmp_path / "good")
    refused = vault.cli("restore", tmp_path / "good", "--state-dir", vault.state_dir, ok=False)
    assert "another daemon is using" in refused.stderr
    vault.stop()
    refused = vault.cli("restore", tmp_path / "good", "--state-dir", vault.state_dir, ok=False)
    assert "is not empty: there is" in refused.stderr
    missing = vault.cli("restore", tmp_path / "no", "--state-dir", tmp_path / "s", ok=False)
    assert f"cannot read {tmp_path}/no: no such file or directory" in missing.stderr
    vault.start()
    assert len(vault.api.get("/keys")["keys"]) == 2
