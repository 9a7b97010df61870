# SPDX-License-Identifier: Apache-2.0
"""vks luks and cryptsetup's plugin over a guest's socket: who opens a disk, who no more, and what is said.

No device mapper is needed: keyslots are tried, and nothing is mapped. What a forged header gets is in
``test_luks_forged.py``; booting from such a disk is ``guest/test_encrypted_root.py``.
"""

import json
import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from framework.luks import PASSPHRASE, luks_format
from framework.luks_host import FOLDER, GUEST, KEY, PROGRAM, Host
from framework.native_guest import VKS


def test_vault_opens_what_was_enrolled(host: Host) -> None:
    """By a keyslot of its own beside the passphrase's; stock cryptsetup takes the secret."""
    assert "keyslot 1: key disks, version 1" in host.luks("enroll", KEY, stdin=PASSPHRASE + b"\n").stdout.decode()
    [token] = host.tokens()
    assert (token["keyslot"], token["label"], token["key_version"]) == (1, KEY, 1)
    assert token["key"] in host.luks("list").stdout.decode()
    assert "keyslot 1 is opened by key disks" in host.luks("check").stdout.decode()
    secret = host.luks("secret").stdout
    assert len(secret) == 32
    assert host.opens(secret)
    assert host.opens(PASSPHRASE)
    # Nothing in the header but the sealed form.
    assert secret not in host.disk.read_bytes()


def test_vks_runs_it(enrolled: Host) -> None:
    """``vks luks`` is vks-luks, which vks finds by its name; without it vks says what is missing."""
    enrolled.env["PATH"] = f"{FOLDER}:{enrolled.env['PATH']}"
    assert "key disks" in enrolled.run(VKS, "luks", "list", enrolled.disk).stdout.decode()
    enrolled.env["PATH"] = "/nonexistent"
    said = enrolled.run(VKS, "luks", "list", enrolled.disk, ok=False)
    assert said.status == 1
    assert "it is in the package vks-luks" in said.stderr
    said = enrolled.run(VKS, "--device", "/dev/null", "luks", "list", ok=False)
    assert said.status == 2
    assert "'luks' has to come first" in said.stderr


def test_plugin_opens_for_stock_cryptsetup(enrolled: Host) -> None:
    """Without a word about the vault; after a revoke it is refused and says so."""
    said = enrolled.with_plugin("open", "-v", "--test-passphrase", "--token-only", enrolled.disk)
    assert "Key slot 1 unlocked" in said.stdout.decode()
    assert re.search(r"key: +disks", enrolled.with_plugin("luksDump", enrolled.disk).stdout.decode())
    with enrolled.granted():
        said = enrolled.with_plugin("open", "--test-passphrase", "--token-only", enrolled.disk, ok=False)
        assert said.status
        assert "the vault refuses: key disks is not granted to this guest" in said.stderr


@pytest.mark.parametrize("command", ["check", "secret", "renew"])
def test_refused_after_revoke(enrolled: Host, command: str) -> None:
    """At once, with the command that the operator would have to type; with the grant back it opens again."""
    before = enrolled.disk.read_bytes()
    with enrolled.granted():
        said = enrolled.refused(command)
        assert "the vault refuses: key disks is not granted to this guest, or not there" in said
        assert f"vmm-keystore grant add {GUEST} {KEY} --ops decrypt" in said
        assert enrolled.opens(PASSPHRASE)
    assert enrolled.disk.read_bytes() == before
    enrolled.luks("check")


def test_enrolling_takes_the_whole_grant(host: Host) -> None:
    """A guest that may only open, as it is right for one that boots, is told what is missing; a wrong key likewise."""
    with host.granted("decrypt"):
        said = host.refused("enroll", KEY, stdin=PASSPHRASE + b"\n")
    assert "the grant of key disks does not allow this" in said
    assert "--ops data-key,decrypt,release" in said
    assert "key nobodys is not granted" in host.refused("enroll", "nobodys", stdin=PASSPHRASE + b"\n")
    assert host.tokens() == []


def test_wrong_passphrase_asks_no_vault(host: Host) -> None:
    """Nothing is made, there or here."""
    before, lines = host.disk.read_bytes(), audit_lines(host)
    assert "no keyslot is opened by this" in host.refused("enroll", KEY, stdin=b"wrong\n")
    assert "no passphrase from stdin" in host.refused("enroll", KEY, stdin=b"\n")
    assert "no passphrase from /nonexistent" in host.refused("enroll", KEY, "--key-file", "/nonexistent")
    assert "too long" in host.refused("enroll", KEY, stdin=bytes(600))
    assert (host.disk.read_bytes(), audit_lines(host)) == (before, lines)


def audit_lines(host: Host) -> int:
    """How many lines the log has about the key."""
    return len(host.vault.cli("audit", "tail", "-n", "1000", "--key", KEY).stdout.splitlines())


def test_key_file_and_stdin(host: Host, tmp_path: Path) -> None:
    """As cryptsetup reads them: all of the file, all of stdin."""
    file = tmp_path / "key"
    file.write_bytes(PASSPHRASE + b"\n")
    assert "no keyslot is opened" in host.refused("enroll", KEY, "--key-file", file)
    file.write_bytes(PASSPHRASE)
    host.luks("enroll", KEY, "--key-file", file)
    host.luks("remove", "--yes")
    host.luks("enroll", KEY, "--key-file", "-", stdin=PASSPHRASE)


