# SPDX-License-Identifier: Apache-2.0
"""Roles over a real store: who has what, in force when it is answered, and never by two grants at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.fakes import FakeDaemon

from vmm_keystore.errors import AlreadyExistsError, NotFoundError, StateError
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Op
from vmm_keystore.service import grants as service_grants
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest, Question
from vmm_keystore.service.guest_values import Guest
from vmm_keystore.service.keystore import Keystore

ROOT = Actor(uid=0, pid=99)
NAMES = ("vm1", "vm2", "vm3")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """Three guests, two keys, and role web with both keys, which vm1 and vm2 have."""
    opened = FakeDaemon(tmp_path)
    keystore = opened.keystore
    for name in NAMES:
        keystore.guests.add(ROOT, Guest(name, f"/run/{name}.sock"))
    for label in ("tls", "ssh"):
        keystore.keys.generate(ROOT, label, KeyType.ED25519, activate=True)
    keystore.roles.add(ROOT, "web")
    keystore.grants.add(ROOT, GrantRequest("@web", "tls", [Op.SIGN]))
    keystore.roles.assign(ROOT, "web", ["vm2", "vm1"])
    keystore.grants.add(ROOT, GrantRequest("@web", "ssh", [Op.SIGN], ops_max=10))
    yield opened
    opened.close()


def labels(daemon: FakeDaemon, guest: str) -> list[str]:
    """Keys in force in a guest's worker."""
    return sorted(key.label for key in daemon.workers.in_force[guest])


def everything(keystore: Keystore) -> object:
    """All that an administrator sees."""
    return keystore.roles.list(), keystore.grants.list(), keystore.keys.list()


def test_members_have_what_is_granted_to_the_role(daemon: FakeDaemon) -> None:
    """Whichever came first; nobody else has it; key and guest say so."""
    assert [labels(daemon, name) for name in NAMES] == [["ssh", "tls"], ["ssh", "tls"], []]
    role = daemon.keystore.roles.show("web")
    assert (role.guests, role.grant_count) == (("vm1", "vm2"), 2)
    assert daemon.keystore.keys.show("tls").guests == ("vm1", "vm2")
    assert [view.guest.grant_count for view in daemon.keystore.guests.list()] == [2, 2, 0]
    assert [(row.holder, row.key) for row in daemon.keystore.grants.list()] == [("@web", "ssh"), ("@web", "tls")]
    assert daemon.keystore.grants.list("@web") == daemon.keystore.grants.list()
    held = daemon.keystore.grants.list("vm1")
    assert [(row.holder, row.role, row.key) for row in held] == [("vm1", "web", "ssh"), ("vm1", "web", "tls")]
    explained = daemon.keystore.grants.explain(Question("vm2", "ssh", Op.SIGN))
    assert explained.status.text == "ok"
    assert daemon.keystore.grants.explain(Question("vm3", "ssh", Op.SIGN)).status.text == "no-key"


def test_losing_it(daemon: FakeDaemon) -> None:
    """By the guest's leaving, by the grant's or the role's removal: in force when answered, and said to whom."""
    role, applied = daemon.keystore.roles.unassign(ROOT, "web", ["vm1"])
    assert (labels(daemon, "vm1"), labels(daemon, "vm2")) == ([], ["ssh", "tls"])
    assert (role.guests, [one.guest for one in applied]) == (("vm2",), ["vm1"])
    _grant, applied = daemon.keystore.grants.remove(ROOT, "@web", "tls")
    assert (labels(daemon, "vm2"), [one.guest for one in applied]) == (["ssh"], ["vm2"])
    role, applied = daemon.keystore.roles.remove(ROOT, "web")
    assert (labels(daemon, "vm2"), [one.guest for one in applied], role.grant_count) == ([], ["vm2"], 1)
    assert daemon.keystore.grants.list() == ()


def test_changes_of_a_key_reach_members(daemon: FakeDaemon) -> None:
    """A rotated or suspended key is so in every guest that has it by a role before that is answered (P6)."""
    _key, applied = daemon.keystore.keys.rotate(ROOT, "tls")
    assert [one.guest for one in applied] == ["vm1", "vm2"]
    assert len([key for key in daemon.workers.in_force["vm1"] if key.label == "tls"]) == 2
    daemon.keystore.keys.move(ROOT, "ssh", KeyState.SUSPENDED, None)
    (key,) = [key for key in daemon.workers.in_force["vm2"] if key.label == "ssh"]
    assert key.state == KeyState.SUSPENDED


def test_each_guest_has_a_budget_of_its_own(daemon: FakeDaemon) -> None:
    """Made with the grant or the membership, whichever is later; left with it, and never the old one again."""
    daemon.keystore.roles.assign(ROOT, "web", ["vm3"])

    def budget(name: str) -> int:
        return next(key.budget_id for key in daemon.workers.in_force[name] if key.label == "ssh")

    ids = [budget(name) for name in NAMES]
    assert len(set(ids)) == 3
    assert 0 not in ids
    keys = daemon.workers.guest_keys
    keys.lease_budgets({ids[0]: 7})
    assert [row.ops_used for row in daemon.keystore.grants.list("vm1")] == [7, 0]
    assert [keys.spent_budgets(name) for name in NAMES] == [{ids[0]: 7}, {ids[1]: 0}, {ids[2]: 0}]
    keys.lease_budgets({ids[0]: 3})
    assert keys.spent_budgets("vm1") == {ids[0]: 7}
    keys.settle_budgets({ids[0]: 3})
    assert keys.spent_budgets("vm1") == {ids[0]: 3}
    daemon.keystore.roles.unassign(ROOT, "web", ["vm1"])
    assert keys.spent_budgets("vm1") == {}
    daemon.keystore.roles.assign(ROOT, "web", ["vm1"])
    assert budget("vm1") not in ids


