# SPDX-License-Identifier: Apache-2.0
"""What is planned for keys, and doing it when its time has come: destruction that can be taken back, and rotation."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vmm_keystore.errors import InvalidRequestError, KeystoreError, StateError
from vmm_keystore.policy.approval import Approval
from vmm_keystore.policy.event import is_destruction_near, key_destruction_near
from vmm_keystore.policy.lifecycle import ENCRYPTIONS_MAX, ENCRYPTIONS_NEAR
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.service.key_names import named_key
from vmm_keystore.service.keys import Keys, remaining_versions
from vmm_keystore.store.key_rows import KeyRow, VersionRow
from vmm_keystore.store.keys import (
    are_bound_by_use,
    list_encrypting_keys,
    list_planned_keys,
    plan_destruction,
    set_min_process_version,
    set_rotation,
)
from vmm_keystore.store.store import Store

_logger = logging.getLogger(__name__)

Changed = tuple[KeyRow, tuple[Applied, ...]]


class Action(StrEnum):
    """What is done by itself."""

    DESTROY = "destroyed"
    ROTATE = "rotated"
    DEACTIVATE = "deactivated"


@dataclass(frozen=True, slots=True)
class Due:
    """Something that is to be done to a version at *at_s*, 0 for at once; rotated is only a current one."""

    at_s: int
    label: str
    action: Action
    version: int
    why: str


class KeyPlans:
    """Planning, taking back, and doing what is due."""

    def __init__(self, store: Store, changes: Changes, keys: Keys) -> None:
        self._store = store
        self._changes = changes
        self._keys = keys
        self.on_plan: Callable[[], None] = lambda: None
        """Called when something may be due sooner than before."""

    def destroy_later(self, actor: Actor, name: str, version: int | None, at_s: int) -> Changed:
        """Plan the destruction of a version, or of all; until then none of them is of any use to a guest.

        Raises:
            InvalidRequestError: the time has passed.
            StateError: it is destroyed, or its destruction is planned already.
            ApprovalNeededError: one administrator alone may not destroy it.
        """
        with self._changes.begin(actor, "key-destroy-plan", key=name, at_s=at_s) as change:
            if at_s <= now_s():
                raise InvalidRequestError("the time of the destruction has passed", "leave it out to destroy at once")
            key = named_key(change, name)
            numbers = [key.version(version).version] if version else remaining_versions(key)
            for number in numbers:
                found = key.version(number)
                if found.state == KeyState.DESTROYED:
                    raise StateError(f"key '{key.label}' version {number} is destroyed already")
                if version and found.destroy_at_s is not None:
                    raise StateError(
                        f"the destruction of key '{key.label}' version {number} is planned already",
                        f"vmm-keystore key destroy {key.label} --cancel takes it back",
                    )
            change.note(versions=numbers)
            change.guard_destruction(key)
            plan_destruction(change.connection, key, numbers, at_s)
            if is_destruction_near(at_s, now_s()):
                change.tell(key_destruction_near(key.label, numbers, at_s))
            change.affects(*key.guests)
        self.on_plan()
        return self._keys.show(key.label), change.applied

    def keep(self, actor: Actor, name: str, version: int | None) -> Changed:
        """Take a planned destruction back: the versions are what they were before.

        Raises:
            StateError: none is planned.
        """
        with self._changes.begin(actor, "key-destroy-cancel", key=name) as change:
            key = named_key(change, name)
            versions = [key.version(version)] if version else list(key.versions)
            numbers = [found.version for found in versions if found.destroy_at_s is not None]
            if not numbers:
                which = f" version {version}" if version else ""
                raise StateError(f"no destruction of key '{key.label}'{which} is planned", "key show says what is")
            change.note(versions=numbers)
            plan_destruction(change.connection, key, numbers, None)
            change.affects(*key.guests)
        return self._keys.show(key.label), change.applied

    def set_min_version(self, actor: Actor, name: str, version: int) -> Changed:
        """Let versions before *version* do nothing any more; a smaller one gives them back what their states allow.

        Raises:
            NotFoundError: the key has no such version.
        """
        with self._changes.begin(actor, "key-min-version", key=name, version=version) as change:
            key = named_key(change, name)
            set_min_process_version(change.connection, key, key.version(version).version)
            change.affects(*key.guests)
        return self._keys.show(key.label), change.applied

    def set_rotation(self, actor: Actor, name: str, every_s: int | None, after_uses: int | None = None) -> Changed:
        """Rotate the key whenever its current version is *every_s* old, or has signed, encrypted or made a MAC so often.

        None is not by that; both: by hand only.

        Raises:
            StateError: it is destroyed.
        """
        with self._changes.begin(actor, "key-rotation", key=name, every_s=every_s, after_uses=after_uses) as change:
            key = named_key(change, name)
            remaining_versions(key)
            set_rotation(change.connection, key, every_s, after_uses)
        self.on_plan()
        return self._keys.show(key.label), change.applied

    def next_due(self, behind_s: int = -1) -> Due | None:
        """What is to be done next, behind that time, if anything is planned."""
        return min((due for due in self._planned() if due.at_s > behind_s), key=lambda due: due.at_s, default=None)

    def concern(self, key_rows: Sequence[int]) -> bool:
        """Whether any of these keys may have to be rotated, or stopped, since it was used."""
        with self._store.read() as connection:
            return are_bound_by_use(connection, key_rows, ENCRYPTIONS_MAX)

    def destructions(self) -> dict[tuple[str, int], list[int]]:
        """Versions that are to be destroyed, by key and time."""
        found: dict[tuple[str, int], list[int]] = {}
        for due in self._planned():
            if due.action is Action.DESTROY:
                found.setdefault((due.label, due.at_s), []).append(due.version)
        return found

    def worn(self) -> Sequence[KeyRow]:
        """Keys whose current version is to encrypt, and has done so nearly as often as it may."""
        with self._store.read() as connection:
            found = list_encrypting_keys(connection, ENCRYPTIONS_NEAR)
        return [key for key in found if key.state == KeyState.ACTIVE and key.encrypted_count >= ENCRYPTIONS_NEAR]

    def do_due(self) -> None:
        """Do all that is due by now; what fails is left for the next time, and holds nothing else up."""
        now = now_s()
        for due in sorted(self._planned(), key=lambda due: due.at_s):
            if due.at_s <= now:
                try:
                    self._do(due)
                except KeystoreError as error:
                    _logger.error("planned change of key %s failed, it will be tried again: %s", due.label, error)

    def _do(self, due: Due) -> None:
        daemon = Actor(os.geteuid(), os.getpid())
        match due.action:
            case Action.ROTATE:
                self._keys.rotate(daemon, due.label)
            case Action.DEACTIVATE:
                self._keys.move(daemon, due.label, KeyState.DEACTIVATED, due.version)
            case Action.DESTROY:
                # Who planned it had the approval that it took.
                planned = replace(daemon, approval=Approval(frozenset({due.label})))
                self._keys.move(planned, due.label, KeyState.DESTROYED, due.version)
        _logger.info("key %s version %d %s: %s", due.label, due.version, due.action.value, due.why)

    def _planned(self) -> Sequence[Due]:
        with self._store.read() as connection:
            found = list_planned_keys(connection, ENCRYPTIONS_MAX)
        planned = []
        for key in found:
            planned += [
                Due(version.destroy_at_s, key.label, Action.DESTROY, version.version, "as planned")
                for version in key.versions
                if version.destroy_at_s is not None
            ]
            current = key.version(key.current_version)
            if current.state == KeyState.ACTIVE and current.destroy_at_s is None:
                planned += _due_by_use(key) or _due_by_age(key, current)
        return planned


def _due_by_use(key: KeyRow) -> list[Due]:
    if key.rotate_after_uses and key.protected_count >= key.rotate_after_uses:
        return [Due(0, key.label, Action.ROTATE, key.current_version, "it is due by its uses")]
    if key.encrypted_count >= ENCRYPTIONS_MAX:
        # Somebody who has it rotated wants it to go on; else nobody asked for another version.
        action = Action.ROTATE if key.rotate_after_uses or key.rotate_every_s else Action.DEACTIVATE
        return [Due(0, key.label, action, key.current_version, f"it has encrypted {key.encrypted_count} times")]
    return []


def _due_by_age(key: KeyRow, current: VersionRow) -> list[Due]:
    if not key.rotate_every_s:
        return []
    at_s = current.created_s + key.rotate_every_s
    return [Due(at_s, key.label, Action.ROTATE, current.version, "it is due by its age")]
