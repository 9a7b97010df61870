# SPDX-License-Identifier: Apache-2.0
"""Changing what opens the keys: guests go on, nobody loses a key, and whoever is killed over it leaves one of the two."""

import base64
import itertools
import os
import secrets
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from framework.backups import restore
from framework.checked_load import KEYS, loaded
from framework.die_over_a_change import STEP, WHO
from framework.keystored import PROGRAM, Keystored
from framework.patience import wait_for
from framework.processes import descendants, kill
from framework.ring_guest import ring_guest
from framework.secret_forms import secret_bytes
from framework.secret_search import SecretSearch
from workers.test_deaths import worker_pid

from vmm_keystore._vks import lib

PASSPHRASE = secrets.token_hex(24).encode()
LOCKED = ["vmm-keystore: the vault is locked: it takes a passphrase to open its keys", "hint: vmm-keystore root unlock"]
NOT_IT = ["vmm-keystore: this is not the passphrase or credential of the root of trust"]
CUSTODIAN = "vks-custodian"
TESTS = Path(__file__).parents[1]
DYING = "framework.die_over_a_change"


def passphrase_file(folder: Path, passphrase: bytes = PASSPHRASE) -> Path:
    """A file as people make one, with a line end."""
    path = folder / "passphrase"
    path.write_bytes(passphrase + b"\n")
    return path


def change(vault: Keystored, kind: str, *arguments: str | Path) -> str:
    return vault.cli("root", "change", kind, *arguments).stdout


def custodian_pid(vault: Keystored) -> int:
    return next(child.pid for child in descendants(vault.pid) if child.role == CUSTODIAN)


def kill_custodian(vault: Keystored) -> None:
    """Kill it; its successor answers when this returns."""
    pid = custodian_pid(vault)
    kill(pid)
    wait_for(lambda: vault.api.get("/status")["custodian"]["pid"] not in {pid, None})


def kill_worker(vault: Keystored) -> None:
    """Kill it, if there is one; it is not the one any more when this returns."""
    pid = worker_pid(vault, "g")
    if pid and kill(pid):
        wait_for(lambda: worker_pid(vault, "g") != pid)


def changes_on_record(vault: Keystored) -> list[dict[str, Any]]:
    changes, after = [], 0
    while lines := vault.api.get(f"/audit?after={after}&limit=1000")["lines"]:
        changes += [line for line in lines if line.get("action") == "change-root" and "status" not in line]
        after = lines[-1]["seq"]
    return changes


def keks(vault: Keystored) -> list[str]:
    return sorted(path.name for path in vault.state_dir.glob("kek*"))


@pytest.fixture
def credential_vault(tmp_path: Path) -> Iterator[Keystored]:
    """One that systemd gave a credential."""
    (tmp_path / "vmm-keystore-root").write_bytes(os.urandom(32))
    program = ("env", f"CREDENTIALS_DIRECTORY={tmp_path}", str(PROGRAM))
    with Keystored(program=program) as keystored:
        yield keystored


def test_guests_go_on_through_changes(credential_vault: Keystored, tmp_path: Path) -> None:
    """Every answer is right, no worker dies; afterwards each start finds every key, a destroyed one aside."""
    vault = credential_vault
    socket = vault.add_guest("g")
    for label, key_type in KEYS.items():
        vault.api.generate(label, key_type)
        vault.api.grant("g", label, ["sign"])
    for label in ("gone", "rotated"):
        vault.api.generate(label, "aes-256")
    vault.api.post("/keys/rotated/rotate")
    vault.api.post("/keys/gone/destroy")
    seen = {vault.facts("root", "show")["kek"]}
    with loaded(socket) as (_guest, load):
        for kind in ("passphrase", "credential", "passphrase", "file", "file", "credential"):
            secret = str(passphrase_file(tmp_path))
            words = ["--passphrase-file", secret] if kind == "passphrase" else []
            assert change(vault, kind, *words).startswith("5 key versions sealed anew; opened by the file")
            root = vault.facts("root", "show")
            assert (root["kind"], root["open"], root["file"]) == (kind, True, str(vault.state_dir / "kek"))
            assert root["kek"] not in seen
            seen.add(root["kek"])
            load.wait_for_more()
            vault.api.post("/audit/checkpoint")
        load.finish()
    assert vault.api.get("/guests/g")["worker"]["replaced"] == 0
    assert [line["root"] for line in changes_on_record(vault)].count("file") == 2
    assert {line["resealed"] for line in changes_on_record(vault)} == {5}
    vault.kill_all()
    vault.start()
    assert keks(vault) == ["kek"]
    with loaded(socket) as (_guest, load):
        load.finish()
    assert vault.api.get("/audit/verify")["ok"]