def test_terminal_is_asked_and_shows_nothing(host: Host) -> None:
    """The prompt appears, what is typed does not."""
    ours, theirs = pty.openpty()
    command = [str(PROGRAM), "enroll", str(host.disk), KEY]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=host.env) as process:
        os.close(theirs)
        shown = b""
        try:
            while b"passphrase of" not in shown or not shown.endswith(b": "):
                shown += os.read(ours, 1000)
            os.write(ours, PASSPHRASE + b"\n")
            with suppress(OSError):  # the far end is closed
                while more := os.read(ours, 1000):
                    shown += more
        except BaseException:
            process.kill()
            raise
    os.close(ours)
    assert process.returncode == 0
    assert b"keyslot 1: key disks" in shown
    assert PASSPHRASE not in shown


def test_secret_is_not_for_a_terminal(enrolled: Host) -> None:
    """Where it would stay in the scroll-back."""
    ours, theirs = pty.openpty()
    command = [str(PROGRAM), "secret", str(enrolled.disk)]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=enrolled.env, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 1
    assert b"will not print a secret on a terminal" in done.stderr


def test_rotation_and_renewal(enrolled: Host) -> None:
    """An old secret opens after a rotation; renewed, it is of the current version, and the old one opens nothing."""
    old = enrolled.luks("secret").stdout
    enrolled.vault.cli("key", "rotate", KEY)
    version = json.loads(enrolled.vault.cli("key", "show", KEY, "--json").stdout)["current_version"]
    assert enrolled.luks("secret").stdout == old
    enrolled.luks("renew")
    [token] = enrolled.tokens()
    assert token["key_version"] == version
    enrolled.luks("check")
    assert not enrolled.opens(old)
    assert enrolled.opens(enrolled.luks("secret").stdout)


def test_removal(enrolled: Host) -> None:
    """Asked for twice, without the vault, and the secret opens nothing then."""
    secret = enrolled.luks("secret").stdout
    assert "has a token of the vault already" in enrolled.refused("enroll", KEY, stdin=PASSPHRASE + b"\n")
    assert "add --yes" in enrolled.refused("remove")
    with enrolled.granted():
        enrolled.luks("remove", "--yes")
    assert enrolled.tokens() == []
    assert not enrolled.opens(secret)
    assert enrolled.opens(PASSPHRASE)
    assert "has no token of the vault" in enrolled.refused("remove", "--yes")
    assert "'vks luks enroll' makes one" in enrolled.refused("check")


def test_last_way_in_stays(enrolled: Host) -> None:
    """A disk that nothing but the vault opens is not made one that nothing opens."""
    secret = enrolled.luks("secret").stdout
    enrolled.run("cryptsetup", "luksKillSlot", "--batch-mode", "--key-file", "-", enrolled.disk, "0", stdin=secret)
    assert "without the vault nothing would open" in enrolled.refused("remove", "--yes")
    enrolled.luks("check")


def test_token_without_its_keyslot(enrolled: Host) -> None:
    """Is said to be a leftover, and goes away by remove."""
    enrolled.run("cryptsetup", "luksKillSlot", "--batch-mode", "--key-file", "-", enrolled.disk, "1", stdin=PASSPHRASE)
    assert enrolled.tokens()[0]["keyslot"] is None
    assert "no keyslot" in enrolled.luks("list").stdout.decode()
    assert "the keyslot of the vault's token is gone" in enrolled.refused("check")
    enrolled.luks("remove", "--yes")
    assert enrolled.tokens() == []


def test_what_is_no_header(host: Host, tmp_path: Path) -> None:
    """LUKS1, something else, nothing: each is said."""
    older = luks_format(tmp_path / "older", "--type", "luks1")
    zeros = tmp_path / "zeros"
    zeros.write_bytes(bytes(1 << 20))
    said = host.run(PROGRAM, "check", older, ok=False)
    assert "the header is of LUKS1, not LUKS2\nhint: LUKS1 has no tokens" in said.stderr
    for path, reason in {
        zeros: "no LUKS2 header",
        tmp_path / "nothing": "no such block device or file, or no permission",
    }.items():
        said = host.run(PROGRAM, "check", path, ok=False)
        assert said.status == 1
        assert said.stderr == f"vks: luks: {path}: {reason}\n"


def test_without_a_device(enrolled: Host) -> None:
    """Is no refusal, and has another hint."""
    enrolled.env["VKS_DEVICE"] = "/dev/keystore-of-nobody"
    said = enrolled.refused("check")
    assert "no way to the vault: no device" in said
    assert "is the module virtio_keystore loaded" in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "which command?"),
        (("close",), "no command 'close'"),
        (("enroll",), "DISK is missing"),
        (("enroll", "disk"), "KEY is missing"),
        (("check", "disk", "more"), "one word too many"),
        (("check", "disk", "--json"), "takes no option --json"),
        (("check", "--device"), "needs a value"),
        (("remove", "disk", "--yes=1"), "takes no value"),
        (("check", "--what"), "no option '--what'"),
    ],
)
def test_command_line(host: Host, words: tuple[str, ...], reason: str) -> None:
    """What is wrong with it is said, and the status is 2."""
    said = host.run(PROGRAM, *words, ok=False)
    assert said.status == 2
    assert reason in said.stderr


def test_help(host: Host) -> None:
    """Names every command; each command names its options."""
    text = host.run(PROGRAM, "--help").stdout.decode()
    for command in ("enroll", "list", "check", "open", "renew", "remove", "secret"):
        assert f"\n  {command} " in text
        assert f"usage: vks luks {command} " in host.run(PROGRAM, command, "--help").stdout.decode()
    assert "--key-file FILE" in host.run(PROGRAM, "enroll", "--help").stdout.decode()
