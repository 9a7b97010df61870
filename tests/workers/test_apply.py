# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore apply``: a file becomes guests, roles, keys and grants, in force when it returns, all or nothing."""

import resource
from pathlib import Path
from typing import Any

import pytest
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib

OK, LIMIT, NO_KEY, DENIED = (lib.VKS_STATUS_OK, lib.VKS_STATUS_LIMIT, lib.VKS_STATUS_NO_KEY, lib.VKS_STATUS_DENIED)
FILE = """
[keys.tls]
type = "ed25519"
[keys.seal]
type = "aes-256"

[roles.web]
grants = [{ key = "tls", ops = ["sign", "verify"], ops_max = 5 }]

[guests.a]
socket = "{folder}/a.sock"
roles = ["web"]
[[guests.a.grants]]
key = "seal"
ops = ["encrypt", "decrypt"]
not_after = 2100-01-01T00:00:00Z

[guests.b]
socket = "{folder}/b.sock"
roles = ["web"]
"""

OWN_GRANT = '[[guests.n.grants]]\nkey = "tls"\nops = ["sign"]'


def write(vault: Keystored, text: str) -> Path:
    """The file."""
    path = vault.folder / "vault.toml"
    path.write_text(text.replace("{folder}", str(vault.folder)))
    return path


def everything(vault: Keystored) -> Any:
    """All that an administrator sees, but for what changes by itself."""
    guests = [
        {name: value for name, value in guest.items() if name != "worker"}
        for guest in vault.api.get("/guests")["guests"]
    ]
    return guests, [vault.api.get(f"/{name}")[name] for name in ("roles", "keys", "grants")]


def sign(guest: RingGuest) -> int:
    """One signature."""
    return guest.sign("tls", b"m").status


def test_from_nothing_and_on(vault: Keystored) -> None:
    """A dry run says what it would do and does nothing; then it is done, and then there is nothing to do."""
    path = write(vault, FILE)
    nothing = everything(vault)
    planned = vault.cli("apply", "-f", path, "--dry-run").stdout
    assert planned == (
        "+ key seal aes-256\n"
        "+ key tls ed25519\n"
        f"+ guest a {vault.folder}/a.sock\n"
        f"+ guest b {vault.folder}/b.sock\n"
        "+ role web\n"
        "+ role web 2 guests\n"
        "+ grant @web tls sign,verify ed25519 ops<=5\n"
        "+ grant a seal encrypt,decrypt aes-gcm not-after=4102444800\n"
        "8 changes; nothing was changed\n"
    )
    assert everything(vault) == nothing
    assert not (vault.folder / "a.sock").exists()
    assert vault.cli("apply", "-f", path).stdout == planned.replace("; nothing was changed", " are in force")
    assert vault.cli("apply", "-f", path).stdout == "nothing to change\n"
    with ring_guest(vault.folder / "a.sock") as a, ring_guest(vault.folder / "b.sock") as b:
        assert [sign(a) for _ in range(3)] == [OK] * 3
        assert sign(b) == OK
        assert sorted(entry.label for entry in a.list_keys()) == ["seal", "tls"]
        tls = a.key_id("tls")
        # Less for everybody, nothing more for b; what was used stays used.
        changed = FILE.replace('"sign", "verify"', '"sign"').replace("ops_max = 5", "ops_max = 4")
        changed = changed.replace('b.sock"\nroles = ["web"]', 'b.sock"')
        said = vault.cli("apply", "-f", write(vault, changed)).stdout
        assert said == (
            "- role web b\n~ grant @web tls sign,verify ed25519 ops<=5 -> sign ed25519 ops<=4\n2 changes are in force\n"
        )
        assert b.sign(tls, b"m").status == NO_KEY
        assert a.ask(lib.VKS_OP_VERIFY, "tls", b"m", parameter=bytes(64), output_bytes=0).status == DENIED
        assert [sign(a) for _ in range(2)] == [OK, LIMIT]
    lines = [line for line in vault.api.get("/audit?limit=1000")["lines"] if line["kind"] == "admin"]
    actions = [line["action"] for line in lines]
    assert actions == [
        *("key-generate", "key-generate", "guest-add", "guest-add", "role-add", "role-assign", "grant-add"),
        *("grant-add", "apply", "role-unassign", "grant-change", "apply"),
    ]
    assert lines[-1]["applied"].keys() == {"a", "b"}


