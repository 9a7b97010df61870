# SPDX-License-Identifier: Apache-2.0
"""Making it so: an administrator's file as one change, all of it or nothing."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import sqlalchemy as sa

from vmm_keystore.errors import ApprovalNeededError, StateError
from vmm_keystore.policy.approval import Rehearsal, RehearsedError, guarded_error
from vmm_keystore.policy.desired import Guest, State, Step, plan
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.service import guest_values
from vmm_keystore.service.changes import Actor, Change, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.grants import check_room, make_grant
from vmm_keystore.service.guest_keys import KeyLabels
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.service.guests import Guests
from vmm_keystore.service.key_values import SealedKey
from vmm_keystore.service.ports import GuestWorkers, KeyCustodian
from vmm_keystore.service.roles import give_role
from vmm_keystore.store.grants import (
    Holder,
    change_grant,
    delete_grant,
    find_grant,
    get_holder,
    list_grants,
)
from vmm_keystore.store.guests import delete_guest, guest_rows, insert_guest, list_guests, set_own_keys_max
from vmm_keystore.store.key_aliases import list_aliases
from vmm_keystore.store.key_tags import remove_tags, set_tags, tags_of
from vmm_keystore.store.keys import get_key, guarded_labels, insert_first_version, key_types
from vmm_keystore.store.own_keys import owners
from vmm_keystore.store.roles import (
    delete_role,
    get_role,
    insert_role,
    list_roles,
    remove_members,
)
from vmm_keystore.store.store import Store


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made for a step."""

    key_id: bytes
    sealed: SealedKey


class Declarations:
    """Compares what there is with what is wanted, and changes it."""

    def __init__(
        self,
        store: Store,
        custodian: KeyCustodian,
        workers: GuestWorkers,
        changes: Changes,
        *,
        guests: Guests,
        labels: KeyLabels,
    ) -> None:
        self._store = store
        self._custodian = custodian
        self._workers = workers
        self._changes = changes
        self._guests = guests
        self._labels = labels

    def apply(
        self, actor: Actor, wanted: State, *, prune: bool, dry_run: bool
    ) -> tuple[list[Step], tuple[Applied, ...]]:
        """Bring guests, roles, keys and grants to *wanted*; in force in running guests when this returns.

        Args:
            actor: who asks.
            wanted: what shall be.
            prune: remove guests, roles and grants that it does not name.
            dry_run: take every step and forget it: refused is what would be refused.

        Returns:
            The steps, and what became of them in each guest.

        Raises:
            KeystoreError: one of the steps cannot be taken; none was.
        """
        with self._changes.attempt(actor, "apply"), _by_own_command(), self._changes.lock:
            with self._store.read() as connection:
                steps = plan(read_state(connection, wanted), wanted, prune=prune)
            if not steps:
                return [], ()
            if dry_run:
                self._rehearse(actor, steps, wanted)
                return steps, ()
            return steps, self._take(actor, steps, wanted)

    def _rehearse(self, actor: Actor, steps: Sequence[Step], wanted: State) -> None:
        nothing = SealedKey(KeyType.AES_128, b"", b"")
        new = {step.subject: NewKey(uuid.uuid4().bytes, nothing) for step in steps if step.action == "key-generate"}
        for step in steps:
            if step.action == "guest-add":
                self._guests.check(_guest(step.subject, wanted))
        rehearsal = Rehearsal()
        with suppress(RehearsedError), self._changes.begin(replace(actor, rehearsal=rehearsal), "apply") as change:
            for step in steps:
                take(change, step, wanted, new)
        for label in rehearsal.keys:
            raise guarded_error(label, self._changes.rules)

    def _take(self, actor: Actor, steps: Sequence[Step], wanted: State) -> tuple[Applied, ...]:
        new: dict[str, NewKey] = {}
        for step in steps:
            if step.action == "key-generate":
                key_id = uuid.uuid4().bytes
                new[step.subject] = NewKey(key_id, self._custodian.generate(key_id, 1, wanted.keys[step.subject]))
        listening: list[str] = []
        change: Change | None = None
        try:
            # As for a single guest: first the socket, then the store.
            for step in steps:
                if step.action == "guest-add":
                    guest = _guest(step.subject, wanted)
                    self._guests.check(guest)
                    self._workers.add_guest(guest)
                    listening.append(guest.name)
            with self._changes.begin(actor, "apply", steps=len(steps)) as change:
                for step in steps:
                    take(change, step, wanted, new)
                    change.also(step.action, **_fields(step))
                    if step.action == "guest-remove":
                        change.afterwards(lambda name=step.subject: self._workers.remove_guest(name))  # type: ignore[misc]
                    if step.action == "key-generate":
                        self._labels.add(new[step.subject].key_id, step.subject)
        except BaseException:
            if change is None or not change.committed:
                for name in listening:
                    self._workers.remove_guest(name)
            raise
        return change.applied


