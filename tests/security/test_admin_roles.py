# SPDX-License-Identifier: Apache-2.0
"""Administrators' roles with a real keystored and processes that really are somebody else."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from framework.keystored import PROGRAM, Keystored
from framework.ring_guest import ring_guest

from vmm_keystore._vks import lib

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")

AUDITOR, OPERATOR, MEMBER, STRANGER, ADMIN = 54001, 54002, 54003, 54004, 54005
GROUP = 54010
# Another user may not be able to enter the folder of this tree: it asks with nothing but Python's own library.
ASK = """
import json, os, socket, sys
uid, gid, groups, path, method, target, body = json.loads(sys.argv[1])
os.setgroups(groups); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(path)
    content = json.dumps(body).encode() if body is not None else b""
    head = f"{method} /v1{target} HTTP/1.1\\r\\nhost: k\\r\\nconnection: close\\r\\n"
    head += f"content-type: application/json\\r\\ncontent-length: {len(content)}\\r\\n\\r\\n"
    peer.sendall(head.encode() + content)
    answer = b"".join(iter(lambda: peer.recv(65536), b""))
head, _, content = answer.partition(b"\\r\\n\\r\\n")
print(head.split()[1].decode(), content.decode())
"""
# The command line by somebody else: what it imports on the way, it has from a first run as root, of something harmless.
COMMAND = """
import contextlib, io, json, os, sys
from vmm_keystore.cli.main import main
uid, first, words = json.loads(sys.argv[1])
def run(arguments):
    sys.argv = ["vmm-keystore", *arguments]
    try:
        return main()
    except SystemExit as end:
        return end.code