def test_tags_and_aliases(vault: Keystored) -> None:
    """A key has just the tags that the file gives it, or keeps those it has; a grant may name a key by its alias."""
    vault.api.generate("old", "ed25519")
    vault.cli("key", "tag", "old", "by=hand")
    vault.cli("key", "alias", "set", "now", "old")
    text = '[keys.new]\ntype = "ed25519"\ntags = { env = "prod", n = "1" }\n[keys.old]\ntype = "ed25519"\n'
    text += '[guests.g]\nsocket = "{folder}/g.sock"\ngrants = [{ key = "now", ops = ["sign"] }]\n'
    path = write(vault, text)
    planned = vault.cli("apply", "-f", path, "--dry-run").stdout
    assert planned == (
        "+ key new ed25519\n"
        "~ key new env=prod n=1\n"
        f"+ guest g {vault.folder}/g.sock\n"
        "+ grant g old sign ed25519\n"
        "4 changes; nothing was changed\n"
    )
    assert vault.cli("apply", "-f", path).stdout == planned.replace("; nothing was changed", " are in force")
    assert [key["tags"] for key in vault.facts("key", "list")] == [{"env": "prod", "n": "1"}, {"by": "hand"}]
    assert vault.cli("apply", "-f", path).stdout == "nothing to change\n"
    less = text.replace('"prod", n = "1"', '"test"').replace('[keys.old]\ntype = "ed25519"', "")
    assert vault.cli("apply", "-f", write(vault, less)).stdout == "~ key new env=test -n\n1 changes are in force\n"
    assert [key["tags"] for key in vault.facts("key", "list")] == [{"env": "test"}, {"by": "hand"}]
    lines = vault.api.get("/audit?op=key-tag")["lines"]
    assert [line.get("detail") for line in lines] == [None, "env=prod n=1", "env=test -n"]
    vault.cli("apply", "-f", write(vault, less.replace('{ env = "test" }', "{}")))
    assert vault.facts("key", "show", "new")["tags"] == {}
    with ring_guest(vault.folder / "g.sock") as guest:
        # Guests see labels.
        assert [entry.label for entry in guest.list_keys()] == ["old"]


