# SPDX-License-Identifier: Apache-2.0
"""Guarded keys over a real store: what takes several administrators, what does not, and once only."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.fakes import FakeDaemon

from vmm_keystore.errors import (
    AlreadyExistsError,
    ApprovalNeededError,
    KeystoreError,
    NotAllowedError,
    NotFoundError,
    RequestError,
    StateError,
)
from vmm_keystore.policy.approval import ApprovalRules
from vmm_keystore.policy.desired import Guest as WantedGuest
from vmm_keystore.policy.desired import State
from vmm_keystore.policy.mechanisms import permission_for
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Mechanism, Op
from vmm_keystore.service import key_plans, proposals
from vmm_keystore.service.acts import Act, AddGrant, AssignRole, DestroyKey, UnguardKey
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest
from vmm_keystore.service.guest_values import Guest
from vmm_keystore.service.keystore import Keystore

ROOT, ALICE, BOB, CAROL = (Actor(uid=uid, pid=99) for uid in (0, 1001, 1002, 1003))
FAR_S = 4_000_000_000


def sign(guest: str = "vm1", ops_max: int = 0) -> AddGrant:
    """A grant of the guarded key."""
    return AddGrant(GrantRequest(guest, "ca", [Op.SIGN], ops_max=ops_max))


SIGN = sign(ops_max=7)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """Two guests, a guarded key, one that is not, and a role that has the guarded one."""
    opened = prepared(tmp_path)
    yield opened
    opened.close()


def prepared(folder: Path, rules: ApprovalRules = ApprovalRules()) -> FakeDaemon:  # noqa: B008 - frozen
    """One of these."""
    opened = FakeDaemon(folder, rules)
    keystore = opened.keystore
    for name in ("vm1", "vm2"):
        keystore.guests.add(ROOT, Guest(name, f"/run/{name}.sock"))
    for label in ("ca", "tls"):
        keystore.keys.generate(ROOT, label, KeyType.ED25519, activate=True)
    keystore.roles.add(ROOT, "signer")
    keystore.grants.add(ROOT, GrantRequest("@signer", "ca", [Op.SIGN]))
    keystore.proposals.guard(ROOT, "ca")
    keystore.names.set_alias(ROOT, "issuer", "ca")
    return opened


def labels(daemon: FakeDaemon, guest: str) -> list[str]:
    """Keys in force in a guest's worker."""
    return sorted(key.label for key in daemon.workers.in_force[guest])


def grant_of(keystore: Keystore, holder: str, key: str) -> None:
    keystore.grants.add(ALICE, GrantRequest(holder, key, [Op.SIGN]))


def apply_grant(keystore: Keystore, *, dry_run: bool = False) -> None:
    permission = permission_for(KeyType.ED25519, [Op.SIGN], None)
    wanted = State(
        guests={"vm1": WantedGuest("/run/vm1.sock")},
        keys={"ca": KeyType.ED25519},
        grants={("vm1", "ca"): permission},
    )
    keystore.declarations.apply(ALICE, wanted, prune=False, dry_run=dry_run)


def apply_more_ops(keystore: Keystore) -> None:
    wanted = State(
        roles=frozenset({"signer"}),
        keys={"ca": KeyType.ED25519},
        grants={("@signer", "ca"): permission_for(KeyType.ED25519, [Op.SIGN, Op.VERIFY], None)},
    )
    keystore.declarations.apply(ALICE, wanted, prune=False, dry_run=False)


def apply_role(keystore: Keystore) -> None:
    wanted = State(guests={"vm1": WantedGuest("/run/vm1.sock", None, frozenset({"signer"}))})
    keystore.declarations.apply(ALICE, wanted, prune=False, dry_run=False)


GUARDED: dict[str, Callable[[Keystore], object]] = {
    "grant": lambda keystore: grant_of(keystore, "vm1", "ca"),
    "grant by an alias": lambda keystore: grant_of(keystore, "vm1", "issuer"),
    "role": lambda keystore: keystore.roles.assign(ALICE, "signer", ["vm1"]),
    "apply, a grant": apply_grant,
    "apply, dry run": lambda keystore: apply_grant(keystore, dry_run=True),
    "apply, a wider grant": apply_more_ops,
    "apply, a role": apply_role,
    "destroy": lambda keystore: keystore.keys.move(ALICE, "ca", KeyState.DESTROYED, None),
    "destroy a version": lambda keystore: keystore.keys.move(ALICE, "ca", KeyState.DESTROYED, 1),
    "destroy later": lambda keystore: keystore.plans.destroy_later(ALICE, "ca", None, FAR_S),
    "unguard": lambda keystore: keystore.proposals.unguard(ALICE, "ca"),
}


