# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token opens the keys (SoftHSM2): at each start, for each custodian; another one, or none, opens nothing.

Who is killed at which step of a change is tested in ``test_root_of_trust.py`` without a token: the steps are the same
for every kind, and what a token adds comes before the first of them.
"""

import os
import shutil
from pathlib import Path

import pytest
from framework.backups import restore
from framework.hsm_vault import keystored, refused_change, refused_start, seal, sign, with_keys
from framework.keystored import Keystored
from framework.software_hsm import KEY_LABEL, LABEL, MODULE, SoftwareHsm, only_root
from workers.test_root_of_trust import kill_custodian

from vmm_keystore._vks import lib


def test_each_start_is_opened(token_vault: Keystored, hsm: SoftwareHsm) -> None:
    """Without anybody there; and the custodian's as well."""
    root = token_vault.facts("root", "show")
    blob = (token_vault.state_dir / "kek").read_bytes()[112:-32]
    assert (root["kind"], len(blob), blob[0]) == ("hsm", 65, 1)
    assert root["token"] == {"label": LABEL, "serial": blob[1:17].decode()}
    assert f"token:     {LABEL}, serial number {blob[1:17].decode()}\n" in token_vault.cli("root", "show").stdout
    kill_custodian(token_vault)
    assert token_vault.facts("root", "show") == root
    token_vault.api.post("/keys/key/rotate")
    token_vault.kill_all()
    token_vault.start()
    assert sign(token_vault) == lib.VKS_STATUS_OK
    assert token_vault.facts("root", "show") == root
    token_vault.cli("root", "change", "file")
    assert token_vault.facts("root", "show")["token"] is None
    token_vault.stop()
    with Keystored(token_vault.folder) as without:
        assert sign(without) == lib.VKS_STATUS_OK
    token_vault.start()
    assert hsm.keys() == 1


def test_one_key_for_every_change(token_vault: Keystored, hsm: SoftwareHsm) -> None:
    """Each change has random bytes of its own; the token's key stays the same, and stays there."""
    before = (token_vault.state_dir / "kek").read_bytes()[112:-32]
    token_vault.cli("root", "change", "hsm")
    after = (token_vault.state_dir / "kek").read_bytes()[112:-32]
    assert (before[:33], len(after)) == (after[:33], 65)
    assert before[33:] != after[33:]
    assert hsm.keys() == 1
    token_vault.stop()
    token_vault.start()
    assert sign(token_vault) == lib.VKS_STATUS_OK


@only_root
def test_keystored_is_another_user(hsm: SoftwareHsm) -> None:
    """The token is that user's, the PIN's file root's alone: it was opened before."""
    hsm.folder.chmod(0o755)
    hsm.pin_file.chmod(0o400)
    for path in (hsm.tokens, *hsm.tokens.rglob("*")):
        shutil.chown(path, "nobody")
    vault = keystored(hsm, MODULE, "--user", "nobody")
    vault.folder.chmod(0o755)
    with vault:
        vault.api.generate("key", "ec-p256")
        seal(vault)
        kill_custodian(vault)
        assert vault.facts("root", "show")["open"]
        vault.stop()
        vault.start()
        assert vault.facts("root", "show")["token"]["label"] == LABEL


def test_another_token_opens_nothing(token_vault: Keystored, hsm: SoftwareHsm) -> None:
    """Of the same label and PIN; nor is there a start without one. The keys are there when the right one is back."""
    serial = token_vault.facts("root", "show")["token"]["serial"]
    token_vault.stop()
    aside = hsm.folder / "aside"
    shutil.move(hsm.tokens, aside)
    hsm.tokens.mkdir()
    absent = f"vmm-keystore: the token that the kek is sealed to is not there\nhint: no other token opens it; its serial number is {serial}\n"
    refused_start(token_vault, absent)
    hsm.add_token(LABEL)
    refused_start(token_vault, absent)
    shutil.rmtree(hsm.tokens)
    shutil.move(aside, hsm.tokens)
    with pytest.raises(
        AssertionError, match=r"sealed to a pkcs#11 token, and none was named\nhint: serve --hsm-module P"
    ):
        Keystored(token_vault.folder).start()
    token_vault.start()
    assert sign(token_vault) == lib.VKS_STATUS_OK


def test_key_that_is_gone(token_vault: Keystored, hsm: SoftwareHsm) -> None:
    """It is said, and nothing is made in its place; the key back, everything opens."""
    token_vault.stop()
    (token,) = hsm.tokens.iterdir()
    (key,) = (path for path in token.glob("*.object") if path.name != "token.object")
    aside = hsm.folder / "key"
    shutil.move(key, aside)
    refused_start(
        token_vault, "vmm-keystore: the token has lost the key that opens the kek\nhint: without it take a backup"
    )
    assert hsm.keys() == 0
    shutil.move(aside, key)
    token_vault.start()
    assert sign(token_vault) == lib.VKS_STATUS_OK


