# SPDX-License-Identifier: Apache-2.0
"""Restoring gives no key a right that it did not have in the backup, and no version under a nonce encrypts again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework.backups import restore
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib

OK, KEY_STATE = lib.VKS_STATUS_OK, lib.VKS_STATUS_KEY_STATE
LABELS = ("active", "suspended", "waiting")
SECRET = b"what was encrypted before"


@pytest.fixture(params=["aes-256", "chacha20-poly1305"])
def vault(request: pytest.FixtureRequest) -> Iterator[Keystored]:
    """A keystored with a key of one type in each state that may come to encrypt."""
    with Keystored() as keystored:
        keystored.add_guest("g")
        for label in LABELS:
            keystored.api.post("/keys", {"label": label, "type": request.param, "activate": label != "waiting"})
            keystored.api.grant("g", label, ["encrypt", "decrypt"])
        yield keystored


def encrypt(guest: RingGuest, label: str) -> tuple[int, bytes]:
    """Status and ciphertext."""
    answer = guest.ask(lib.VKS_OP_ENCRYPT, label, SECRET, output_bytes=128)
    return answer.status, answer.data


def decrypt(guest: RingGuest, label: str, sealed: bytes, version: int = 0) -> int:
    """Its status."""
    status: int = guest.ask(lib.VKS_OP_DECRYPT, label, sealed, key_version=version, output_bytes=128).status
    return status


def test_what_did_nothing_does_nothing(vault: Keystored, tmp_path: Path) -> None:
    """A suspended key stays suspended, one that was not active is never activated; both can be rotated on purpose."""
    with ring_guest(vault.folder / "g.sock") as guest:
        sealed = {label: encrypt(guest, label)[1] for label in LABELS}
        vault.cli("key", "suspend", "suspended")
        assert decrypt(guest, "suspended", sealed["suspended"]) == KEY_STATE
    vault.cli("backup", tmp_path / "backup")
    old = vault.state_dir
    # What the backup cannot know: the key that waits is activated after it, and used.
    vault.cli("key", "activate", "waiting")
    with ring_guest(vault.folder / "g.sock") as guest:
        sealed["waiting"] = encrypt(guest, "waiting")[1]
    vault.stop()
    said = restore(vault, tmp_path / "backup", "--json").facts
    assert (said["to_rotate"], said["suspended"]) == (["active"], ["suspended", "waiting"])
    shutil.copy(old / "kek", vault.state_dir / "kek")
    vault.start()
    with ring_guest(vault.folder / "g.sock") as guest:
        assert decrypt(guest, "active", sealed["active"]) == OK
        for label in ("suspended", "waiting"):
            assert vault.facts("key", "show", label)["state"] == "suspended"
            assert decrypt(guest, label, sealed[label]) == KEY_STATE
            refused = vault.cli("key", "activate", label, ok=False)
            assert refused.stderr.splitlines() == [
                f"vmm-keystore: key '{label}' version 1 came from a backup, which does not know the nonces used after it",
                "hint: key deactivate lets it decrypt, key rotate makes a version that encrypts",
            ]
            assert encrypt(guest, label)[0] == KEY_STATE
            vault.cli("key", "deactivate", label)
            assert decrypt(guest, label, sealed[label]) == OK
            assert encrypt(guest, label)[0] == KEY_STATE
            vault.cli("key", "rotate", label)
            assert encrypt(guest, label)[0] == OK
            assert decrypt(guest, label, sealed[label], 1) == OK
    # A version that was made here is suspended and activated like any other.
    vault.cli("key", "suspend", "waiting")
    vault.cli("key", "activate", "waiting")
    [line] = [line for line in vault.api.get("/audit?limit=100")["lines"] if line.get("action") == "restore"]
    assert (line["deactivated"], line["suspended"]) == (["active"], ["suspended", "waiting"])


def test_it_is_said_to_a_reader(vault: Keystored, tmp_path: Path) -> None:
    """Which keys to rotate, and which stay out of use."""
    vault.cli("key", "suspend", "suspended")
    vault.cli("backup", tmp_path / "backup")
    vault.stop()
    lines = restore(vault, tmp_path / "backup").stdout.splitlines()
    assert lines[1:7] == [
        "these do not encrypt until they are rotated (vmm-keystore key rotate):",
        "  active",
        "these stay out of use and cannot be activated (key deactivate lets them decrypt, key rotate encrypt):",
        "  suspended",
        "  waiting",
        f"next: put the key encryption key back, as {vault.state_dir}/kek with mode 0600",
    ]
