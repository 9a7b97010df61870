# SPDX-License-Identifier: Apache-2.0
"""Tokens that are slow, gone, or crash; processes that are killed: everybody is told, everything else works on."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.hsm_vault import keystored
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.processes import kill
from framework.ring_guest import RingGuest, ring_guest
from framework.software_hsm import SoftwareHsm, only_root

from vmm_keystore._vks import lib

OK, UNAVAILABLE = lib.VKS_STATUS_OK, lib.VKS_STATUS_UNAVAILABLE
WINDOW = lib.VKS_HSM_WINDOW
pytestmark = only_root


@contextmanager
def two_guests(hsm: SoftwareHsm) -> Iterator[Keystored]:
    """A vault with two that may use a key of the token each, and one of the vault; a module between us and the token."""
    with keystored(hsm, hsm.compile_shim()) as started:
        started.api.generate("own", "ec-p256")
        for name in ("g", "h"):
            started.add_guest(name)
            started.cli("key", "generate", f"token-{name}", "--type", "ec-p256", "--in-token")
            started.api.grant(name, f"token-{name}", ["sign"])
            started.api.grant(name, "own", ["sign"])
        yield started


@pytest.fixture
def vault(hsm: SoftwareHsm) -> Iterator[Keystored]:
    """One whose module may be called by several threads."""
    with two_guests(hsm) as started:
        yield started


def many(vault: Keystored) -> AbstractContextManager[RingGuest]:
    """The first of them, with room for more requests than its window has."""
    return ring_guest(vault.folder / "g.sock", slot_count=WINDOW + 4)


@pytest.fixture
def guest(vault: Keystored) -> Iterator[RingGuest]:
    """That one."""
    with many(vault) as connected:
        yield connected


def submit(guest: RingGuest, key_id: bytes) -> int:
    """A signature's request, on its way."""
    head = guest.vault.submit(lib.VKS_OP_SIGN, key_id=key_id, data=b"m", output_bytes=64)
    guest.ring.kick()
    return head


def settle(vault: Keystored, name: str, spare: str) -> None:
    """Return when what a guest has made available is with vks-hsm, whatever the machine has to do besides.

    Its worker acknowledges a change after it has sent what came before, vks-hsm in the order of its work. A worker that
    took too long is replaced, and its successor sends it once more.
    """
    outcomes: set[str] = set()
    while outcomes != {"acknowledged"}:
        outcomes.clear()
        for _ in range(2):
            for answer in (vault.api.grant(name, spare, ["sign"]), vault.api.revoke(name, spare)):
                outcomes |= {applied["outcome"] for applied in answer["applied"]}


def has_replaced(vault: Keystored, count: int) -> bool:
    """Whether so many workers of the first guest have died."""
    return bool(vault.facts("guest", "show", "g")["worker"]["replaced"] >= count)


def hsm_pid(vault: Keystored) -> int:
    """vks-hsm's."""
    token = vault.api.get("/status")["token"]
    return int(token["pid"] or 0)


def holds(vault: Keystored, label: str, signature: bytes) -> bool:
    """Whether it is one of b"m"."""
    public: Any = load_pem_public_key(vault.cli("key", "public", label).stdout.encode())
    der = utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    public.verify(der, b"m", ec.ECDSA(hashes.SHA256()))
    return True


def test_slow_token_holds_up_nothing(vault: Keystored, hsm: SoftwareHsm, guest: RingGuest) -> None:
    """Neither what is behind it on the ring, nor more of the token's than the window has, nor another guest."""
    token, own = guest.key_id("token-g"), guest.key_id("own")
    assert guest.sign(token, b"m").status == OK
    hsm.begin("waits")
    away = [submit(guest, token) for _ in range(WINDOW + 2)]
    wait_for(lambda: hsm.waiting() == 4)
    for _ in range(3):
        # It alone is answered.
        assert guest.sign(own, b"m").status == OK
    assert guest.vault.busy == set(away)
    assert vault.facts("guest", "show", "g")["worker"]["in_flight"] == len(away)
    hsm.end("waits")
    answers = dict(guest.vault.collect(len(away)))
    assert set(answers) == set(away)
    assert all(answer.status == OK and holds(vault, "token-g", answer.data) for answer in answers.values())