@pytest.mark.parametrize("act", GUARDED.values(), ids=GUARDED)
def test_nobody_alone(daemon: FakeDaemon, act: Callable[[Keystore], object]) -> None:
    """Refused by name, on record once, and nothing has changed."""
    before = daemon.keystore.keys.list(), daemon.keystore.grants.list(), daemon.keystore.roles.list()
    lines = len(daemon.admin_lines())
    with pytest.raises(ApprovalNeededError) as refused:
        act(daemon.keystore)
    assert refused.value.message == "key 'ca' is guarded: this takes the approval of 2 administrators"
    assert "--propose" in refused.value.hint
    assert (daemon.keystore.keys.list(), daemon.keystore.grants.list(), daemon.keystore.roles.list()) == before
    assert [line["status"] for line in daemon.admin_lines()[lines:]] == ["approval-needed"]
    assert labels(daemon, "vm1") == []


def test_what_one_may_do(daemon: FakeDaemon) -> None:
    """Less is always one's own to do: stop it, take it away, rotate it; and keys that are not guarded."""
    keystore = daemon.keystore
    keystore.keys.rotate(ALICE, "ca")
    keystore.keys.move(ALICE, "ca", KeyState.SUSPENDED, None)
    keystore.keys.move(ALICE, "ca", KeyState.COMPROMISED, None)
    keystore.grants.remove(ALICE, "@signer", "ca")
    keystore.roles.assign(ALICE, "signer", ["vm1"])
    keystore.grants.add(ALICE, GrantRequest("vm1", "tls", [Op.SIGN]))
    keystore.keys.move(ALICE, "tls", KeyState.DESTROYED, None)
    for label, said in (("ca", "key 'ca' is guarded already"), ("tls", "key 'tls' is destroyed")):
        with pytest.raises(StateError, match=said):
            keystore.proposals.guard(ALICE, label)


ACTS: dict[str, tuple[Act, Callable[[FakeDaemon], bool]]] = {
    "grant": (SIGN, lambda daemon: labels(daemon, "vm1") == ["ca"]),
    "role": (AssignRole("signer", ("vm1", "vm2")), lambda daemon: labels(daemon, "vm2") == ["ca"]),
    "destroy": (DestroyKey("ca"), lambda daemon: daemon.keystore.keys.show("ca").is_destroyed),
    "plan": (
        DestroyKey("ca", 1, FAR_S),
        lambda daemon: daemon.keystore.keys.show("ca").version(1).destroy_at_s == FAR_S,
    ),
    "unguard": (UnguardKey("ca"), lambda daemon: daemon.keystore.keys.show("ca").guarded_s is None),
}


@pytest.mark.parametrize("by_admin", [True, False])
@pytest.mark.parametrize(("act", "is_done"), ACTS.values(), ids=ACTS)
def test_second_administrator_does_it(
    daemon: FakeDaemon, act: Act, is_done: Callable[[FakeDaemon], bool], by_admin: bool
) -> None:
    """Whoever proposes it counts where he is an administrator; it is on record with both, and the proposal is gone."""
    keystore = daemon.keystore
    proposal_id = keystore.proposals.propose(ALICE, act, approve=by_admin).row.proposal_id
    assert not is_done(daemon)
    if not by_admin:
        _found, done, _applied = keystore.proposals.approve(CAROL, proposal_id)
        assert not done
    assert not is_done(daemon)
    first = ALICE if by_admin else CAROL
    with pytest.raises(StateError, match=f"uid {first.uid} has approved"):
        keystore.proposals.approve(first, proposal_id)
    assert not is_done(daemon)
    found, done, _applied = keystore.proposals.approve(BOB, proposal_id)
    assert (done, is_done(daemon), found.row.uids) == (True, True, tuple(sorted((first.uid, BOB.uid))))
    assert keystore.proposals.list() == ()
    line = daemon.admin_lines()[-1]
    assert (line["uid"], line["proposal"], line["approved_by"]) == (BOB.uid, proposal_id, list(found.row.uids))
    with pytest.raises(NotFoundError, match="no proposal"):
        keystore.proposals.approve(CAROL, proposal_id)