def remove_guest_and_add_it_again(keystore: Keystore) -> None:
    keystore.guests.remove(ROOT, "vm1")
    assert keystore.roles.show("web").guests == ("vm2",)
    keystore.guests.add(ROOT, Guest("vm1", "/run/vm1.sock"))


def test_a_guest_that_is_gone_has_no_role(daemon: FakeDaemon) -> None:
    """One of the same name starts with nothing."""
    remove_guest_and_add_it_again(daemon.keystore)
    assert labels(daemon, "vm1") == []


def second_role(keystore: Keystore) -> None:
    keystore.roles.add(ROOT, "mail")
    keystore.grants.add(ROOT, GrantRequest("@mail", "tls", [Op.SIGN]))
    keystore.roles.assign(ROOT, "mail", ["vm3"])


REFUSED: dict[str, tuple[Callable[[Keystore], object], type[Exception], str]] = {
    "own grant beside the role's": (
        lambda keystore: keystore.grants.add(ROOT, GrantRequest("vm1", "tls", [Op.SIGN])),
        AlreadyExistsError,
        "guest 'vm1' has key 'tls' by role 'web' already",
    ),
    "second role with the same key": (
        lambda keystore: keystore.roles.assign(ROOT, "mail", ["vm1"]),
        AlreadyExistsError,
        "guest 'vm1' has key 'tls' by role 'web' already",
    ),
    "one of several guests": (
        lambda keystore: keystore.roles.assign(ROOT, "web", ["vm3"]),
        AlreadyExistsError,
        "guest 'vm3' has key 'tls' by role 'mail' already",
    ),
    "grant twice": (
        lambda keystore: keystore.grants.add(ROOT, GrantRequest("@web", "tls", [Op.SIGN])),
        AlreadyExistsError,
        "role 'web' has a grant of key 'tls' already",
    ),
    "role twice": (lambda keystore: keystore.roles.add(ROOT, "web"), AlreadyExistsError, "a role 'web' already"),
    "member twice": (
        lambda keystore: keystore.roles.assign(ROOT, "web", ["vm1"]),
        AlreadyExistsError,
        "guest 'vm1' has role 'web' already",
    ),
    "no such role": (lambda keystore: keystore.roles.assign(ROOT, "no", ["vm1"]), NotFoundError, "no role 'no'"),
    "no such guest": (lambda keystore: keystore.roles.assign(ROOT, "web", ["vm9"]), NotFoundError, "no guest 'vm9'"),
    "not a member": (
        lambda keystore: keystore.roles.unassign(ROOT, "web", ["vm2", "vm3"]),
        NotFoundError,
        "guest 'vm3' does not have role 'web'",
    ),
    "grant of a role taken from a guest": (
        lambda keystore: keystore.grants.remove(ROOT, "vm1", "tls"),
        NotFoundError,
        "guest 'vm1' has no grant of key 'tls'",
    ),
    "grant to no role": (
        lambda keystore: keystore.grants.add(ROOT, GrantRequest("@no", "tls", [Op.SIGN])),
        NotFoundError,
        "no role 'no'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_changes_nothing(daemon: FakeDaemon, case: str) -> None:
    """Refused with the cause, all or nothing, and on record."""
    attempt, error, message = REFUSED[case]
    second_role(daemon.keystore)
    before, in_force = everything(daemon.keystore), dict(daemon.workers.in_force)
    with pytest.raises(error, match=message):
        attempt(daemon.keystore)
    assert everything(daemon.keystore) == before
    assert daemon.workers.in_force == in_force
    *_, refused = daemon.admin_lines()
    assert message in refused["reason"]


def test_grant_that_collides_in_one_guest(daemon: FakeDaemon) -> None:
    """A role gets no key that one of its guests has already; the hint names the grant in the way."""
    daemon.keystore.keys.generate(ROOT, "git", KeyType.ED25519, activate=True)
    daemon.keystore.grants.add(ROOT, GrantRequest("vm2", "git", [Op.SIGN]))
    with pytest.raises(AlreadyExistsError, match="guest 'vm2' has key 'git' already") as refused:
        daemon.keystore.grants.add(ROOT, GrantRequest("@web", "git", [Op.SIGN]))
    assert "grant remove vm2 git" in refused.value.hint


def test_room_for_budgets_is_looked_for_in_every_guest(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a grant to a role, and of a role given to a guest."""
    monkeypatch.setattr(service_grants, "BUDGETS_MAX", 1)
    daemon.keystore.keys.generate(ROOT, "git", KeyType.ED25519, activate=True)
    with pytest.raises(StateError, match="guest 'vm1' has 1 grants with a bound"):
        daemon.keystore.grants.add(ROOT, GrantRequest("@web", "git", [Op.SIGN], ops_max=5))
    daemon.keystore.grants.add(ROOT, GrantRequest("vm3", "git", [Op.SIGN], ops_max=5))
    with pytest.raises(StateError, match="guest 'vm3' has 1 grants with a bound"):
        daemon.keystore.roles.assign(ROOT, "web", ["vm3"])