@contextmanager
def _by_own_command() -> Iterator[None]:
    """A file is not what others approve of."""
    try:
        yield
    except ApprovalNeededError as error:
        error.hint = "first have it approved by itself: grant add --propose, or role assign --propose"
        raise


def read_state(connection: sa.Connection, wanted: State) -> State:
    """What there is, destroyed keys among it: their labels are taken for good; tags only where *wanted* has any.

    What guests granted themselves of their own keys is theirs, unless *wanted* says something of it.
    """
    own = owners(connection)
    roles = list_roles(connection)
    roles_of: dict[str, list[str]] = {}
    for role in roles:
        for name in role.guests:
            roles_of.setdefault(name, []).append(role.name)
    return State(
        guests={
            row.name: Guest(row.socket, row.owner_uid, frozenset(roles_of.get(row.name, ())), row.own_keys_max)
            for row in list_guests(connection)
        },
        roles=frozenset(role.name for role in roles),
        keys=key_types(connection),
        grants={
            (row.holder, row.key): row.permission
            for row in list_grants(connection)
            if (row.holder, row.key) in wanted.grants or own.get(row.key) != row.holder
        },
        tags=tags_of(connection, wanted.tags),
        aliases={row.name: row.key for row in list_aliases(connection)},
    )


def take(change: Change, step: Step, wanted: State, new: Mapping[str, NewKey]) -> None:
    """Take one step in the store, with the checks that its own command makes.

    Raises:
        KeystoreError: it cannot be taken.
    """
    connection = change.connection
    match step.action:
        case "grant-remove":
            holder = get_holder(connection, step.subject)
            delete_grant(connection, holder, step.key)
            change.affects(*holder.guests)
        case "role-unassign":
            remove_members(connection, get_role(connection, step.subject), guest_rows(connection, step.guests))
            change.affects(*step.guests)
        case "role-remove":
            role = get_role(connection, step.subject)
            delete_role(connection, role)
            change.affects(*role.guests)
        case "guest-remove":
            delete_guest(connection, step.subject)
        case "key-generate":
            made = new[step.subject]
            insert_first_version(
                connection,
                made.key_id,
                step.subject,
                wanted.keys[step.subject],
                state=KeyState.ACTIVE,
                sealed=made.sealed.sealed,
                public_der=made.sealed.public_der,
                now_s=now_s(),
            )
        case "key-tag":
            present, tags = get_key(connection, step.subject).tags, wanted.tags[step.subject]
            remove_tags(connection, step.subject, present.keys() - tags.keys())
            set_tags(connection, step.subject, tags)
        case "guest-add":
            guest = wanted.guests[step.subject]
            insert_guest(connection, step.subject, guest.socket, guest.owner_uid, now_s())
        case "guest-own-keys":
            set_own_keys_max(connection, step.subject, wanted.guests[step.subject].own_keys_max)
            change.affects(step.subject)
        case "role-add":
            insert_role(connection, step.subject, now_s())
        case "role-assign":
            role = get_role(connection, step.subject)
            give_role(change, role, step.guests, guest_rows(connection, step.guests))
            change.affects(*step.guests)
        case "grant-add" | "grant-change":
            change.affects(*_grant(change, step, wanted.grants[step.subject, step.key]).guests)
        case _:
            raise AssertionError(step.action)


def _grant(change: Change, step: Step, permission: Permission) -> Holder:
    connection = change.connection
    holder, key = get_holder(connection, step.subject), get_key(connection, step.key)
    if key.is_destroyed:
        raise StateError(f"key '{key.label}' is destroyed", f"take it out of the file, from {step.subject}")
    found = find_grant(connection, step.subject, step.key)
    if found is None:
        make_grant(change, holder, key, permission)
        return holder
    if permission.has_budget and not found.permission.has_budget:
        check_room(connection, holder.guests, holder.guest_rows, 1)
    change.guard(guarded_labels(connection, [key.row_id]))
    change_grant(connection, holder, found, permission)
    return holder


def _guest(name: str, wanted: State) -> guest_values.Guest:
    guest = wanted.guests[name]
    return guest_values.Guest(name, guest.socket, guest.owner_uid)


def _fields(step: Step) -> dict[str, object]:
    """Its audit line's own members, named as in the line of its own command."""
    kind = step.action.partition("-")[0]
    named = {"guest": "guest", "role": "role", "key": "key", "grant": "guest"}[kind]
    fields: dict[str, object] = {named: step.subject}
    if step.key:
        fields["key"] = step.key
    if step.guests:
        fields["guests"] = list(step.guests)
    elif step.detail:
        fields["detail"] = step.detail
    return fields
