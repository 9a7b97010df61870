# SPDX-License-Identifier: Apache-2.0
"""The verbs for roles: what is granted to one, each of its guests has, in force before they return."""

from collections.abc import Sequence

from vmm_keystore.errors import AlreadyExistsError, NotFoundError
from vmm_keystore.service.changes import Actor, Change, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.grants import check_room, check_single
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.store.guests import guest_rows
from vmm_keystore.store.keys import guarded_labels
from vmm_keystore.store.roles import (
    RoleRow,
    add_members,
    bounded_grants,
    delete_role,
    find_role,
    get_role,
    granted_keys,
    insert_role,
    list_roles,
    remove_members,
)
from vmm_keystore.store.store import Store


class Roles:
    """Adding, removing and showing roles, and which guests have them."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def add(self, actor: Actor, name: str) -> RoleRow:
        """Add a role, with no guest and no grant.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        with self._changes.begin(actor, "role-add", role=name) as change:
            if find_role(change.connection, name) is not None:
                raise AlreadyExistsError(f"there is a role '{name}' already", "vmm-keystore role show shows it")
            insert_role(change.connection, name, now_s())
        return self.show(name)

    def remove(self, actor: Actor, name: str) -> tuple[RoleRow, tuple[Applied, ...]]:
        """Remove a role and its grants: no guest can use what it had by it after this returned; what it was."""
        with self._changes.begin(actor, "role-remove", role=name) as change:
            role = get_role(change.connection, name)
            change.note(guests=list(role.guests))
            delete_role(change.connection, role)
            change.affects(*role.guests)
        return role, change.applied

    def assign(self, actor: Actor, name: str, guests: Sequence[str]) -> tuple[RoleRow, tuple[Applied, ...]]:
        """Give a role to guests, all or none.

        Raises:
            NotFoundError: no such role, or one of the guests.
            AlreadyExistsError: one of the guests has the role, or one of its keys by another grant.
            StateError: one of the guests has no room for the role's budgets.
            ApprovalNeededError: one of its keys is guarded.
        """
        with self._changes.begin(actor, "role-assign", role=name, guests=list(guests)) as change:
            role = get_role(change.connection, name)
            rows = guest_rows(change.connection, guests)
            for guest in guests:
                if guest in role.guests:
                    raise AlreadyExistsError(f"guest '{guest}' has role '{name}' already")
            give_role(change, role, guests, rows)
            change.affects(*guests)
        return self.show(name), change.applied

    def unassign(self, actor: Actor, name: str, guests: Sequence[str]) -> tuple[RoleRow, tuple[Applied, ...]]:
        """Take a role from guests, all or none: no operation by it starts after this returned.

        Raises:
            NotFoundError: no such role, or one of the guests does not have it.
        """
        with self._changes.begin(actor, "role-unassign", role=name, guests=list(guests)) as change:
            role = get_role(change.connection, name)
            rows = guest_rows(change.connection, guests)
            for guest in guests:
                if guest not in role.guests:
                    raise NotFoundError(f"guest '{guest}' does not have role '{name}'", "role show says who has it")
            remove_members(change.connection, role, rows)
            change.affects(*guests)
        return self.show(name), change.applied

    def show(self, name: str) -> RoleRow:
        """Return one role."""
        with self._store.read() as connection:
            return get_role(connection, name)

    def list(self) -> tuple[RoleRow, ...]:
        """Every role, by name."""
        with self._store.read() as connection:
            return list_roles(connection)


def give_role(change: Change, role: RoleRow, guests: Sequence[str], rows: Sequence[int]) -> None:
    """Give a role to guests that do not have it.

    Raises:
        AlreadyExistsError: one of them has one of the role's keys by another grant.
        StateError: one of them has no room for the role's budgets.
        ApprovalNeededError: one of its keys is guarded.
    """
    connection = change.connection
    key_rows = granted_keys(connection, role)
    change.guard(guarded_labels(connection, key_rows))
    check_single(connection, rows, key_rows)
    more = len(bounded_grants(connection, role))
    if more:
        check_room(connection, guests, rows, more)
    add_members(connection, role, rows)
