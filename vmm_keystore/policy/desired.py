# SPDX-License-Identifier: Apache-2.0
"""What an administrator's file wants, and the steps from what there is to that. Pure.

What the file names is made so exactly: a guest's roles, grants and number of own keys, a role's grants, a key's tags
where it has any to say. What it does not name is left alone, or with *prune* removed; keys are made and never removed,
nor their types changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from vmm_keystore.errors import InvalidRequestError, StateError
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.tags import describe_change
from vmm_keystore.policy.vocabulary import KeyType, Mechanism, Op

ROLE_MARK = "@"
"""Where a holder is named, a role has this before its name; no guest's name begins so."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest: where it connects, its roles, and how many keys of its own it may have."""

    socket: str
    owner_uid: int | None = None
    roles: frozenset[str] = frozenset()
    own_keys_max: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """Guests and roles by name, keys by label, permissions by holder (``@role`` for a role) and label.

    *tags* are by label, of a wanted key only those that the file says something of; *aliases* are the labels of the
    keys that there are by alias.
    """

    guests: Mapping[str, Guest] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    keys: Mapping[str, KeyType] = field(default_factory=dict)
    grants: Mapping[tuple[str, str], Permission] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One change: *action* as in the audit log, to what, and what it comes to in words."""

    action: str
    subject: str
    detail: str = ""
    guests: tuple[str, ...] = ()
    """Of role-assign and role-unassign."""
    key: str = ""
    """Of the grants' steps, whose subject is the holder."""


def plan(present: State, wanted: State, *, prune: bool = False) -> list[Step]:
    """Give the steps from *present* to *wanted*, in an order in which each of them can be taken.

    Raises:
        StateError: the file contradicts what cannot be changed.
        InvalidRequestError: it names what there is not.
    """
    _check_names(present, wanted)
    _check_fixed(present, wanted)
    return [
        *_lost_grants(present, wanted, prune=prune),
        *_lost_roles(present, wanted, prune=prune),
        *(Step("role-remove", name) for name in sorted(present.roles - wanted.roles) if prune),
        *(Step("guest-remove", name) for name in sorted(present.guests.keys() - wanted.guests.keys()) if prune),
        *(Step("key-generate", label, kind.text) for label, kind in _new(wanted.keys, present.keys)),
        *_changed_tags(present, wanted),
        *(Step("guest-add", name, guest.socket) for name, guest in _new(wanted.guests, present.guests)),
        *_changed_quotas(present, wanted),
        *(Step("role-add", name) for name in sorted(wanted.roles - present.roles)),
        *_won_roles(present, wanted),
        *_won_grants(present, wanted),
    ]


def describe(permission: Permission) -> str:
    """A permission in words, its bounds where it has any."""
    words = [",".join(op.text for op in Op if permission.op_mask >> op & 1)]
    words += [",".join(m.text for m in Mechanism if permission.mechanism_mask >> m & 1)]
    bounds = {
        "bytes<=": permission.input_bytes_max,
        "ops<=": permission.ops_max,
        "rate<=": permission.ops_a_second,
        "not-before=": permission.not_before_s,
        "not-after=": permission.not_after_s,
        "uid=": "/".join(map(str, permission.uids)),
    }
    return " ".join([*words, *(f"{name}{value}" for name, value in bounds.items() if value)])


def _check_names(present: State, wanted: State) -> None:
    roles, keys = present.roles | wanted.roles, present.keys.keys() | wanted.keys.keys()
    for name, guest in wanted.guests.items():
        for role in sorted(guest.roles - roles):
            raise InvalidRequestError(f"guest '{name}' has a role '{role}' that there is not", f"add [roles.{role}]")
    for holder, label in wanted.grants:
        if label not in keys:
            raise InvalidRequestError(f"{holder} is granted a key '{label}' that there is not", f"add [keys.{label}]")


def _check_fixed(present: State, wanted: State) -> None:
    for name, guest in wanted.guests.items():
        found = present.guests.get(name)
        if found and (found.socket, found.owner_uid) != (guest.socket, guest.owner_uid):
            raise StateError(
                f"guest '{name}' has another socket or owner: {found.socket}",
                "a guest's socket does not change: remove the guest and add it anew",
            )
    for label, kind in wanted.keys.items():
        if label in present.aliases:
            raise StateError(
                f"'{label}' is an alias of key '{present.aliases[label]}'",
                f"name the key itself: [keys.{present.aliases[label]}]",
            )
        if present.keys.get(label, kind) != kind:
            raise StateError(
                f"key '{label}' is of type {present.keys[label].text}, not {kind.text}",
                "a key's type never changes: choose another label",
            )


def _lost_grants(present: State, wanted: State, *, prune: bool) -> Iterator[Step]:
    for holder, label in sorted(present.grants.keys() - wanted.grants.keys()):
        named = holder[1:] in wanted.roles if holder.startswith(ROLE_MARK) else holder in wanted.guests
        if named or prune:
            yield Step("grant-remove", holder, describe(present.grants[holder, label]), key=label)


def _changed_tags(present: State, wanted: State) -> Iterator[Step]:
    for label, tags in sorted(wanted.tags.items(), key=lambda item: item[0]):
        change = describe_change(present.tags.get(label, {}), tags)
        if change:
            yield Step("key-tag", label, change)


def _changed_quotas(present: State, wanted: State) -> Iterator[Step]:
    for name, guest in sorted(wanted.guests.items()):
        before = present.guests[name].own_keys_max if name in present.guests else 0
        if before != guest.own_keys_max:
            yield Step("guest-own-keys", name, f"own keys {before} -> {guest.own_keys_max}")


def _lost_roles(present: State, wanted: State, *, prune: bool) -> Iterator[Step]:
    for role in sorted(present.roles):
        losers = [
            name
            for name, guest in sorted(present.guests.items())
            if role in guest.roles and (role not in wanted.guests[name].roles if name in wanted.guests else prune)
        ]
        if losers:
            yield Step("role-unassign", role, _count(losers), guests=tuple(losers))


def _won_roles(present: State, wanted: State) -> Iterator[Step]:
    nobody = Guest("")
    for role in sorted(present.roles | wanted.roles):
        winners = [
            name
            for name, guest in sorted(wanted.guests.items())
            if role in guest.roles and role not in present.guests.get(name, nobody).roles
        ]
        if winners:
            yield Step("role-assign", role, _count(winners), guests=tuple(winners))


def _won_grants(present: State, wanted: State) -> Iterator[Step]:
    for (holder, label), permission in sorted(wanted.grants.items(), key=lambda item: item[0]):
        found = present.grants.get((holder, label))
        if found is None:
            yield Step("grant-add", holder, describe(permission), key=label)
        elif found != permission:
            yield Step("grant-change", holder, f"{describe(found)} -> {describe(permission)}", key=label)


def _new(wanted: Mapping[str, T], present: Mapping[str, object]) -> list[tuple[str, T]]:
    return sorted((item for item in wanted.items() if item[0] not in present), key=lambda item: item[0])


def _count(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} guests"
