# SPDX-License-Identifier: Apache-2.0
"""Requests that a running keystored refuses: one clear line, non-zero, and the store as it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.operator_view import (
    NOBODY,
    ask,
    assert_one_clear_line,
    everything,
    needs_another_user,
)
from framework.keystored import Keystored

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystored]:
    """One keystored with a guest, a key of each form and a grant; the tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("refusals")
    with Keystored(folder) as keystored:
        for arguments in (
            ["guest", "add", "web", "--socket", folder / "web.sock"],
            ["guest", "add", "idle", "--socket", folder / "idle.sock"],
            ["key", "generate", "tls", "--type", "ec-p256"],
            ["key", "generate", "disk", "--type", "aes-256"],
            ["key", "generate", "gone", "--type", "ed25519"],
            ["key", "destroy", "gone", "--yes"],
            ["grant", "add", "web", "tls", "--ops", "sign"],
            ["role", "add", "front"],
            ["role", "assign", "front", "web"],
        ):
            outcome = ask(keystored, *arguments)
            assert outcome.status == 0, outcome.stderr
        yield keystored


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["key", "show", "absent"], ["absent"]),
        (["guest", "set", "absent", "--own-keys", "3"], ["absent"]),
        (["grant", "add", "web", "tls", "--ops", "destroy"], ["ec-p256", "destroy"]),
        (["key", "generate", "web:tls", "--type", "ec-p256"], []),
        (["key", "show", "web:absent"], ["web:absent"]),
        (["key", "rotate", "absent"], ["absent"]),
        (["key", "suspend", "absent"], ["absent"]),
        (["key", "destroy", "absent", "--yes"], ["absent"]),
        (["key", "public", "absent"], ["absent"]),
        (["key", "destroy", "absent", "--after", "1d"], ["absent"]),
        (["key", "destroy", "gone", "--after", "1d"], ["gone"]),
        (["key", "destroy", "tls", "--cancel"], ["tls"]),
        (["key", "rotation", "gone", "--off"], ["gone"]),
        (["key", "min-version", "tls", "2"], ["tls", "2"]),
        (["key", "public", "tls", "--version", "9"], ["tls", "9"]),
        (["key", "public", "disk"], ["disk"]),
        (["key", "activate", "gone"], ["gone"]),
        (["key", "csr", "absent", "--subject", "CN=x"], ["absent"]),
        (["key", "csr", "tls", "--version", "9", "--subject", "CN=x"], ["tls", "9"]),
        (["key", "csr", "disk", "--subject", "CN=x"], ["disk", "does not sign"]),
        (["key", "csr", "gone", "--subject", "CN=x"], ["gone", "destroyed"]),
        (["key", "csr", "tls"], ["no name"]),
        (["key", "csr", "tls", "--subject", "/CN=x"], ["'/CN=x'", "RFC 4514"]),
        (["key", "csr", "tls", "--subject", "CN=a,emailAddress=b"], ["e-mail address"]),
        (["key", "csr", "tls", "--dns", "under_score.example"], ["under_score.example"]),
        (["key", "csr", "tls", "--ip", "300.1.1.1"], ["300.1.1.1"]),
        (["key", "csr", "tls", "--email", "nobody"], ["nobody"]),
        (["key", "csr", "tls", "--uri", "relative"], ["relative"]),
        (["key", "self-sign", "tls", "--subject", "", "--dns", "a.example", "--days", "1"], ["subject"]),
        (["key", "certificate", "show", "tls"], ["tls", "no certificate"]),
        (["key", "certificate", "remove", "tls"], ["tls", "no certificate"]),
        (["key", "certificate", "set", "tls", "/nowhere/chain.pem"], ["/nowhere/chain.pem"]),
        (["key", "generate", "tls", "--type", "ec-p256"], ["tls"]),
        (["key", "generate", "new", "--type", "rot13"], ["rot13"]),
        (["key", "generate", "a/b", "--type", "ec-p256"], []),
        (["key", "generate", "x" * 64, "--type", "ec-p256"], []),
        (["key", "generate", "", "--type", "ec-p256"], []),
        (["guest", "show", "absent"], ["absent"]),
        (["guest", "remove", "absent"], ["absent"]),
        (["guest", "add", "web", "--socket", "/tmp/other.sock"], ["web"]),
        (["guest", "add", "new", "--socket", "/nowhere/new.sock"], ["/nowhere/new.sock"]),
        (["guest", "add", "new", "--socket", "/tmp/" + "x" * 120], []),
        (["qemu-args", "absent"], ["absent"]),
        (["grant", "add", "absent", "tls", "--ops", "sign"], ["absent"]),
        (["grant", "add", "web", "absent", "--ops", "sign"], ["absent"]),
        (["grant", "add", "web", "tls", "--ops", "sign"], ["web", "tls"]),
        (["grant", "add", "idle", "tls", "--ops", "fly"], ["fly"]),
        (["grant", "add", "idle", "tls", "--ops", "encrypt"], ["encrypt"]),
        (["grant", "add", "idle", "tls", "--ops", "sign", "--mechanisms", "aes-gcm"], ["aes-gcm"]),
        (["grant", "add", "idle", "tls", "--ops", "sign", "--mechanisms", "rot13"], ["rot13"]),
        (["grant", "remove", "web", "absent"], ["absent"]),
        (["grant", "remove", "idle", "tls"], ["idle", "tls"]),
        (["grant", "add", "@absent", "tls", "--ops", "sign"], ["role 'absent'"]),
        (["grant", "add", "@front", "tls", "--ops", "sign"], ["guest 'web'", "key 'tls'"]),
        (["role", "add", "front"], ["front"]),
        (["role", "add", "@front"], []),
        (["role", "show", "absent"], ["absent"]),
        (["role", "remove", "absent"], ["absent"]),
        (["role", "assign", "front", "web"], ["web", "front"]),
        (["role", "assign", "front", "absent"], ["absent"]),
        (["role", "unassign", "front", "idle"], ["idle", "front"]),
        (["audit", "verify", "/nowhere"], ["/nowhere"]),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_said_and_not_half_done(
    vault: Keystored, arguments: list[str], words: list[str]
) -> None:
    before = everything(vault)
    outcome = ask(vault, *arguments)
    assert_one_clear_line(outcome, *words, status=2 if arguments[1] == "verify" else 1)
    assert everything(vault) == before