def test_grant_is_what_was_proposed(daemon: FakeDaemon) -> None:
    """Every bound of it, whatever an alias stands for by then; nobody else gets anything by the approval."""
    keystore = daemon.keystore
    act = AddGrant(
        GrantRequest("vm1", "issuer", [Op.SIGN, Op.VERIFY], [Mechanism.ED25519], 64, 5, FAR_S, (7, 8), 9, 10)
    )
    found = keystore.proposals.propose(ALICE, act, approve=True)
    assert found.act.text == (
        "let guest vm1 use key ca: sign, verify (mechanisms ed25519; bytes of a request 64; operations 9; operations a "
        "second 10; users 7, 8; from 1970-01-01T00:00:05Z; until 2096-10-02T07:06:40Z)"
    )
    keystore.names.set_alias(ALICE, "issuer", "tls")
    keystore.proposals.approve(BOB, found.row.proposal_id)
    (grant,) = keystore.grants.list("vm1")
    permission = grant.permission
    assert (grant.key, permission.uids, permission.ops_max, permission.ops_a_second) == ("ca", (7, 8), 9, 10)
    assert (permission.input_bytes_max, permission.not_before_s, permission.not_after_s) == (64, 5, FAR_S)
    assert labels(daemon, "vm2") == []


def test_role_that_came_to_hold_more(daemon: FakeDaemon) -> None:
    """Who approved of one key did not approve of another one."""
    keystore = daemon.keystore
    proposal_id = keystore.proposals.propose(ALICE, AssignRole("signer", ("vm1",)), approve=True).row.proposal_id
    grant_of(keystore, "@signer", "tls")
    keystore.proposals.guard(ALICE, "tls")
    for _ in range(2):
        with pytest.raises(ApprovalNeededError, match="key 'tls' is guarded"):
            keystore.proposals.approve(BOB, proposal_id)
    assert labels(daemon, "vm1") == []
    keystore.grants.remove(BOB, "@signer", "tls")
    assert keystore.proposals.approve(BOB, proposal_id)[1]
    assert labels(daemon, "vm1") == ["ca"]


def test_what_cannot_be_done_is_not_proposed(daemon: FakeDaemon) -> None:
    """It is tried first, and nothing of the trial stays."""
    keystore = daemon.keystore
    refused: list[tuple[Act, type[KeystoreError], str]] = [
        (DestroyKey("tls"), RequestError, "this needs nobody's approval"),
        (DestroyKey("none"), NotFoundError, "no key 'none'"),
        (DestroyKey("ca", 9), NotFoundError, "no version 9"),
        (DestroyKey("ca", None, 5), RequestError, "time of the destruction has passed"),
        (UnguardKey("tls"), StateError, "is not guarded"),
        (sign("vm9"), NotFoundError, "vm9"),
        (sign("@signer"), AlreadyExistsError, "has a grant of key 'ca' already"),
        (AddGrant(GrantRequest("vm1", "ca", [Op.ENCRYPT])), RequestError, "encrypt"),
        (AssignRole("none", ("vm1",)), NotFoundError, "no role 'none'"),
    ]
    for act, kind, said in refused:
        with pytest.raises(kind, match=said):
            keystore.proposals.propose(ALICE, act, approve=True)
        assert "status" in daemon.admin_lines()[-1]
    assert keystore.proposals.list() == ()
    assert not keystore.keys.show("tls").is_destroyed
    keystore.proposals.propose(ALICE, SIGN, approve=True)
    with pytest.raises(AlreadyExistsError, match="the same is proposed already"):
        keystore.proposals.propose(BOB, SIGN, approve=True)
    assert labels(daemon, "vm1") == []


def test_refused_in_the_end(daemon: FakeDaemon) -> None:
    """What stands in the way by then is said; the proposal waits until it can be done."""
    keystore = daemon.keystore
    proposal_id = keystore.proposals.propose(ALICE, SIGN, approve=True).row.proposal_id
    other = keystore.proposals.propose(ALICE, AssignRole("signer", ("vm1",)), approve=True).row.proposal_id
    keystore.proposals.approve(BOB, other)
    with pytest.raises(AlreadyExistsError, match="guest 'vm1' has key 'ca' by role 'signer' already"):
        keystore.proposals.approve(BOB, proposal_id)
    keystore.roles.unassign(BOB, "signer", ["vm1"])
    assert keystore.proposals.approve(ALICE, proposal_id)[1]
    assert [row.holder for row in keystore.grants.list("vm1")] == ["vm1"]


