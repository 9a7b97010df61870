# SPDX-License-Identifier: Apache-2.0
"""``key tag``, ``untag`` and ``alias``: what a person types and reads, against a real keystored."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator

import pytest
from framework.keystored import PROGRAM, Keystored, environment


@pytest.fixture(scope="module")
def vault() -> Iterator[Keystored]:
    """Three keys and an alias."""
    with Keystored() as opened:
        opened.cli("key", "generate", "web-1", "--type", "ed25519", "--tag", "env=prod", "--tag", "team=web")
        opened.cli("key", "generate", "web-2", "--type", "ed25519", "--tag", "env=prod")
        raw = opened.folder / "raw"
        raw.write_bytes(bytes(16))
        opened.cli("key", "import", "disk", raw, "--type", "aes-128", "--format", "raw", "--tag", "env=test")
        opened.cli("key", "alias", "set", "tls", "web-1")
        yield opened


def listed(vault: Keystored, *tags: str) -> list[str]:
    return [key["label"] for key in vault.facts("key", "list", *(word for tag in tags for word in ("--tag", tag)))]


def test_tags(vault: Keystored) -> None:
    """Given with the key, found by, changed, shown, taken away."""
    assert listed(vault, "env=prod") == ["web-1", "web-2"]
    assert listed(vault, "env=prod", "team") == ["web-1"]
    assert listed(vault, "env") == ["disk", "web-1", "web-2"]
    assert listed(vault, "env=none") == []
    said = vault.cli("key", "tag", "disk", "owner=a b", "env=prod").stdout
    assert said == "key disk has the tags env=prod, owner=a b\n"
    assert listed(vault, "env=prod", "owner=a b") == ["disk"]
    assert "tags:                  env=prod,owner=a b\n" in vault.cli("key", "show", "disk").stdout
    assert "  env=prod,team=web\n" in vault.cli("key", "list", "web-1").stdout
    assert vault.cli("key", "untag", "disk", "owner").stdout == "key disk no longer has owner; tags left: env=prod\n"
    assert vault.facts("key", "tag", "disk", "env=test")["tags"] == {"env": "test"}


def test_aliases(vault: Keystored) -> None:
    """Set, moved, used in place of a label, listed, removed."""
    assert vault.cli("key", "public", "tls").stdout == vault.cli("key", "public", "web-1").stdout
    said = vault.cli("key", "alias", "set", "tls", "web-2").stdout
    assert said == "alias tls stands for key web-2, no longer for web-1\n"
    assert vault.cli("key", "public", "tls").stdout == vault.cli("key", "public", "web-2").stdout
    assert "aliases:               tls\n" in vault.cli("key", "show", "tls").stdout
    (alias,) = vault.facts("key", "alias", "list")
    assert (alias["alias"], alias["key"]) == ("tls", "web-2")
    head, line = vault.cli("key", "alias", "list").stdout.splitlines()
    assert (head.split(), line.split()[:2]) == (["ALIAS", "KEY", "SINCE"], ["tls", "web-2"])
    (moved,) = vault.cli("audit", "tail", "--key", "tls", "--op", "key-alias-set", "--json").stdout.splitlines()
    assert (json.loads(moved)["key"], json.loads(moved)["moved_from"]) == ("web-2", "web-1")
    vault.cli("key", "alias", "set", "other", "disk")
    assert vault.cli("key", "alias", "remove", "other").stdout == "alias other removed; it stood for key disk\n"
    assert vault.cli("key", "alias", "set", "tls", "web-1").stdout.endswith("no longer for web-2\n")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("key", "tag", "web-1", "env"), "tag 'env' has no value", "give it as env=value"),
        (
            ("key", "tag", "web-1", "a/b=c"),
            "'a/b' is no name of a tag",
            "letters, digits, '.', '_' and '-', at most 63, the first no mark",
        ),
        (
            ("key", "tag", "web-1", "env=\x1b[31m"),
            r"tag 'env' cannot have the value '\x1b[31m'",
            "1 to 128 printable ASCII characters, none of the first and last a blank",
        ),
        (("key", "tag", "web-1", "a=1", "a=2"), "tag 'a' is given twice", "a key has one value of a tag"),
        (
            ("key", "tag", "web-1", *(f"t{number}=x" for number in range(31))),
            "key 'web-1' would have 33 tags, 32 is the most",
            "vmm-keystore key untag takes some away",
        ),
        (("key", "untag", "web-1", "no"), "key 'web-1' has no tag 'no'", "vmm-keystore key show says which"),
        (("key", "tag", "absent", "a=b"), "no key 'absent'", "vmm-keystore key list shows those there are"),
        (("key", "list", "--tag", "env="), "tag 'env' cannot have the value ''", "1 to 128 printable"),
        (("key", "generate", "new", "--type", "aes-128", "--tag", "x"), "tag 'x' has no value", "give it as x=value"),
        (
            ("key", "generate", "tls", "--type", "aes-128"),
            "'tls' is an alias of key 'web-1'",
            "choose another label, or free this one: vmm-keystore key alias remove tls",
        ),
        (
            ("key", "alias", "set", "web-2", "web-1"),
            "there is a key 'web-2': it cannot be an alias",
            "a name is a label or an alias; choose another",
        ),
        (("key", "alias", "set", "new", "absent"), "no key 'absent'", "vmm-keystore key list shows those there are"),
        (
            ("key", "alias", "remove", "absent"),
            "no alias 'absent'",
            "vmm-keystore key alias list shows those there are",
        ),
    ],
)
def test_refused(vault: Keystored, arguments: tuple[str, ...], message: str, hint: str) -> None:
    """One line with the cause and one with a hint; nothing is changed."""
    before = vault.facts("key", "list"), vault.facts("key", "alias", "list")
    outcome = vault.cli(*arguments, ok=False)
    said = outcome.stderr.splitlines()
    assert (outcome.status, outcome.stdout, len(said)) == (1, "", 2)
    assert said[0] == f"vmm-keystore: {message}"
    assert said[1].startswith(f"hint: {hint}")
    assert (vault.facts("key", "list"), vault.facts("key", "alias", "list")) == before


def test_destruction_names_the_key(vault: Keystored) -> None:
    """A person is asked about the key that the alias stands for, and just that one is destroyed."""
    vault.api.generate("old", "ed25519")
    vault.api.generate("young", "ed25519")
    vault.cli("key", "alias", "set", "current", "old")
    asked = environment() | {"VMM_KEYSTORE_CONTROL_SOCKET": str(vault.control_socket)}
    ours, theirs = pty.openpty()
    command = [str(PROGRAM), "key", "destroy", "current"]
    with subprocess.Popen(
        command, env=asked, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout
        assert program.stderr
        question = "destroy key old with all its versions? this cannot be undone; type yes: "
        assert program.stderr.read(len(question)) == question
        # While the person thinks about it.
        vault.cli("key", "alias", "set", "current", "young")
        os.write(ours, b"yes\n")
        assert program.stdout.read() == "key old is destroyed\n"
    os.close(ours)
    os.close(theirs)
    assert [vault.api.get(f"/keys/{label}")["state"] for label in ("old", "young")] == ["destroyed", "active"]
    vault.cli("key", "alias", "remove", "current")
    assert vault.cli("key", "suspend", "tls").stdout == "key web-1 is suspended\n"
    assert vault.cli("key", "activate", "tls").stdout == "key web-1 is active\n"


def test_api_holds_the_bounds_itself(vault: Keystored) -> None:
    """Whoever asks without the command line is refused too."""
    for path, body in (
        ("/keys/web-1/tag", {"tags": {}}),
        ("/keys/web-1/tag", {"tags": {"a": " b"}}),
        ("/keys/web-1/tag", {"tags": {"a/b": "c"}}),
        ("/keys/web-1/tag", {"tags": {f"t{number}": "x" for number in range(33)}}),
        ("/keys/web-1/untag", {"tags": []}),
        ("/keys", {"label": "new", "type": "aes-128", "tags": {"a": "\x1b"}}),
        ("/aliases", {"alias": "a/b", "key": "web-1"}),
    ):
        with pytest.raises(AssertionError, match=r" 400 .*invalid-request"):
            vault.api.post(path, body)


@pytest.mark.parametrize(
    ("line", "proposals"),
    [
        ("vmm-keystore key show t", ["tls"]),
        ("vmm-keystore key show w", ["web-1", "web-2"]),
        ("vmm-keystore key alias remove ", ["tls"]),
        ("vmm-keystore key untag web-1 t", ["team"]),
        ("vmm-keystore key untag absent ", []),
    ],
)
def test_shell_completion(vault: Keystored, line: str, proposals: list[str]) -> None:
    """Tab proposes labels, aliases, and a key's tags."""
    words = line.split(" ")
    asked = environment() | {
        "VMM_KEYSTORE_CONTROL_SOCKET": str(vault.control_socket),
        "_VMM_KEYSTORE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run([PROGRAM], env=asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == proposals, done.stderr + os.fsdecode(vault.log_text)