def test_guests_take_turns(hsm: SoftwareHsm) -> None:
    """Whoever fills the queue waits for himself: another guest's request is among the next to be served.

    By a module that takes one thread: there the order of turns is the order of signatures.
    """
    hsm.cause("cannot lock")
    others = b"another message"
    with two_guests(hsm) as vault, many(vault) as guest:
        assert vault.api.get("/status")["token"]["sessions"] == 1
        vault.cli("key", "generate", "spare", "--type", "ec-p256", "--in-token")
        hsm.begin("waits")
        token = guest.key_id("token-g")
        away = [submit(guest, token) for _ in range(WINDOW)]
        wait_for(lambda: hsm.waiting() == 1)
        with ring_guest(vault.folder / "h.sock") as other:
            other.vault.submit(lib.VKS_OP_SIGN, key_id=other.key_id("token-h"), data=others, output_bytes=64)
            other.ring.kick()
            settle(vault, "h", "spare")
            hsm.end("waits")
            [(_, answer)] = other.vault.collect()
            assert answer.status == OK
        answers = dict(guest.vault.collect(len(away)))
    assert {answer.status for answer in answers.values()} == {OK}
    # One was begun before.
    assert hsm.signed().index(hashlib.sha256(others).digest()[:1]) <= 2


def audit_lines(vault: Keystored) -> list[dict[str, Any]]:
    """Every operation on record."""
    return [json.loads(line) for line in vault.cli("audit", "export").stdout.splitlines()]


def test_token_gone_and_back(vault: Keystored, hsm: SoftwareHsm, guest: RingGuest) -> None:
    """The guest is told (MUST-46), the operator is told; nothing has to be started anew when it is back."""
    token, own = guest.key_id("token-g"), guest.key_id("own")
    assert guest.sign(token, b"m").status == OK
    hsm.begin("gone")
    assert guest.sign(token, b"m").status == UNAVAILABLE
    assert guest.sign(own, b"m").status == OK
    status = wait_for(lambda: (s := vault.api.get("/status")["token"]) and not s["open"] and s["problem"] and s)
    assert status["problem"] in {
        "the token is gone, or its module has ended",
        "the pkcs#11 module does not start",
    }
    assert "vmm_keystore_token_up 0.0\n" in vault.cli("metrics").stdout
    said = vault.cli("key", "generate", "more", "--type", "ec-p256", "--in-token", ok=False).stderr.splitlines()
    assert said[0].startswith("vmm-keystore: the token cannot be used: the ")
    assert said[1] == "hint: vmm-keystore status tells when it can"
    assert guest.sign(token, b"m").status == UNAVAILABLE
    hsm.end("gone")
    wait_for(lambda: vault.api.get("/status")["token"]["open"])
    answer = wait_for(lambda: (a := guest.sign(token, b"m")).status == OK and a)
    assert holds(vault, "token-g", answer.data)
    assert [line["status"] for line in audit_lines(vault) if line.get("key") == "token-g" and "op" in line][1] == (
        "unavailable"
    )


@pytest.mark.parametrize("how", ["falls", "killed"])
def test_program_that_ends(vault: Keystored, hsm: SoftwareHsm, guest: RingGuest, how: str) -> None:
    """By a module that crashes, or by SIGKILL with requests in it: each has one answer, and the next ones work."""
    token = guest.key_id("token-g")
    pid = (guest.sign(token, b"m").status == OK) and hsm_pid(vault)
    if how == "falls":
        hsm.begin("falls")
        away = [submit(guest, token)]
    else:
        hsm.begin("waits")
        away = [submit(guest, token) for _ in range(6)]
        wait_for(lambda: hsm.waiting() >= 4)
        kill(pid)
    answers = dict(guest.vault.collect(len(away)))
    assert {head: answer.status for head, answer in answers.items()} == dict.fromkeys(away, UNAVAILABLE)
    hsm.end("falls" if how == "falls" else "waits")
    wait_for(lambda: vault.api.get("/status")["token"]["open"])
    assert hsm_pid(vault) != pid
    assert wait_for(lambda: guest.sign(token, b"m").status == OK)


def test_workers_die_while_it_waits(vault: Keystored, hsm: SoftwareHsm, guest: RingGuest) -> None:
    """Each successor asks the token again; every request has one answer. None is set aside: it did not execute."""
    token = guest.key_id("token-g")
    assert guest.sign(token, b"m").status == OK
    hsm.begin("waits")
    away = [submit(guest, token) for _ in range(3)]
    wait_for(lambda: hsm.waiting() == 3)
    for deaths in (1, 2, 3):
        kill(vault.facts("guest", "show", "g")["worker"]["pid"])
        wait_for(partial(has_replaced, vault, deaths))
        wait_for(lambda: vault.facts("guest", "show", "g")["worker"]["running"])
    hsm.end("waits")
    answers = dict(guest.vault.collect(len(away)))
    assert set(answers) == set(away)
    assert all(answer.status == OK and holds(vault, "token-g", answer.data) for answer in answers.values())
    assert guest.vault.busy == set()
    assert vault.facts("guest", "show", "g")["worker"]["set_aside"] == 0