def test_prune(vault: Keystored) -> None:
    """What the file does not name stays, or goes with --prune; keys stay."""
    vault.cli("apply", "-f", write(vault, FILE))
    vault.add_guest("other")
    vault.api.grant("other", "tls", ["sign"])
    path = write(vault, FILE.partition("[guests.b]")[0])
    assert vault.cli("apply", "-f", path).stdout == "nothing to change\n"
    said = vault.cli("apply", "-f", path, "--prune").stdout
    assert said == ("- grant other tls sign ed25519\n- role web b\n- guest b\n- guest other\n4 changes are in force\n")
    assert [guest["name"] for guest in vault.api.get("/guests")["guests"]] == ["a"]
    assert not (vault.folder / "b.sock").exists()
    vault.cli("apply", "-f", write(vault, ""), "--prune")
    assert everything(vault)[0] == []
    assert [key["label"] for key in vault.api.get("/keys")["keys"]] == ["seal", "tls"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[guests", "is not TOML"),
        ('[guests.a]\nsocket = "/x/a.sock"\ncolour = "red"', "guests.a.colour: extra inputs are not permitted"),
        ('[guest.a]\nsocket = "/x/a.sock"', "guest: extra inputs are not permitted"),
        ("[guests.a]", "guests.a.socket: field required"),
        ('[guests."a/b"]\nsocket = "/x"', "guests.a/b"),
        ('[keys.k]\ntype = "rot13"', "keys.k.type: unknown key type 'rot13'"),
        ('[guests.n]\nsocket = "{folder}/n.sock"\nroles = ["no"]', "guest 'n' has a role 'no' that there is not"),
        ('[[guests.a.grants]]\nkey = "no"\nops = ["sign"]\n[guests.a]\nsocket = "{folder}/a.sock"', "a key 'no'"),
        ('[roles.r]\ngrants = [{ key = "tls", ops = ["encrypt"] }]', "a key of type ed25519 cannot encrypt"),
        ('[guests.a]\nsocket = "{folder}/z.sock"', "guest 'a' has another socket or owner"),
        ('[keys.k]\ntype = "ed25519"\ntags = { "a/b" = "c" }', "keys.k.tags.a/b"),
        ('[keys.k]\ntype = "ed25519"\ntags = { a = " b" }', "keys.k.tags.a: string should match pattern"),
        ('[keys.now]\ntype = "ed25519"', "'now' is an alias of key 'tls'"),
        ('[roles.r]\ngrants = [{ key = "tls", ops = ["sign"] }, { key = "now", ops = ["sign"] }]', "'tls' twice"),
        ('[keys.tls]\ntype = "rsa-2048"', "key 'tls' is of type ed25519, not rsa-2048"),
        # Refused by the last step, after sockets were made and keys generated.
        (
            '[keys.fresh]\ntype = "ed25519"\n[guests.n]\nsocket = "{folder}/n.sock"\nroles = ["web"]\n' + OWN_GRANT,
            "guest 'n' has key 'tls' by role 'web' already",
        ),
        ('[guests.n]\nsocket = "{folder}/nowhere/n.sock"', "cannot listen on"),
        ('[guests.n]\nsocket = "{folder}/a.sock"', "belongs to guest 'a'"),
    ],
)
def test_refused_as_a_whole(vault: Keystored, text: str, message: str) -> None:
    """One clear line, and nothing of it: no socket, no key, no grant; a dry run says the same where it can know."""
    vault.cli("apply", "-f", write(vault, FILE))
    vault.cli("key", "alias", "set", "now", "tls")
    before = everything(vault)
    path = write(vault, text)
    for arguments in ([], ["--dry-run"]):
        if arguments and message == "cannot listen on":
            continue
        refused = vault.cli("apply", "-f", path, *arguments, ok=False)
        assert message in refused.stderr.splitlines()[0]
        assert refused.stdout == ""
        assert everything(vault) == before
        assert not (vault.folder / "n.sock").exists()
    assert vault.cli("apply", "-f", write(vault, FILE)).stdout == "nothing to change\n"


def test_more_guests_than_files_may_be_open(vault: Keystored) -> None:
    """None of them comes, and it is said what to raise; with the limit raised they all do."""
    path = write(vault, "".join(f'[guests.g{number}]\nsocket = "{{folder}}/g{number}.sock"\n' for number in range(50)))
    vault.api.get("/guests")
    open_now = len(list(Path(f"/proc/{vault.pid}/fd").iterdir()))
    limits = resource.prlimit(vault.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(vault.pid, resource.RLIMIT_NOFILE, (open_now + 50, limits[1]))
    refused = vault.cli("apply", "-f", path, ok=False)
    assert refused.status == 1
    assert "too many open files" in refused.stderr.splitlines()[0]
    assert "hint: raise keystored's limit on open files (LimitNOFILE)" in refused.stderr.splitlines()[1]
    assert vault.api.get("/guests")["guests"] == []
    assert list(vault.folder.glob("*.sock")) == []
    resource.prlimit(vault.pid, resource.RLIMIT_NOFILE, limits)
    vault.cli("apply", "-f", path)
    assert len(vault.api.get("/guests")["guests"]) == 50