def test_locked_vault_waits_for_its_passphrase(vault: Keystored, guest_socket: Path, tmp_path: Path) -> None:
    """Without the passphrase a new keystored serves nobody and says so; with it, guests that waited get their keys."""
    secret = passphrase_file(tmp_path)
    change(vault, "passphrase", "--passphrase-file", secret)
    vault.kill_all()
    vault.start()
    assert vault.cli("key", "generate", "b", "--type", "aes-256", ok=False).stderr.splitlines() == LOCKED
    assert vault.cli("root", "change", "file", ok=False).stderr.splitlines() == LOCKED
    assert (
        "\nstate:     locked\nkek:       unknown while it is locked\n\nnext: vmm-keystore root unlock\n"
        in vault.cli("root", "show").stdout
    )
    doctor = {finding["name"]: finding for finding in vault.cli("doctor", "--json", ok=False).facts}
    assert doctor["root of trust"]["level"] == "bad"
    with ring_guest(guest_socket) as guest:
        problem = wait_for(lambda: vault.api.get("/guests/g")["worker"]["problem"])
        assert "vault is locked" in problem
        wrong = passphrase_file(tmp_path / "..", PASSPHRASE[::-1])
        assert vault.cli("root", "unlock", "--passphrase-file", wrong, ok=False).stderr.splitlines() == NOT_IT
        secret = passphrase_file(tmp_path)
        assert vault.cli("root", "unlock", "--passphrase-file", secret).stdout == "the vault is open\n"
        again = vault.cli("root", "unlock", "--passphrase-file", secret, ok=False).stderr
        assert again == "vmm-keystore: the vault is not locked\n"
        assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
    vault.api.generate("b", "aes-256")


def test_killed_custodian_is_locked_again(vault: Keystored, guest_socket: Path, tmp_path: Path) -> None:
    """Who typed the passphrase is gone; running workers go on, and one that dies waits for it to be typed again."""
    secret = passphrase_file(tmp_path)
    change(vault, "passphrase", "--passphrase-file", secret)
    with ring_guest(guest_socket) as guest:
        assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK  # its worker runs and has its keys
        kill_custodian(vault)
        assert vault.cli("key", "rotate", "key", ok=False).stderr.splitlines() == LOCKED
        assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
        # The standby has its keys already; what follows it has none.
        for _ in range(2):
            kill_worker(vault)
        wait_for(lambda: "vault is locked" in vault.api.get("/guests/g")["worker"]["problem"])
        vault.cli("root", "unlock", "--passphrase-file", secret)
        assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK


def test_secret_in_a_file_needs_nobody(vault: Keystored, guest_socket: Path, tmp_path: Path) -> None:
    """With --root-secret each start of keystored and of its custodian opens the keys."""
    secret = passphrase_file(tmp_path)
    change(vault, "passphrase", "--passphrase-file", secret)
    vault.stop()
    with Keystored(vault.folder, arguments=("--root-secret", str(secret))) as after:
        kill_custodian(after)
        after.api.post("/keys/key/rotate")
        with ring_guest(guest_socket) as guest:
            assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
    passphrase_file(tmp_path, b"not it, not at all")
    with pytest.raises(AssertionError, match="this is not the passphrase or credential"):
        Keystored(vault.folder, arguments=("--root-secret", str(secret))).start()
    with pytest.raises(AssertionError, match=r"cannot open the root of trust's secret .*: no such file or directory"):
        Keystored(vault.folder, arguments=("--root-secret", str(tmp_path / "none"))).start()
    with pytest.raises(AssertionError, match=r"the root of trust's secret .* is no regular file"):
        Keystored(vault.folder, arguments=("--root-secret", "/dev/zero")).start()
    vault.start()


