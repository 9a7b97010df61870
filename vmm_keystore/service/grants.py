# SPDX-License-Identifier: Apache-2.0
"""The verbs for grants: in force in a running guest before they return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vmm_keystore.errors import AlreadyExistsError, StateError
from vmm_keystore.policy.budget import Usage
from vmm_keystore.policy.decision import Check, PolicyRequest, checks, verdict
from vmm_keystore.policy.mechanisms import DEFAULT_MECHANISM, permission_for
from vmm_keystore.policy.vocabulary import KeyState, Mechanism, Op, Status
from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.ports import BUDGETS_MAX, Applied, GuestWorkers
from vmm_keystore.store.grants import (
    GrantRow,
    count_budgets,
    delete_grant,
    find_grant,
    insert_grant,
    list_grants,
    permitted_versions,
)
from vmm_keystore.store.guests import get_guest
from vmm_keystore.store.keys import get_key
from vmm_keystore.store.store import Store


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What to grant; 0 and none mean no bound, *mechanisms* None those that need not be named."""

    guest: str
    key: str
    ops: Sequence[Op]
    mechanisms: Sequence[Mechanism] | None = None
    input_bytes_max: int = 0
    not_before_s: int = 0
    not_after_s: int = 0
    uids: Sequence[int] = ()
    ops_max: int = 0
    ops_a_second: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a guest may ask for; None: what the device takes where a request says nothing, and the present moment."""

    guest: str
    key: str
    op: Op
    version: int | None = None
    mechanism: Mechanism | None = None
    uid: int | None = None
    input_bytes: int = 0
    at_s: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to a question: what the device would say, and what that follows from."""

    question: Question
    status: Status
    version: int | None
    mechanism: Mechanism
    checks: tuple[Check, ...]


class Grants:
    """Adding, removing and showing grants."""

    def __init__(self, store: Store, workers: GuestWorkers, changes: Changes) -> None:
        self._store = store
        self._workers = workers
        self._changes = changes

    def add(self, actor: Actor, request: GrantRequest) -> tuple[GrantRow, tuple[Applied, ...]]:
        """Grant a key to a guest.

        Raises:
            NotFoundError: no such guest or key.
            AlreadyExistsError: the guest has a grant of the key.
            InvalidRequestError: operations or mechanisms do not go with the key's type.
            StateError: the key is destroyed, or the guest has as many budgets as there is room for.
        """
        with self._changes.attempt(actor, "grant-add", guest=request.guest, key=request.key):
            with self._store.read() as connection:
                key_type = get_key(connection, request.key).key_type
            permission = permission_for(
                key_type,
                request.ops,
                request.mechanisms,
                not_before_s=request.not_before_s,
                not_after_s=request.not_after_s,
                input_bytes_max=request.input_bytes_max,
                uids=request.uids,
                ops_max=request.ops_max,
                ops_a_second=request.ops_a_second,
            )
        detail = {
            "guest": request.guest,
            "key": request.key,
            "ops": [op.text for op in Op if permission.op_mask >> op & 1],
            "mechanisms": [m.text for m in Mechanism if permission.mechanism_mask >> m & 1],
            "input_bytes_max": permission.input_bytes_max,
            "not_before_s": permission.not_before_s,
            "not_after_s": permission.not_after_s,
            "uids": list(permission.uids),
            "ops_max": permission.ops_max,
            "ops_a_second": permission.ops_a_second,
        }
        with self._changes.begin(actor, "grant-add", **detail) as change:
            get_guest(change.connection, request.guest)
            key = get_key(change.connection, request.key)
            if all(version.state == KeyState.DESTROYED for version in key.versions):
                raise StateError(f"key '{key.label}' is destroyed")
            if find_grant(change.connection, request.guest, request.key) is not None:
                raise AlreadyExistsError(
                    f"guest '{request.guest}' has a grant of key '{request.key}' already",
                    "vmm-keystore grant remove takes it away; then add what it should be",
                )
            if permission.has_budget and count_budgets(change.connection, request.guest) >= BUDGETS_MAX:
                raise StateError(
                    f"guest '{request.guest}' has {BUDGETS_MAX} grants with a bound on operations",
                    "grant without --max-ops and --max-rate, or remove another such grant",
                )
            insert_grant(change.connection, request.guest, request.key, permission, now_s())
            change.affects(request.guest)
            added = find_grant(change.connection, request.guest, request.key)
        assert added is not None  # noqa: S101 -- inserted above, in the same transaction
        return added, change.applied

    def remove(self, actor: Actor, guest: str, key: str) -> tuple[GrantRow, tuple[Applied, ...]]:
        """Take a key from a guest: no operation with it starts after this returned.

        Raises:
            NotFoundError: no such guest, key or grant.
        """
        used = self._workers.operations_used(guest)
        with self._changes.begin(actor, "grant-remove", guest=guest, key=key) as change:
            removed = delete_grant(change.connection, guest, key)
            change.affects(guest)
        return with_use(removed, used), change.applied

    def explain(self, question: Question) -> Explanation:
        """Say what would become of a request, and why; nobody is asked and nothing is used.

        Raises:
            NotFoundError: no such guest or key.
        """
        with self._store.read() as connection:
            get_guest(connection, question.guest)
            key = get_key(connection, question.key)
            granted = [version.permitted for version in permitted_versions(connection, question.guest)]
            grant = find_grant(connection, question.guest, question.key)
        mechanism = question.mechanism or DEFAULT_MECHANISM[key.key_type]
        wanted = [
            version
            for version in granted
            if version.label == key.label
            and (version.current if question.version is None else version.version == question.version)
        ]
        request = PolicyRequest(
            op=question.op,
            mechanism=mechanism,
            uid=question.uid,
            input_bytes=question.input_bytes,
            now_s=now_s() if question.at_s is None else question.at_s,
        )
        found = wanted[0] if wanted else None
        usage = Usage(with_use(grant, self._workers.operations_used(question.guest)).ops_used) if grant else Usage()
        made = tuple(checks(found, request, usage))
        return Explanation(
            question=question,
            status=verdict(made),
            version=found.version if found else question.version,
            mechanism=mechanism,
            checks=made,
        )

    def list(self, guest: str | None = None, key: str | None = None) -> tuple[GrantRow, ...]:
        """Grants by guest and key, of one guest or key only when given."""
        with self._store.read() as connection:
            if guest is not None:
                get_guest(connection, guest)
            if key is not None:
                get_key(connection, key)
            rows = list_grants(connection, guest, key)
        used = {name: self._workers.operations_used(name) for name in {row.guest for row in rows if row.budget_id}}
        return tuple(with_use(row, used.get(row.guest, {})) for row in rows)


def with_use(grant: GrantRow, used: Mapping[int, int]) -> GrantRow:
    """The grant with what its guest's worker has counted, where there is one to ask."""
    return replace(grant, ops_used=used.get(grant.budget_id, grant.ops_used))
