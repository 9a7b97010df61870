# SPDX-License-Identifier: Apache-2.0
"""Recovery: shares and a backup are a vault again where nothing else is left, and who may make shares."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from framework.backups import restore
from framework.keystored import Keystored
from framework.ring_guest import ring_guest
from framework.share_text import ShareText
from workers.test_root_of_trust import LOCKED, change, passphrase_file

from vmm_keystore._vks import lib


@pytest.fixture
def vault() -> Iterator[Keystored]:
    with Keystored() as keystored:
        yield keystored


def exports(vault: Keystored) -> list[dict[str, Any]]:
    lines = vault.api.get("/audit?limit=1000")["lines"]
    return [line for line in lines if line.get("action") == "export-recovery"]


def test_vault_on_a_bare_machine(vault: Keystored, tmp_path: Path) -> None:
    """Of a passphrase's vault nothing is left but backup and shares: the guest signs with the key that it had."""
    socket = vault.add_guest("g")
    vault.api.generate("sig", "ed25519")
    vault.api.grant("g", "sig", ["sign"])
    change(vault, "passphrase", "--passphrase-file", passphrase_file(tmp_path))
    with ring_guest(socket) as guest:
        public = guest.public("sig")
    said = vault.cli("root", "export-recovery", tmp_path / "shares", "--threshold", "2", "--shares", "3").stdout
    kek = vault.facts("root", "show")["kek"]
    paths = sorted((tmp_path / "shares").iterdir())
    assert said.splitlines() == [
        *map(str, paths),
        f"any 2 of these give the kek {kek}; keep them apart, and not on this machine",
    ]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert [(line["kek"], line.get("status")) for line in exports(vault)] == [(kek, None)]
    vault.cli("backup", tmp_path / "backup")
    vault.stop()
    shutil.rmtree(vault.state_dir)

    recovered = tmp_path / "recovered"
    said = vault.cli("root", "recover", paths[2], paths[0], "--to", recovered).stdout
    assert said.splitlines() == [
        f"{recovered}: the kek {kek}",
        f"next: vmm-keystore restore BACKUP --root-key {recovered}; then remove {recovered}",
    ]
    assert recovered.stat().st_mode & 0o777 == 0o600
    restore(vault, tmp_path / "backup", "--root-key", recovered)
    vault.start()
    assert vault.facts("root", "show") == {
        "kind": "file",
        "open": True,
        "file": str(vault.state_dir / "kek"),
        "kek": kek,
        "token": None,
    }
    with ring_guest(socket) as guest:
        answer = guest.sign("sig", b"as before")
        assert (answer.status, guest.public("sig")) == (lib.VKS_STATUS_OK, public)
    Ed25519PublicKey.from_public_bytes(public[-32:]).verify(answer.data, b"as before")
    change(vault, "passphrase", "--passphrase-file", passphrase_file(tmp_path))
    assert vault.facts("root", "show")["kek"] != kek


def test_json(vault: Keystored, tmp_path: Path) -> None:
    """For programs: the files, and what the KEK is told by."""
    made = vault.facts("root", "export-recovery", tmp_path / "shares")
    paths = [str(tmp_path / "shares" / f"share-{number}-of-3") for number in (1, 2, 3)]
    kek = ShareText.parse(Path(paths[0]).read_text()).kek
    assert made == {"kek": kek, "threshold": 2, "files": paths}
    to = str(tmp_path / "kek")
    assert vault.facts("root", "recover", *paths, "--to", to) == {"kek": kek, "file": to}


def test_what_is_there_is_not_written_over(vault: Keystored, tmp_path: Path) -> None:
    """Neither a share nor a KEK file; what was made on the way is gone again, and the KEK was not asked for."""
    folder = tmp_path / "shares"
    folder.mkdir()
    (folder / "share-2-of-3").write_text("there")
    refused = vault.cli("root", "export-recovery", folder, ok=False)
    assert refused.stderr.splitlines() == [
        f"vmm-keystore: {folder}/share-2-of-3 exists",
        "hint: name another place: nothing is overwritten",
    ]
    assert [path.name for path in folder.iterdir()] == ["share-2-of-3"]
    assert exports(vault) == []
    vault.cli("root", "export-recovery", folder, "-n", "2")
    paths = [folder / f"share-{number}-of-2" for number in (1, 2)]
    refused = vault.cli("root", "recover", *paths, "--to", vault.state_dir / "kek", ok=False)
    assert refused.stderr.splitlines()[0] == f"vmm-keystore: {vault.state_dir}/kek exists"
    vault.api.generate("key", "aes-256")


@pytest.mark.parametrize(("threshold", "shares"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_shares_that_cannot_be(vault: Keystored, tmp_path: Path, threshold: int, shares: int) -> None:
    """A usage error with the bounds."""
    numbers = ["-m", str(threshold), "-n", str(shares)]
    refused = vault.cli("root", "export-recovery", tmp_path / "shares", *numbers, ok=False)
    assert (refused.status, refused.stderr.splitlines()) == (
        2,
        [f"vmm-keystore: shares of {threshold} of {shares} cannot be made", "hint: 2 <= M <= N <= 16"],
    )
    assert not (tmp_path / "shares").exists()


def test_shares_that_are_no_good(vault: Keystored, tmp_path: Path) -> None:
    """The message names the file; no KEK file is left."""
    vault.cli("root", "export-recovery", tmp_path / "shares")
    first, second, third = sorted((tmp_path / "shares").iterdir())
    to = tmp_path / "kek"
    text = second.read_text()
    second.write_text(text[:-5] + ("0" if text[-5] != "0" else "1") + text[-4:])
    none = tmp_path / "none"
    cases: list[tuple[list[str | Path], str]] = [
        ([first], "too few shares: 2 of their set are needed"),
        ([first, second], f"{second} has a wrong digit"),
        ([first, vault.state_dir / "kek"], f"{vault.state_dir}/kek is no share of a key encryption key"),
        ([first, none], f"cannot read {none}: no such file or directory"),
        ([first, tmp_path], f"{tmp_path} is no share of a key encryption key"),
        ([first] * 17, "17 shares are more than there can be"),
    ]
    for words, message in cases:
        refused = vault.cli("root", "recover", *words, "--to", to, ok=False)
        assert refused.stderr.splitlines()[0] == f"vmm-keystore: {message}"
        assert not to.exists()
    refused = vault.cli("root", "recover", first, third, "--to", tmp_path / "no" / "kek", ok=False)
    assert refused.stderr == f"vmm-keystore: cannot write {tmp_path}/no/kek: no such file or directory\n"


def test_locked_vault_and_none(vault: Keystored, tmp_path: Path) -> None:
    """No KEK, no shares and no files of any."""
    change(vault, "passphrase", "--passphrase-file", passphrase_file(tmp_path))
    vault.kill_all()
    vault.start()
    folder = tmp_path / "shares"
    assert vault.cli("root", "export-recovery", folder, ok=False).stderr.splitlines() == LOCKED
    assert "kek:       unknown while it is locked" in vault.cli("root", "show").stdout
    vault.stop()
    refused = vault.cli("root", "export-recovery", folder, ok=False)
    assert refused.stderr.startswith("vmm-keystore: keystored is not running")
    assert list(folder.iterdir()) == []


def test_offer_that_is_no_key(vault: Keystored) -> None:
    """A point of small order is refused, and that is on record."""
    offer = {"offer_id": "00" * 16, "public_key": "00" * 32}
    with pytest.raises(AssertionError, match="the offer to wrap the kek to is no public key"):
        vault.api.post("/root/export-recovery", offer)
    assert [line.get("status") for line in exports(vault)] == ["secret-refused"]