def test_key_that_could_leave_the_token(hsm: SoftwareHsm) -> None:
    """One that somebody made under our name is not used, nor removed."""
    hsm.tool("--keygen", "--key-type", "GENERIC:32", "--label", KEY_LABEL, "--id", "aa" * 16, "--extractable")
    with keystored(hsm) as started:
        with_keys(started)
        assert refused_change(started)[0] == (
            'vmm-keystore: the token\'s key "vmm-keystore root" is not fit to open a kek'
        )
    assert hsm.keys() == 1


def test_key_with_a_short_id(hsm: SoftwareHsm) -> None:
    """It could not be found again by the blob."""
    words = ("--keygen", "--key-type", "GENERIC:32", "--label", KEY_LABEL, "--id", "aa", "--sensitive")
    hsm.tool(*words, "--usage-sign", "--private")
    with keystored(hsm) as started:
        with_keys(started)
        assert refused_change(started)[0].endswith("has no id of 16 bytes")


def test_several_tokens(hsm: SoftwareHsm) -> None:
    """To seal to one takes its label; to open takes what the blob says."""
    hsm.add_token("other")
    with keystored(hsm) as unnamed:
        with_keys(unnamed)
        assert refused_change(unnamed) == [
            "vmm-keystore: several tokens could be meant",
            "hint: serve --hsm-token LABEL says which, by a label of its own",
        ]
        unnamed.stop()
        for label, said in (("none", "there is no such token"), ("x" * 33, "there is no such token")):
            named = Keystored(
                unnamed.folder, program=hsm.program, arguments=hsm.arguments(MODULE, "--hsm-token", label)
            )
            with named:
                assert refused_change(named)[0] == f"vmm-keystore: {said}"
        chosen = Keystored(unnamed.folder, program=hsm.program, arguments=hsm.arguments(MODULE, "--hsm-token", "other"))
        with chosen:
            seal(chosen)
            assert chosen.facts("root", "show")["token"]["label"] == "other"
        unnamed.start()
        assert unnamed.facts("root", "show")["token"]["label"] == "other"


def test_without_a_token() -> None:
    """What a person reads."""
    with Keystored() as plain:
        assert plain.cli("root", "change", "hsm", ok=False).stderr.splitlines() == [
            "vmm-keystore: keystored was started without a pkcs#11 token",
            "hint: serve --hsm-module PATH --hsm-pin FILE say what opens it",
        ]
        for options, said in (
            (("--hsm-pin", "/x"), "--hsm-token, --hsm-pin and --hsm-env go with --hsm-module"),
            (("--hsm-module", "/x"), "--hsm-module takes --hsm-pin FILE, the file with the token's pin"),
            (("--hsm-module", "x", "--hsm-pin", "/x"), "--hsm-module takes an absolute path, which x is not"),
            (
                ("--hsm-module", "/x", "--hsm-pin", "/none"),
                "cannot open the token's pin /none: no such file or directory",
            ),
            (("--hsm-module", "/x", "--hsm-pin", "/x", "--hsm-env", "A=1"), "--hsm-env takes the name of a variable"),
            (
                ("--hsm-module", "/x", "--hsm-pin", "/x", "--hsm-env", "LD_PRELOAD"),
                "--hsm-env does not take LD_PRELOAD",
            ),
        ):
            assert said in plain.cli("serve", *options, ok=False).stderr


def test_damaged_file_costs_no_try(token_vault: Keystored) -> None:
    """It is said of the file, not of the token."""
    token_vault.stop()
    path = token_vault.state_dir / "kek"
    good = path.read_bytes()
    for position in (19, 140, len(good) - 1):
        damaged = bytearray(good)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        refused_start(token_vault, "vmm-keystore: the kek is damaged\n")
    path.write_bytes(good)
    token_vault.start()
    assert sign(token_vault) == lib.VKS_STATUS_OK


def test_backup_is_restored_with_the_token(token_vault: Keystored, hsm: SoftwareHsm, tmp_path: Path) -> None:
    """On whatever machine it is plugged into; without it the backup's KEK is refused."""
    token_vault.cli("backup", tmp_path / "backup")
    (tmp_path / "kek").write_bytes((token_vault.state_dir / "kek").read_bytes())
    token_vault.stop()
    key = ("--root-key", tmp_path / "kek")
    refused = restore(token_vault, tmp_path / "backup", *key, ok=False)
    assert "sealed to a pkcs#11 token, and none was named" in refused.stderr
    for name, value in hsm.environment.items():
        os.environ[name] = value
    try:
        restore(token_vault, tmp_path / "backup", *key, *hsm.arguments())
    finally:
        for name in hsm.environment:
            del os.environ[name]
    token_vault.start()
