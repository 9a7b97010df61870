# SPDX-License-Identifier: Apache-2.0
"""The steps from any state to any other one lead there, and are none where nothing is to be done."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmm_keystore.errors import InvalidRequestError, StateError
from vmm_keystore.policy.desired import Guest, State, Step, describe, plan
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.vocabulary import KeyType, Mechanism, Op, mask

GUESTS, ROLES = ("a", "b", "c"), ("x", "y")
KEYS = {"k": KeyType.ED25519, "m": KeyType.HMAC_SHA256}
TAGS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"))
permissions = st.builds(Permission, st.integers(1, 3), st.just(1), ops_max=st.integers(0, 2))


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw a state with names that are often the same in two of them."""
    roles = draw(st.frozensets(st.sampled_from(ROLES)))
    guests = {
        name: Guest(
            f"/run/{name}",
            None,
            draw(st.frozensets(st.sampled_from(sorted(roles)))) if roles else frozenset(),
            draw(st.integers(0, 2)),
        )
        for name in draw(st.frozensets(st.sampled_from(GUESTS)))
    }
    keys = {label: KEYS[label] for label in draw(st.frozensets(st.sampled_from(sorted(KEYS))))}
    holders = [*guests, *("@" + name for name in sorted(roles))]
    pairs = [(holder, label) for holder in holders for label in keys]
    grants = {pair: draw(permissions) for pair in (draw(st.frozensets(st.sampled_from(pairs))) if pairs else ())}
    tags = {label: draw(TAGS) for label in draw(st.frozensets(st.sampled_from(sorted(keys))))} if keys else {}
    return State(guests, roles, keys, grants, tags)


def take(state: State, step: Step, wanted: State) -> State:  # noqa: PLR0912 - one for each action
    """Take a step, which must be possible in just this state."""
    guests, roles = dict(state.guests), set(state.roles)
    keys, grants, tags = dict(state.keys), dict(state.grants), dict(state.tags)
    pair = (step.subject, step.key)

    def holders() -> set[str]:
        return {*guests, *("@" + name for name in roles)}

    match step.action:
        case "grant-remove":
            del grants[pair]
        case "role-unassign":
            for name in step.guests:
                assert step.subject in guests[name].roles
                guests[name] = dataclasses.replace(guests[name], roles=guests[name].roles - {step.subject})
        case "role-remove":
            roles.remove(step.subject)
            assert not any(step.subject in guest.roles for guest in guests.values())
        case "guest-remove":
            del guests[step.subject]
        case "key-generate":
            assert step.subject not in keys
            keys[step.subject] = wanted.keys[step.subject]
        case "key-tag":
            assert step.subject in keys
            tags[step.subject] = wanted.tags[step.subject]
        case "guest-add":
            assert step.subject not in guests
            guests[step.subject] = dataclasses.replace(wanted.guests[step.subject], roles=frozenset(), own_keys_max=0)
        case "guest-own-keys":
            many = wanted.guests[step.subject].own_keys_max
            assert guests[step.subject].own_keys_max != many
            guests[step.subject] = dataclasses.replace(guests[step.subject], own_keys_max=many)
        case "role-add":
            assert step.subject not in roles
            roles.add(step.subject)
        case "role-assign":
            assert step.subject in roles
            for name in step.guests:
                assert step.subject not in guests[name].roles
                guests[name] = dataclasses.replace(guests[name], roles=guests[name].roles | {step.subject})
        case "grant-add" | "grant-change":
            assert (pair in grants) == (step.action == "grant-change")
            assert step.key in keys
            assert step.subject in holders()
            grants[pair] = wanted.grants[pair]
        case _:
            raise AssertionError(step)
    assert {holder for holder, _label in grants} <= holders()
    return State(guests, frozenset(roles), keys, grants, tags)


@settings(max_examples=500, deadline=None)
@given(states(), states(), st.booleans())
def test_steps_lead_there(present: State, wanted: State, prune: bool) -> None:
    """Each can be taken where it stands; at the end all is as the file says, and what it does not name as before."""
    reached = present
    for step in plan(present, wanted, prune=prune):
        reached = take(reached, step, wanted)
    assert plan(reached, wanted, prune=prune) == []
    assert wanted.guests.items() <= reached.guests.items()
    assert wanted.grants.items() <= reached.grants.items()
    assert present.keys.items() <= reached.keys.items()
    for label in reached.keys:
        assert reached.tags.get(label, {}) == wanted.tags.get(label, present.tags.get(label, {}))
    if prune:
        assert (reached.guests, reached.roles, reached.grants) == (wanted.guests, wanted.roles, wanted.grants)
        return
    assert reached.roles == present.roles | wanted.roles
    for name in present.guests.keys() - wanted.guests.keys():
        assert reached.guests[name] == present.guests[name]
    for holder, label in present.grants.keys() - wanted.grants.keys():
        left_alone = holder.removeprefix("@") not in (wanted.roles if holder[0] == "@" else wanted.guests)
        assert ((holder, label) in reached.grants) == left_alone


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (State(guests={"a": Guest("/other")}), StateError, "guest 'a' has another socket or owner: /run/a"),
        (State(guests={"a": Guest("/run/a", 5)}), StateError, "guest 'a' has another socket or owner"),
        (State(keys={"now": KeyType.ED25519}), StateError, "'now' is an alias of key 'k'"),
        (State(keys={"k": KeyType.AES_128}), StateError, "key 'k' is of type ed25519, not aes-128"),
        (State(guests={"b": Guest("/run/b", None, frozenset({"no"}))}), InvalidRequestError, "a role 'no'"),
        (State(grants={("a", "no"): Permission(1, 1)}), InvalidRequestError, "a is granted a key 'no'"),
    ],
)
def test_file_that_cannot_be(wanted: State, error: type[Exception], message: str) -> None:
    """Said before anything is done."""
    present = State({"a": Guest("/run/a")}, frozenset({"x"}), {"k": KeyType.ED25519}, aliases={"now": "k"})
    with pytest.raises(error, match=message):
        plan(present, wanted)


def test_a_permission_in_words() -> None:
    """Operations, mechanisms, and the bounds that there are."""
    permission = Permission(mask([Op.SIGN, Op.VERIFY]), mask([Mechanism.ED25519]), ops_max=5, uids=(0, 7))
    assert describe(permission) == "sign,verify ed25519 ops<=5 uid=0/7"