def test_changes_that_are_refused(vault: Keystored, tmp_path: Path) -> None:
    """What a person reads, and nothing has changed."""
    before = (vault.state_dir / "kek").read_bytes()
    short = passphrase_file(tmp_path, b"1234567")
    for arguments, said in (
        (
            ["passphrase", "--passphrase-file", short],
            ["vmm-keystore: too short: a passphrase has at least 8 bytes, a credential 32 random ones"],
        ),
        (
            ["passphrase", "--passphrase-file", tmp_path / "none"],
            [f"vmm-keystore: cannot read {tmp_path}/none: No such file or directory"],
        ),
        (
            ["credential"],
            [
                "vmm-keystore: keystored was started without a credential",
                "hint: serve --root-secret FILE, or LoadCredential=vmm-keystore-root:FILE in its unit",
            ],
        ),
        (
            ["file", "--passphrase-file", short],
            ["vmm-keystore: --passphrase-file goes with passphrase, not with file"],
        ),
    ):
        assert vault.cli("root", "change", *arguments, ok=False).stderr.splitlines() == said
    for body in ({"kind": "passphrase"}, {"kind": "file", "passphrase": {"offer_id": "0" * 32, "wrapped": "AAAA"}}):
        with pytest.raises(AssertionError, match=r"400 .*a passphrase comes with kind passphrase"):
            vault.api.post("/root/change", body)
    stale = {"kind": "passphrase", "passphrase": {"offer_id": "0" * 32, "wrapped": "AAAA"}}
    with pytest.raises(AssertionError, match=r"422 .*unknown or used"):
        vault.api.post("/root/change", stale)
    assert ((vault.state_dir / "kek").read_bytes(), keks(vault)) == (before, ["kek"])
    assert changes_on_record(vault) == []


@pytest.mark.usefixtures("guest_socket")
def test_passphrase_and_keks_are_in_no_process(vault: Keystored, tmp_path: Path) -> None:
    """None of ours: after a change, after unlocking, with the offer's wrapping as the control."""
    secret = passphrase_file(tmp_path)
    first = (vault.state_dir / "kek").read_bytes()[19:51]
    change(vault, "passphrase", "--passphrase-file", secret)
    kill_custodian(vault)
    wrapped, offer = os.urandom(64), vault.api.post("/root/offer")
    body = {"offer_id": offer["offer_id"], "wrapped": base64.b64encode(wrapped).decode()}
    with pytest.raises(AssertionError, match="no passphrase that was wrapped"):
        vault.api.post("/root/unlock", body)
    vault.cli("root", "unlock", "--passphrase-file", secret)
    change(vault, "file")
    second = (vault.state_dir / "kek").read_bytes()[19:51]
    with pytest.raises(AssertionError, match="unknown or used"):
        vault.api.post("/root/unlock", body)
    known = [secret_bytes("passphrase", PASSPHRASE), secret_bytes("kek", first), secret_bytes("new kek", second)]
    planted = secret_bytes("control", wrapped)
    search = SecretSearch([*known, planted])
    reports = [search.in_process(pid) for pid in (vault.pid, *(child.pid for child in descendants(vault.pid)))]
    assert len(reports) >= 4
    assert [hit for report in reports for hit in report.of(known)] == []
    assert any(report.of([planted]) for report in reports)


def test_old_kek_is_overwritten(vault: Keystored) -> None:
    """Where the file system writes in place, its bytes are gone from the disk, and so is what was sealed under it."""
    vault.api.generate("key", "aes-256")
    database = vault.state_dir / "keystore.db"
    with closing(sqlite3.connect(database)) as connection:
        ((sealed,),) = connection.execute("SELECT sealed FROM key_versions").fetchall()
    files = [database, database.with_name("keystore.db-wal")]
    assert any(sealed in file.read_bytes() for file in files)
    with (vault.state_dir / "kek").open("rb") as before:
        kek = before.read()
        change(vault, "file")
        before.seek(0)
        assert before.read() == bytes(len(kek))
    assert not any(sealed in file.read_bytes() for file in files)


def test_new_keys_are_never_sealed_under_the_last_kek(vault: Keystored) -> None:
    """Made while the KEK changes, over and over: every one of them opens after a restart."""
    socket = vault.add_guest("g")
    done = threading.Event()
    failures: list[BaseException] = []
    numbers = itertools.count()

    def make() -> None:
        try:
            while not done.is_set():
                label = f"key{next(numbers)}"
                vault.api.generate(label, "ed25519")
                vault.api.post(f"/keys/{label}/rotate")
                vault.api.grant("g", label, ["sign"])
        except BaseException as error:  # noqa: BLE001 - the test reports it
            failures.append(error)

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for _ in range(30):
        vault.api.post("/root/change", {"kind": "file"})
    done.set()
    for maker in makers:
        maker.join()
    assert failures == []
    vault.kill_all()
    vault.start()
    with ring_guest(socket) as guest:
        labels = [entry.label for entry in guest.list_keys()]
        assert len(labels) > 20
        assert {guest.sign(label, b"m").status for label in labels} == {lib.VKS_STATUS_OK}
    assert vault.api.get("/guests/g")["worker"]["problem"] == ""