def test_keystored_dies(vault: Keystored) -> None:
    """The next one has the token without being told."""
    vault.cli("key", "generate", "few", "--type", "ec-p256", "--in-token")
    vault.api.grant("g", "few", ["sign"], ops_max=2)
    vault.kill()
    vault.start()
    wait_for(lambda: vault.api.get("/status")["token"]["open"])
    with ring_guest(vault.folder / "g.sock") as guest:
        assert guest.sign("token-g", b"m").status == OK
    vault.stop()
    # Without a token its keys are there, and of no use.
    without = Keystored(vault.folder)
    with without, ring_guest(without.folder / "g.sock") as guest:
        assert guest.sign("token-g", b"m").status == UNAVAILABLE
        assert guest.sign("own", b"m").status == OK
        # Nothing is charged for it.
        assert [guest.sign("few", b"m").status for _ in range(5)] == [UNAVAILABLE] * 5
        assert without.api.get("/status")["token"] is None
    vault.start()


@pytest.mark.parametrize("change", ["revoke", "suspend", "verify only"])
def test_taken_away_while_it_waits(vault: Keystored, hsm: SoftwareHsm, guest: RingGuest, change: str) -> None:
    """What had not begun is not begun, what had is withheld: no signature comes out after the answer."""
    token = guest.key_id("token-g")
    assert guest.sign(token, b"m").status == OK
    hsm.begin("waits")
    away = [submit(guest, token) for _ in range(8)]
    wait_for(lambda: hsm.waiting() == 4)
    begun = hsm.signed()
    if change == "suspend":
        vault.api.post("/keys/token-g/suspend")
    else:
        vault.api.revoke("g", "token-g")
    if change == "verify only":
        vault.api.grant("g", "token-g", ["verify"])
    hsm.end("waits")
    answers = dict(guest.vault.collect(len(away)))
    assert all(answer.status != OK and answer.data == b"" for answer in answers.values())
    # Those that had not begun never came to the token.
    assert hsm.signed() == begun


def test_keystored_ends_while_the_token_opens(vault: Keystored, hsm: SoftwareHsm) -> None:
    """It waits for no module."""
    vault.stop()
    hsm.begin("starts")
    vault.start()
    vault.stop()
    hsm.end("starts")
    vault.start()
    wait_for(lambda: vault.api.get("/status")["token"]["open"])


def test_wrong_pin_is_tried_once(hsm: SoftwareHsm) -> None:
    """By root of trust and keys together; until the file says something else."""
    shim = hsm.compile_shim()
    right = hsm.pin
    with keystored(hsm, shim) as vault:
        hsm.write_pin("1234567")
        said = vault.cli("key", "generate", "k", "--type", "ec-p256", "--in-token", ok=False).stderr
        assert said.startswith("vmm-keystore: the token cannot be used: this is not the token's pin\n")
        for _ in range(2):
            vault.cli("key", "generate", "k", "--type", "ec-p256", "--in-token", ok=False)
            vault.cli("root", "change", "hsm", ok=False)
        assert hsm.logins() == 1
        hsm.write_pin(right)
        wait_for(lambda: vault.api.get("/status")["token"]["open"])
        vault.cli("key", "generate", "k", "--type", "ec-p256", "--in-token")


def test_another_token_is_not_taken_for_it(vault: Keystored, hsm: SoftwareHsm) -> None:
    """Of the same label and PIN, with a key of the same id: it is open, and what it has is not what was meant."""
    object_id = vault.facts("key", "show", "token-g")["versions"][0]["token"]["id"]
    vault.stop()
    aside = hsm.folder / "aside"
    hsm.tokens.rename(aside)
    hsm.tokens.mkdir()
    hsm.add_token("vault")
    hsm.tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", object_id, "--usage-sign")
    vault.start()
    wait_for(lambda: vault.api.get("/status")["token"]["open"])
    with ring_guest(vault.folder / "g.sock") as guest:
        assert guest.sign("token-g", b"m").status == UNAVAILABLE
