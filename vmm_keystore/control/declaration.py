# SPDX-License-Identifier: Apache-2.0
"""POST /v1/apply: an administrator's file as it arrives, checked and put into the policy's words.

Knows no route and no service.
"""

from collections.abc import Iterator, Mapping

from pydantic import Field

from vmm_keystore.control.models import AppliedTo, Flag, GrantTerms, KeyCount, KeyTypeWord, Model, Name, Tags, Uid
from vmm_keystore.errors import InvalidRequestError
from vmm_keystore.policy.desired import ROLE_MARK, Guest, State
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.mechanisms import permission_for
from vmm_keystore.policy.vocabulary import KeyType


class DeclaredGuest(Model):
    """A guest, all of its roles, and all that is granted to it alone."""

    socket: str = Field(pattern=r"^/", max_length=107)
    owner_uid: Uid | None = None
    own_keys_max: KeyCount = 0
    roles: list[Name] = Field(default_factory=list)
    grants: list[GrantTerms] = Field(default_factory=list)


class DeclaredRole(Model):
    """A role and all that is granted to it."""

    grants: list[GrantTerms] = Field(default_factory=list)


class DeclaredKey(Model):
    """A key, made where there is none; with *tags* it has just these, without it keeps what it has."""

    type: KeyTypeWord
    tags: Tags | None = None


class Declaration(Model):
    """The file: TOML tables by name."""

    guests: dict[Name, DeclaredGuest] = Field(default_factory=dict)
    roles: dict[Name, DeclaredRole] = Field(default_factory=dict)
    keys: dict[Name, DeclaredKey] = Field(default_factory=dict)


class ApplyRequest(Model):
    """Make it so; *prune* removes guests, roles and grants that it does not name, *dry_run* changes nothing."""

    declaration: Declaration
    prune: Flag = False
    dry_run: Flag = False


class StepInfo(Model):
    """One change, in the words of the audit log."""

    action: str
    subject: str
    key: str
    detail: str


class ApplyAnswer(Model):
    """What was, or with *dry_run* would be, changed; nothing where all is as it should be."""

    dry_run: bool
    steps: list[StepInfo]
    applied: list[AppliedTo]


def wanted_state(declaration: Declaration, present_keys: dict[str, KeyType], aliases: Mapping[str, str]) -> State:
    """What the file wants; *present_keys* are the types of the keys that there are, *aliases* their labels by alias.

    Raises:
        InvalidRequestError: a grant does not go with its key's type, or is there twice.
    """
    keys = {label: key.type for label, key in declaration.keys.items()}
    types = {**present_keys, **keys}
    grants: dict[tuple[str, str], Permission] = {}
    for holder, terms in _granted(declaration):
        label = aliases.get(terms.key, terms.key)
        if (holder, label) in grants:
            raise InvalidRequestError(f"{holder} is granted key '{label}' twice", "make one grant of the two")
        if label not in types:
            raise InvalidRequestError(
                f"{holder} is granted a key '{label}' that there is not", f"add [keys.{label}] with its type"
            )
        grants[holder, label] = permission_for(types[label], terms.ops, terms.mechanisms, **terms.bounds())
    return State(
        guests={
            name: Guest(guest.socket, guest.owner_uid, frozenset(guest.roles), guest.own_keys_max)
            for name, guest in declaration.guests.items()
        },
        roles=frozenset(declaration.roles),
        keys=keys,
        grants=grants,
        tags={label: key.tags for label, key in declaration.keys.items() if key.tags is not None},
    )


def _granted(declaration: Declaration) -> Iterator[tuple[str, GrantTerms]]:
    for name, role in declaration.roles.items():
        for terms in role.grants:
            yield ROLE_MARK + name, terms
    for name, guest in declaration.guests.items():
        for terms in guest.grants:
            yield name, terms