def change_and_die(vault: Keystored, role: str, step: int) -> tuple[bool, bool]:
    """Change the KEK with a process killed at *step*; whether that was reached, and whether the change was answered."""
    program = ("env", f"PYTHONPATH={TESTS}", f"{WHO}={role}", f"{STEP}={step}", sys.executable, "-P", "-m", DYING)
    with Keystored(vault.folder, program=program) as dying:
        custodian = custodian_pid(dying)
        answered = dying.cli("root", "change", "file", ok=False).status == 0
        process = dying.process
        assert process is not None
        if not role and not answered:
            assert process.wait(10) == -signal.SIGKILL
            dying.kill_all()
            dying.process = None
            return True, False
        reached = role != "" and wait_for(lambda: dying.api.get("/status")["custodian"]["pid"]) != custodian
        return reached, answered


@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ["", CUSTODIAN], ids=["keystored", "custodian"])
def test_killed_at_each_step(vault: Keystored, role: str) -> None:
    """Either the change is made, on record and everything is sealed under it, or nothing of it is left."""
    socket = vault.add_guest("g")
    for label in "ab":
        vault.api.generate(label, "ec-p256")
        vault.api.grant("g", label, ["sign"])
    made: list[bool] = []
    reached = True
    while reached:
        before = (vault.state_dir / "kek").read_bytes()
        vault.stop()
        reached, answered = change_and_die(vault, role, len(made))
        vault.start()
        made.append((vault.state_dir / "kek").read_bytes() != before)
        assert made[-1] or not answered
        assert len(changes_on_record(vault)) == made.count(True)
        assert keks(vault) == ["kek"]
        with ring_guest(socket) as guest:
            assert {guest.sign(label, b"m").status for label in "ab"} == {lib.VKS_STATUS_OK}
        vault.api.post("/audit/checkpoint")
        assert vault.api.get("/audit/verify")["ok"]
    sys.stderr.write(f"{role or 'keystored'} killed at {len(made) - 1} steps, the change made at {sum(made) - 1}\n")
    assert set(made[:-1]) == {True, False}
    assert len(made) > 8


def test_backup_from_before_takes_the_kek_from_before(vault: Keystored, guest_socket: Path, tmp_path: Path) -> None:
    """And one from after the one from after, with the passphrase that opens it; the other is refused."""
    secret = passphrase_file(tmp_path)
    vault.cli("backup", tmp_path / "before")
    (tmp_path / "kek-before").write_bytes((vault.state_dir / "kek").read_bytes())
    change(vault, "passphrase", "--passphrase-file", secret)
    vault.cli("backup", tmp_path / "after")
    (tmp_path / "kek-after").write_bytes((vault.state_dir / "kek").read_bytes())
    vault.stop()
    opened = ("--root-secret", secret)
    for backup, kek, options in (("before", "kek-after", opened), ("after", "kek-before", ())):
        refused = restore(vault, tmp_path / backup, "--root-key", tmp_path / kek, *options, ok=False)
        assert "it is that of another store" in refused.stderr
    refused = restore(vault, tmp_path / "after", "--root-key", tmp_path / "kek-after", ok=False)
    assert refused.stderr.splitlines() == [
        "vmm-keystore: the key encryption key takes a passphrase or credential to open",
        "hint: give its file with --root-secret, or start this on a terminal",
    ]
    restore(vault, tmp_path / "after", "--root-key", tmp_path / "kek-after", *opened)
    # The first start makes the key of a new log, so somebody must be there to open the vault.
    with pytest.raises(AssertionError, match="takes a passphrase or credential to open\nhint: give its file"):
        vault.start()
    with Keystored(vault.folder, arguments=tuple(map(str, opened))) as after:
        after.stop()
        after.state_dir, after.control_socket = vault.state_dir, vault.control_socket
        after.start()
        with ring_guest(guest_socket) as guest:
            assert guest.sign("key", b"m").status == lib.VKS_STATUS_OK
        assert after.api.get("/audit/verify")["ok"]
    vault.start()
    assert vault.facts("root", "show")["open"] is False
