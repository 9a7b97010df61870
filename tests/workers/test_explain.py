# SPDX-License-Identifier: Apache-2.0
"""``grant explain`` says of a request what the running guest is really answered, and names the rule that decides."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import Mechanism, Op, Status

PAST, FUTURE = "2001-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Case:
    """A question, and the rule that must decide it; none: it is allowed."""

    key: str
    op: str
    rule: str | None = None
    mechanism: str | None = None
    uid: int | None = None
    size: int = 1
    version: int | None = None


CASES = [
    Case("plain", "sign"),
    Case("plain", "public"),
    Case("plain", "verify", "operation"),
    Case("plain", "encrypt", "key type"),
    Case("plain", "sign", "mechanism", mechanism="ecdsa-sha512"),
    Case("plain", "sign", "key type", mechanism="aes-gcm"),
    Case("plain", "sign", version=2),
    Case("plain", "sign", "key state", version=1),
    Case("plain", "sign", "grant", version=9),
    Case("foreign", "sign", "grant"),
    Case("early", "sign", "not before"),
    Case("late", "sign", "not after"),
    Case("users", "sign", uid=1000),
    Case("users", "sign", "user", uid=1001),
    Case("users", "sign", "user"),
    Case("small", "sign", size=16),
    Case("small", "sign", "size", size=17),
    Case("asleep", "sign", "key state"),
]


@pytest.fixture(scope="module")
def guest(shared_vault: Keystored) -> Iterator[RingGuest]:
    """A guest with a grant for each rule."""
    api = shared_vault.api
    socket = shared_vault.add_guest("explained")
    for label in ("plain", "foreign", "early", "late", "users", "small", "asleep"):
        api.generate(label, "ec-p256")
    api.grant("explained", "plain", ["sign"], mechanisms=["ecdsa-sha256"])
    api.grant("explained", "early", ["sign"], not_before=FUTURE)
    api.grant("explained", "late", ["sign"], not_after=PAST)
    api.grant("explained", "users", ["sign"], uids=[1000])
    api.grant("explained", "small", ["sign"], input_bytes_max=16)
    api.grant("explained", "asleep", ["sign"])
    api.post("/keys/plain/rotate")
    api.post("/keys/asleep/suspend")
    with ring_guest(socket) as guest:
        yield guest


def ask_guest(guest: RingGuest, key_id: bytes, case: Case) -> Status:
    """What the device answers."""
    fields: dict[str, Any] = {"key_version": case.version or 0, "output_bytes": 512}
    if case.mechanism:
        fields["mechanism"] = Mechanism.from_text(case.mechanism)
    if case.uid is not None:
        fields |= {"uid": case.uid, "flags": lib.VKS_REQUEST_F_UID}
    data = b"" if case.op == "public" else b"x" * case.size
    parameter = bytes(64) if case.op == "verify" else b""
    answer = guest.vault.request(Op.from_text(case.op), key_id=key_id, data=data, parameter=parameter, **fields)
    return Status(answer.status)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.key}-{case.op}-{case.rule or 'allowed'}")
def test_explanation_is_the_answer(shared_vault: Keystored, guest: RingGuest, case: Case) -> None:
    arguments = ["grant", "explain", "explained", case.key, case.op, "--bytes", str(case.size)]
    for name, value in (("mechanism", case.mechanism), ("uid", case.uid), ("version", case.version)):
        arguments += [] if value is None else [f"--{name}", str(value)]
    facts = shared_vault.facts(*arguments)
    key_id = bytes.fromhex(shared_vault.api.get(f"/keys/{case.key}")["id"])
    assert facts["status"] == ask_guest(guest, key_id, case).text
    assert facts["allowed"] is (case.rule is None)
    assert next((check["rule"] for check in facts["checks"] if not check["holds"]), None) == case.rule


def test_people_read_the_reason(shared_vault: Keystored, guest: RingGuest) -> None:
    """The verdict first, then every rule with what it found."""
    assert guest.list_keys()
    said = shared_vault.cli("grant", "explain", "explained", "small", "sign", "--bytes", "17").stdout.splitlines()
    assert said[0] == "refused: denied"
    assert any(
        line.split() == ["NO", "size", "at", "most", "16", "bytes;", "the", "request", "has", "17"] for line in said
    )
    said = shared_vault.cli("grant", "explain", "explained", "early", "sign", "--at", "2101-01-01").stdout.splitlines()
    assert said[0] == "allowed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent", "plain", "sign"], "no guest 'absent'"),
        (["explained", "absent", "sign"], "no key 'absent'"),
        (["explained", "plain", "fly"], "unknown operation 'fly'"),
        (["explained", "plain", "sign", "--mechanism", "rot13"], "unknown mechanism 'rot13'"),
        (["explained", "plain", "sign", "--at", "tomorrow"], "--at is not a time: 'tomorrow'"),
    ],
)
def test_what_is_not_there_is_said(shared_vault: Keystored, guest: RingGuest, arguments: list[str], words: str) -> None:
    assert guest.list_keys()
    outcome = shared_vault.cli("grant", "explain", *arguments, ok=False)
    assert outcome.status in {1, 2}
    assert outcome.stderr.splitlines()[0] == f"vmm-keystore: {words}"