def test_withdrawing(daemon: FakeDaemon) -> None:
    """One's own; who may approve, everybody's; then it is gone."""
    keystore = daemon.keystore
    for who, anyones, allowed in ((BOB, False, False), (ALICE, False, True), (BOB, True, True)):
        proposal_id = keystore.proposals.propose(ALICE, SIGN, approve=False).row.proposal_id
        if not allowed:
            with pytest.raises(NotAllowedError, match="uid 1001 proposed this"):
                keystore.proposals.withdraw(who, proposal_id, anyones=anyones)
            assert keystore.proposals.show(proposal_id)
            keystore.proposals.withdraw(ALICE, proposal_id, anyones=False)
            continue
        keystore.proposals.withdraw(who, proposal_id, anyones=anyones)
        with pytest.raises(NotFoundError):
            keystore.proposals.approve(CAROL, proposal_id)
    assert labels(daemon, "vm1") == []


def test_proposals_expire(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a week nobody remembers what it was about."""
    keystore = daemon.keystore
    found = keystore.proposals.propose(ALICE, SIGN, approve=True)
    monkeypatch.setattr(proposals, "now_s", lambda: found.row.expires_s - 1)
    assert keystore.proposals.show(found.row.proposal_id) == found
    monkeypatch.setattr(proposals, "now_s", lambda: found.row.expires_s)
    with pytest.raises(NotFoundError):
        keystore.proposals.approve(BOB, found.row.proposal_id)
    assert (keystore.proposals.list(), labels(daemon, "vm1")) == ((), [])
    assert keystore.proposals.propose(ALICE, SIGN, approve=True).row.proposal_id != found.row.proposal_id


def test_so_many_and_no_more(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever proposes without end does not fill the store."""
    monkeypatch.setattr(proposals, "WAITING_MAX", 3)
    for number in range(3):
        daemon.keystore.proposals.propose(ALICE, sign(ops_max=number + 1), approve=False)
    with pytest.raises(StateError, match="3 proposals wait already"):
        daemon.keystore.proposals.propose(ALICE, SIGN, approve=False)


def test_survives_a_restart(daemon: FakeDaemon, tmp_path: Path) -> None:
    """Guards, proposals and approvals are in the store; with more needed than before, more are needed."""
    proposal_id = daemon.keystore.proposals.propose(ALICE, SIGN, approve=True).row.proposal_id
    daemon.close()
    after = FakeDaemon(tmp_path, ApprovalRules(3))
    try:
        assert not after.keystore.proposals.approve(BOB, proposal_id)[1]
        assert after.keystore.proposals.show(proposal_id).needed == 3
        assert after.keystore.proposals.approve(CAROL, proposal_id)[1]
        assert labels(after, "vm1") == ["ca"]
    finally:
        after.close()


def test_plan_that_was_approved_is_carried_out(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody has to come once more; so is one of before the key was guarded."""
    keystore = daemon.keystore
    keystore.plans.destroy_later(ALICE, "tls", None, FAR_S)
    keystore.proposals.guard(ALICE, "tls")
    proposal_id = keystore.proposals.propose(ALICE, DestroyKey("ca", None, FAR_S), approve=True).row.proposal_id
    keystore.proposals.approve(BOB, proposal_id)
    monkeypatch.setattr(key_plans, "now_s", lambda: FAR_S)
    keystore.plans.do_due()
    assert [key.is_destroyed for key in keystore.keys.list()] == [True, True]


def test_every_destruction(tmp_path: Path) -> None:
    """Where keystored was started so, of keys that are not guarded too."""
    daemon = prepared(tmp_path, ApprovalRules(2, every_destruction=True))
    try:
        keystore = daemon.keystore
        with pytest.raises(ApprovalNeededError, match="destroying key 'tls' takes the approval of 2 administrators"):
            keystore.keys.move(ALICE, "tls", KeyState.DESTROYED, None)
        grant_of(keystore, "vm1", "tls")
        proposal_id = keystore.proposals.propose(ALICE, DestroyKey("tls"), approve=True).row.proposal_id
        keystore.proposals.approve(BOB, proposal_id)
        assert keystore.keys.show("tls").is_destroyed
    finally:
        daemon.close()


def test_approved_plan_is_looked_at_at_once(daemon: FakeDaemon) -> None:
    """It may be due long before the schedule would look again by itself."""
    keystore = daemon.keystore
    looks: list[str] = []
    keystore.plans.on_plan = lambda: looks.append("again")
    proposal_id = keystore.proposals.propose(ALICE, DestroyKey("ca", None, FAR_S), approve=True).row.proposal_id
    assert looks == []
    keystore.proposals.approve(BOB, proposal_id)
    assert looks == ["again"]