with contextlib.redirect_stdout(io.StringIO()):
    run(first)
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
sys.exit(run(words))
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What somebody was answered; status 0: the kernel let him not connect."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """A running keystored and its socket."""

    vault: Keystored
    socket: Path

    def ask(
        self,
        uid: int,
        method: str,
        path: str,
        body: object = None,
        *,
        groups: Sequence[int] = (),
        gid: int | None = None,
    ) -> Reply:
        """Ask as somebody, whose own group has his number where it is not said."""
        argument = json.dumps([uid, uid if gid is None else gid, list(groups), str(self.socket), method, path, body])
        done = subprocess.run(
            [sys.executable, "-I", "-c", ASK, argument], capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode != 0:
            assert "PermissionError" in done.stderr, done.stderr
            return Reply(0, "")
        status, _, text = done.stdout.partition(" ")
        return Reply(int(status), text)

    def command(
        self, uid: int, *arguments: str, first: Sequence[str] = ("proposal", "list")
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line as somebody who has a role, and *first* as root."""
        where = ["--control-socket", str(self.socket)]
        words = json.dumps([uid, [*where, *first], [*where, *arguments]])
        return subprocess.run(
            [sys.executable, "-P", "-c", COMMAND, words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
        )


@pytest.fixture
def place() -> Iterator[Place]:
    """A keystored with an auditor, an operator, a group of operators, and an administrator."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        socket = Path(folder) / "control.sock"
        roles = [
            "--auditor",
            str(AUDITOR),
            "--operator",
            str(OPERATOR),
            "--operator",
            f"@{GROUP}",
            "--admin",
            str(ADMIN),
        ]
        with Keystored(arguments=roles, control_socket=socket) as vault:
            vault.api.generate("k", "ed25519")
            yield Place(vault, socket)


def test_administrators_cannot_take_the_kek(place: Place) -> None:
    """Whoever has it and the store has the keys: it is for those who have both anyway."""
    offer = {"offer_id": "00" * 16, "public_key": "09" + "00" * 31}
    refused = place.ask(ADMIN, "POST", "/root/export-recovery", offer)
    assert refused.status == 403
    assert json.loads(refused.text)["error"]["hint"] == "only root and keystored's own user may"
    assert place.ask(0, "POST", "/root/export-recovery", offer).status == 200
    assert place.ask(ADMIN, "POST", "/keys/k/destroy").status == 200
    lines = place.vault.api.get("/audit?limit=100")["lines"]
    told = [(line["uid"], line["action"]) for line in lines if line.get("action") in {"export-recovery", "not-allowed"}]
    assert told == [(ADMIN, "not-allowed"), (0, "export-recovery")]


def test_each_as_far_as_his_role_goes(place: Place) -> None:
    """The auditor looks, the operator changes, nobody but root destroys; a stranger does not even connect."""
    grant = {"name": "web"}
    assert place.ask(AUDITOR, "GET", "/keys").status == 200
    refused = place.ask(AUDITOR, "POST", "/roles", grant)
    assert refused.status == 403
    assert json.loads(refused.text)["error"] == {
        "code": "not-allowed",
        "message": f"uid {AUDITOR} (auditor) may not POST /v1/roles",
        "hint": "this takes the role 'operator', which keystored's administrator gives: serve --operator",
    }
    assert place.ask(OPERATOR, "POST", "/roles", grant).status == 201
    assert place.ask(MEMBER, "DELETE", "/roles/web", groups=[GROUP, 7]).status == 200
    for uid, groups in ((AUDITOR, []), (OPERATOR, []), (MEMBER, [GROUP])):
        assert place.ask(uid, "POST", "/keys/k/destroy", groups=groups).status == 403
    for uid, groups in ((STRANGER, []), (MEMBER, []), (MEMBER, [GROUP + 1])):
        assert place.ask(uid, "GET", "/status", groups=groups).status == 0
    assert place.vault.facts("key", "show", "k")["state"] == "active"
    assert place.vault.facts("status")["your_role"] == "owner"
    lines = place.vault.api.get("/audit?limit=100")["lines"]
    assert [line["uid"] for line in lines if line.get("action") == "not-allowed"] == [
        *(AUDITOR, AUDITOR, OPERATOR, MEMBER)
    ]
    assert {line["uid"] for line in lines if line.get("action") == "role-add"} == {OPERATOR}


def test_own_group_counts(place: Place) -> None:
    """A role by the group that a process has as its own, and not by its user."""
    assert place.ask(MEMBER, "GET", "/status", gid=GROUP).status == 200
    assert place.ask(MEMBER, "GET", "/status", gid=GROUP + 1).status == 0


def test_more_groups_than_fit(place: Place) -> None:
    """A role by the last of many groups."""
    answer = place.ask(MEMBER, "GET", "/status", groups=[*range(50000, 50500), GROUP])
    assert json.loads(answer.text)["your_role"] == "operator"


def test_status_says_the_role(place: Place) -> None:
    """To each his own."""
    for uid, role in ((AUDITOR, "auditor"), (OPERATOR, "operator"), (ADMIN, "admin"), (0, "owner")):
        assert json.loads(place.ask(uid, "GET", "/status").text)["your_role"] == role
    assert re.search(r"^your role: +owner$", place.vault.cli("status").stdout, re.MULTILINE)


def test_report_for_who_may_not_read_the_files(place: Place) -> None:
    """An auditor counts what root counts, from lines that he asks for."""
    socket = place.vault.add_guest("web1")
    place.vault.api.grant("web1", "k", ["sign"])
    with ring_guest(socket) as guest:
        key_id = guest.key_id("k")
        for _ in range(5):
            assert guest.sign(key_id, b"message").status == lib.VKS_STATUS_OK
        assert guest.ask(lib.VKS_OP_VERIFY, key_id, b"m", parameter=bytes(64)).status == lib.VKS_STATUS_DENIED
    by_files = place.vault.facts("audit", "report")
    assert {(row["op"], row["operations"], row["refused"]) for row in by_files} >= {("sign", 5, 0), ("verify", 1, 1)}
    report = ("audit", "report", "--json")
    done = place.command(AUDITOR, *report, first=report)
    assert json.loads(done.stdout) == by_files, done.stderr
    later = place.command(AUDITOR, *report, "--since", "2100-01-01", first=report)
    assert json.loads(later.stdout) == [], later.stderr


def test_refusal_as_people_read_it(place: Place) -> None:
    """One line, and what to do."""
    done = place.command(AUDITOR, "audit", "checkpoint")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"vmm-keystore: uid {AUDITOR} (auditor) may not POST /v1/audit/checkpoint\n"
        "hint: this takes the role 'operator', which keystored's administrator gives: serve --operator\n"
    )


def test_who_gets_through_the_socket_is_still_asked(place: Place) -> None:
    """Whatever its mode says: a connection without a role is refused."""
    place.socket.chmod(0o666)
    refused = place.ask(STRANGER, "GET", "/status")
    assert refused.status == 403
    assert f"uid {STRANGER} may not use the control API" in refused.text


def test_roles_for_a_socket_that_nobody_reaches(tmp_path: Path) -> None:
    """Said at the start, with what to do."""
    done = subprocess.run(
        [PROGRAM, "serve", "--state-dir", tmp_path / "state", "--auditor", str(AUDITOR)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "nobody else can reach" in done.stderr
    assert "hint: give --control-socket a folder that they may enter" in done.stderr
