# SPDX-License-Identifier: Apache-2.0
"""Guarded keys with a real keystored, people who really are somebody else, and a guest that waits for its key."""

import json
import os

import pytest
from framework.ring_guest import ring_guest
from security.test_admin_roles import ADMIN, AUDITOR, OPERATOR, Place, place

from vmm_keystore._vks import lib

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
__all__ = ["place"]
ROOT = 0


@pytest.fixture
def vault(place: Place) -> Place:
    """With a guarded key."""
    assert place.vault.cli("key", "guard", "k").stdout == "key k is guarded\n"
    assert "guarded:               by several administrators\n" in place.vault.cli("key", "show", "k").stdout
    return place


def proposal_id(vault: Place) -> str:
    """The only one that waits."""
    (found,) = vault.vault.facts("proposal", "list")
    return str(found["id"])


def said(vault: Place, uid: int, *words: str) -> tuple[int, str, str]:
    """What somebody reads."""
    done = vault.command(uid, *words)
    return done.returncode, done.stdout, done.stderr


def test_guest_gets_its_key_with_the_second_approval(vault: Place) -> None:
    """An operator proposes, two administrators approve; the running guest signs when the second one is answered."""
    socket = vault.vault.add_guest("web1")
    grant = ("grant", "add", "web1", "k", "--ops", "sign", "--max-ops", "3")
    assert said(vault, OPERATOR, *grant)[2].splitlines() == [
        "vmm-keystore: key 'k' is guarded: this takes the approval of 2 administrators",
        "hint: the same command with --propose asks for it",
    ]
    status, out, _err = said(vault, OPERATOR, *grant, "--propose")
    proposed = proposal_id(vault)
    what = "let guest web1 use key k: sign (operations 3)"
    assert status == 0
    assert out.splitlines() == [
        f"proposed, 2 more approvals are needed: {what}",
        f"next, by administrators: vmm-keystore proposal approve {proposed}",
    ]
    with ring_guest(socket) as guest:
        assert guest.list_keys() == []
        approved = said(vault, ADMIN, "proposal", "approve", proposed)
        assert approved == (0, f"approved, 1 more approval is needed: {what}\n", "")
        assert said(vault, ADMIN, "proposal", "approve", proposed)[2].splitlines() == [
            f"vmm-keystore: uid {ADMIN} has approved of this proposal already",
            "hint: it takes another administrator",
        ]
        assert guest.list_keys() == []
        shown = vault.command(AUDITOR, "proposal", "show", proposed).stdout
        assert f"approved by:      uid {ADMIN}\n" in shown
        assert "1 of 2" in vault.command(AUDITOR, "proposal", "list").stdout
        assert said(vault, ROOT, "proposal", "approve", proposed) == (0, f"approved, and done: {what}\n", "")
        assert [guest.sign("k", b"m").status for _ in range(4)] == [lib.VKS_STATUS_OK] * 3 + [lib.VKS_STATUS_LIMIT]
    lines = vault.vault.api.get("/audit?limit=1000")["lines"]
    (made,) = [line for line in lines if line.get("action") == "grant-add" and "status" not in line]
    assert (made["uid"], made["proposal"], made["approved_by"]) == (ROOT, proposed, [ROOT, ADMIN])
    assert vault.vault.facts("proposal", "list") == []
    assert vault.vault.api.get("/audit/verify")["ok"]


def test_who_may(vault: Place) -> None:
    """An operator's approval does not count, an auditor proposes nothing; nobody withdraws what is not his."""
    for uid, words in (
        (OPERATOR, ("key", "destroy", "k", "--propose")),
        (OPERATOR, ("key", "unguard", "k", "--propose")),
        (OPERATOR, ("key", "guard", "k")),
        (AUDITOR, ("role", "assign", "none", "web1", "--propose")),
    ):
        status, _out, err = said(vault, uid, *words)
        assert (status, "hint: this takes the role" in err) == (1, True), words
    assert said(vault, ADMIN, "key", "destroy", "k", "--propose")[0] == 0
    proposed = proposal_id(vault)
    assert "(operator) may not" in said(vault, OPERATOR, "proposal", "approve", proposed)[2]
    assert said(vault, OPERATOR, "proposal", "withdraw", proposed)[2].splitlines() == [
        f"vmm-keystore: uid {ADMIN} proposed this",
        "hint: he, or an administrator, can take it back",
    ]
    withdrawn = said(vault, ROOT, "proposal", "withdraw", proposed)
    assert withdrawn == (0, "withdrawn: destroy key k with all its versions\n", "")
    assert said(vault, ROOT, "proposal", "approve", proposed)[2].splitlines() == [
        f"vmm-keystore: no proposal '{proposed}' waits",
        "hint: vmm-keystore proposal list shows those that do",
    ]
    assert vault.vault.facts("key", "show", "k")["state"] == "active"


def test_destroying_it(vault: Place) -> None:
    """Nobody alone, --yes or not, at once or later; two can, and a killed keystored forgets neither of them."""
    for words in (["--yes"], ["--after", "1d"]):
        status, _out, err = said(vault, ROOT, "key", "destroy", "k", *words)
        assert (status, err.splitlines()[0].startswith("vmm-keystore: key 'k' is guarded")) == (1, True)
    both = vault.vault.cli("key", "destroy", "k", "--cancel", "--propose", ok=False).stderr
    assert both.startswith("vmm-keystore: --cancel and --propose exclude each other\n")
    assert said(vault, ADMIN, "key", "destroy", "k", "--propose")[0] == 0
    proposed = proposal_id(vault)
    vault.vault.kill_all()
    vault.vault.start()
    assert vault.vault.facts("key", "show", "k")["state"] == "active"
    done = json.loads(vault.command(ROOT, "proposal", "approve", proposed, "--json").stdout)
    assert (done["done"], done["approved_by"], done["guarded_keys"]) == (True, [ROOT, ADMIN], ["k"])
    assert vault.vault.facts("key", "show", "k")["state"] == "destroyed"


def test_taking_the_guard_away(vault: Place) -> None:
    """It takes two, and then one is enough."""
    assert said(vault, ROOT, "key", "unguard", "k", "--propose")[0] == 0
    assert said(vault, ADMIN, "proposal", "approve", proposal_id(vault))[1] == (
        "approved, and done: take the guard from key k\n"
    )
    status, _out, err = said(vault, ROOT, "key", "destroy", "k", "--propose")
    assert (status, err.splitlines()) == (
        1,
        [
            "vmm-keystore: this needs nobody's approval",
            "hint: the command without --propose does it",
        ],
    )
    assert said(vault, ADMIN, "key", "destroy", "k", "--yes") == (0, "key k is destroyed\n", "")