def test_a_taken_socket_path_is_refused(vault: Keystored, tmp_path: Path) -> None:
    """Of another guest, and of somebody else's file, which stays."""
    before = everything(vault)
    taken = vault.facts("guest", "show", "web")["socket"]
    assert_one_clear_line(ask(vault, "guest", "add", "new", "--socket", taken), taken)
    file = tmp_path / "file"
    file.write_text("mine")
    assert_one_clear_line(ask(vault, "guest", "add", "new", "--socket", file), str(file))
    assert file.read_text() == "mine"
    assert everything(vault) == before


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are no key to import, and two that are."""
    folder = tmp_path_factory.mktemp("files")
    good = folder / "good.pem"
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", good)
    protected = ("-aes256", "-pass", f"pass:{PASSPHRASE}")
    _openssl("genpkey", "-algorithm", "ED25519", *protected, "-out", folder / "protected.pem")
    _openssl("pkey", "-in", good, "-pubout", "-out", folder / "public.pem")
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521", "-out", folder / "p521.pem")
    _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", folder / "rsa1024.pem")
    _openssl("req", "-x509", "-key", good, "-subj", "/CN=x", "-days", "1", "-out", folder / "certificate.pem")
    text = good.read_text()
    (folder / "torn.pem").write_text(text[: len(text) // 2])
    middle = len(text) // 2
    (folder / "flipped.pem").write_text(text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :])
    (folder / "empty.pem").touch()
    (folder / "noise.pem").write_bytes(os.urandom(4096))
    (folder / "words.pem").write_text("this is no key\n")
    (folder / "raw31").write_bytes(os.urandom(31))
    (folder / "raw32").write_bytes(os.urandom(32))
    (folder / "huge").write_bytes(bytes(4 << 20))
    (folder / "wrong").write_text("not the passphrase\n")
    (folder / "right").write_text(PASSPHRASE + "\n")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.pem"], ["absent.pem"]),
        (["empty.pem"], ["empty.pem"]),
        (["words.pem"], ["words.pem"]),
        (["noise.pem"], ["noise.pem"]),
        (["torn.pem"], ["torn.pem"]),
        (["flipped.pem"], ["flipped.pem"]),
        (["public.pem"], ["public.pem"]),
        (["certificate.pem"], ["certificate.pem"]),
        (["p521.pem"], ["p521.pem"]),
        (["rsa1024.pem"], ["rsa1024.pem"]),
        (["huge"], ["huge"]),
        ([""], []),
        (["good.pem", "--type", "ed25519"], ["ed25519"]),
        (["good.pem", "--type", "rot13"], ["rot13"]),
        (["good.pem", "--format", "docx"], ["docx"]),
        (["raw31", "--type", "aes-256", "--format", "raw"], ["raw31"]),
        (["raw32", "--format", "raw"], []),
        (["protected.pem", "--passphrase-file", "wrong"], ["passphrase"]),
        (["protected.pem", "--passphrase-file", "empty.pem"], ["passphrase"]),
        (["protected.pem", "--passphrase-file", "absent"], ["absent"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_no_key_is_not_imported(vault: Keystored, files: Path, arguments: list[str], words: list[str]) -> None:
    before = everything(vault)
    names = [
        str(files / word) if not word or (files / word).exists() or "absent" in word else word for word in arguments
    ]
    outcome = ask(vault, "key", "import", "new", *names)
    assert outcome.status in {1, 2}
    assert_one_clear_line(outcome, *words, status=outcome.status)
    assert PASSPHRASE not in outcome.stderr
    assert everything(vault) == before


def test_a_duplicate_label_is_refused_for_imports_too(vault: Keystored, files: Path) -> None:
    before = everything(vault)
    assert_one_clear_line(ask(vault, "key", "import", "tls", files / "good.pem"), "tls")
    assert everything(vault) == before


def test_no_terminal_and_no_passphrase_file_is_an_error_not_a_hang(vault: Keystored, files: Path) -> None:
    before = everything(vault)
    outcome = ask(vault, "key", "import", "new", files / "protected.pem")
    assert outcome.status in {1, 2}
    assert_one_clear_line(outcome, "passphrase", status=outcome.status)
    assert everything(vault) == before


def test_the_same_files_import_when_all_is_right(vault: Keystored, files: Path) -> None:
    """The refusals above are not those of an import that never works."""
    for label, arguments in {
        "one": ["good.pem"],
        "two": ["protected.pem", "--passphrase-file", str(files / "right")],
        "three": ["raw32", "--type", "aes-256", "--format", "raw"],
    }.items():
        outcome = ask(vault, "key", "import", label, files / arguments[0], *arguments[1:])
        assert outcome.status == 0, outcome.stderr
    public = ask(vault, "key", "public", "one").stdout
    expected = subprocess.run(
        ["openssl", "pkey", "-in", files / "good.pem", "-pubout"], capture_output=True, text=True, check=True
    )
    assert public == expected.stdout
    for label in ("one", "two", "three"):
        assert ask(vault, "key", "destroy", label, "--yes").status == 0


@needs_another_user
def test_another_user_cannot_reach_the_socket(vault: Keystored) -> None:
    outcome = ask(vault, "key", "list", uid=NOBODY)
    assert_one_clear_line(outcome, "permission denied", str(vault.control_socket), status=3)


@needs_another_user
def test_another_user_who_reaches_the_socket_is_refused(vault: Keystored) -> None:
    """File modes are the first fence, the peer's uid the second."""
    closed = [path for path in (vault.state_dir, *vault.state_dir.parents) if not path.stat().st_mode & 0o001]
    modes = {path: path.stat().st_mode & 0o7777 for path in (vault.control_socket, *closed)}
    before = everything(vault)
    try:
        for path in closed:
            path.chmod(modes[path] | 0o001)
        vault.control_socket.chmod(0o666)
        outcome = ask(vault, "key", "destroy", "tls", "--yes", uid=NOBODY)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert_one_clear_line(outcome, str(NOBODY))
    assert everything(vault) == before
