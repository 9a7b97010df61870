# SPDX-License-Identifier: Apache-2.0
"""The verbs for grants: in force in a running guest before they return."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from vmm_keystore.errors import AlreadyExistsError, InvalidRequestError, StateError
from vmm_keystore.policy.budget import Usage
from vmm_keystore.policy.decision import Check, PolicyRequest, checks, verdict
from vmm_keystore.policy.desired import ROLE_MARK
from vmm_keystore.policy.event import grant_expiry_near, is_expiry_near
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.hsm import NOT_IN_TOKENS
from vmm_keystore.policy.mechanisms import default_mechanism, permission_for
from vmm_keystore.policy.vocabulary import Mechanism, Op, Status
from vmm_keystore.service.changes import Actor, Change, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.service.key_names import named_key
from vmm_keystore.service.ports import BUDGETS_MAX, GuestWorkers
from vmm_keystore.store.budgets import BoundedUse, count_budgets, list_bounded
from vmm_keystore.store.grants import (
    GrantRow,
    Holder,
    count_grants,
    delete_grant,
    find_grant,
    get_holder,
    insert_grant,
    list_grants,
    list_held,
    permitted_keys,
)
from vmm_keystore.store.guests import get_guest
from vmm_keystore.store.holdings import find_double
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.keys import get_key, guarded_labels
from vmm_keystore.store.store import Store


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What to grant to *guest*, or ``@role``; 0 and none mean no bound, *mechanisms* None those that need not be named."""

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
        """Grant a key to a guest, or to a role and thereby to its guests.

        Raises:
            NotFoundError: no such guest, role or key.
            AlreadyExistsError: the guest, or one of the role's, has a grant of the key.
            InvalidRequestError: operations or mechanisms do not go with the key's type.
            StateError: the key is destroyed, or the guest has as many budgets as there is room for.
            ApprovalNeededError: the key is guarded.
        """
        with self._changes.attempt(actor, "grant-add", guest=request.guest, key=request.key) as refused:
            with self._store.read() as connection:
                asked = get_key(connection, request.key)
            refused["key"] = asked.label
            permission = permission_for(
                asked.key_type,
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
            "key": asked.label,
            **({} if asked.label == request.key else {"alias": request.key}),
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
            holder = get_holder(change.connection, request.guest)
            key = get_key(change.connection, asked.label)
            if key.is_destroyed:
                raise StateError(f"key '{key.label}' is destroyed")
            if find_grant(change.connection, request.guest, key.label) is not None:
                raise AlreadyExistsError(
                    f"{_named(holder)} has a grant of key '{key.label}' already",
                    "vmm-keystore grant remove takes it away; then add what it should be",
                )
            make_grant(change, holder, key, permission)
            change.affects(*holder.guests)
            added = find_grant(change.connection, request.guest, key.label)
            if added and is_expiry_near(permission.not_after_s, now_s()):
                change.tell(grant_expiry_near(added.holder, added.key, added.row_id, permission.not_after_s))
        assert added is not None  # noqa: S101 -- inserted above, in the same transaction
        return added, change.applied

    def remove(self, actor: Actor, guest: str, name: str) -> tuple[GrantRow, tuple[Applied, ...]]:
        """Take a key from a guest or ``@role``: no operation with it starts after this returned.

        Raises:
            NotFoundError: no such guest, key or grant.
        """
        used = self._workers.operations_used(guest)
        with self._changes.begin(actor, "grant-remove", guest=guest, key=name) as change:
            holder = get_holder(change.connection, guest)
            removed = delete_grant(change.connection, holder, named_key(change, name).label)
            change.affects(*holder.guests)
        return with_use(removed, used), change.applied

    def explain(self, question: Question) -> Explanation:
        """Say what would become of a request, and why; nobody is asked and nothing is used.

        Raises:
            NotFoundError: no such guest or key.
        """
        with self._store.read() as connection:
            get_guest(connection, question.guest)
            key = get_key(connection, question.key)
            granted = permitted_keys(connection, question.guest)
            held = list_held(connection, question.guest, key.label)
        mechanism = question.mechanism or default_mechanism(key.key_type, question.op)
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
        used = self._workers.operations_used(question.guest)
        usage = Usage(with_use(held[0], used).ops_used) if held else Usage()
        made = tuple(checks(found, request, usage))
        return Explanation(
            question=replace(question, key=key.label),
            status=verdict(made),
            version=found.version if found else question.version,
            mechanism=mechanism,
            checks=made,
        )

    def list(self, guest: str | None = None, key: str | None = None) -> tuple[GrantRow, ...]:
        """Grants by guest or role and key; what one guest has, itself and by its roles, or of one key, when given."""
        with self._store.read() as connection:
            if guest is not None:
                holder = get_holder(connection, guest)
            if key is not None:
                key = get_key(connection, key).label
            if guest is None:
                rows = list_grants(connection, key)
            elif holder.role:
                rows = tuple(row for row in list_grants(connection, key) if row.role == holder.role.name)
            else:
                rows = list_held(connection, guest, key)
        used = self._used({row.guest for row in rows if row.guest and row.budget_id})
        return tuple(with_use(row, used.get(row.guest or "", {})) for row in rows)

    def count(self) -> int:
        """How many grants there are."""
        with self._store.read() as connection:
            return count_grants(connection)

    def ending(self) -> tuple[GrantRow, ...]:
        """Grants that have an end, without what is used of them by now."""
        with self._store.read() as connection:
            return list_grants(connection, only_ending=True)

    def bounded(self, share: float = 0.0) -> tuple[BoundedUse, ...]:
        """What every guest has used of the operations that its grants allow in all.

        Args:
            share: leave out budgets of which less than this was even leased to a worker: cheap where most are unused.
        """
        with self._store.read() as connection:
            rows = list_bounded(connection, share)
        used = self._used({row.guest for row in rows})
        return tuple(replace(row, ops_used=used[row.guest].get(row.budget_id, row.ops_used)) for row in rows)

    def _used(self, guests: Iterable[str]) -> dict[str, Mapping[int, int]]:
        return {guest: self._workers.operations_used(guest) for guest in guests}


def with_use(grant: GrantRow, used: Mapping[int, int]) -> GrantRow:
    """The grant with what its guest's worker has counted, where there is one to ask."""
    return replace(grant, ops_used=used.get(grant.budget_id, grant.ops_used))


def make_grant(change: Change, holder: Holder, key: KeyRow, permission: Permission) -> None:
    """Grant a key that *holder* has no grant of.

    Raises:
        AlreadyExistsError: one of its guests has the key by another grant.
        InvalidRequestError: it lies in a token, which does not do that.
        StateError: one of its guests has no room for one more budget.
        ApprovalNeededError: the key is guarded.
    """
    connection = change.connection
    check_fits_token(key, permission)
    change.guard(guarded_labels(connection, [key.row_id]))
    check_single(connection, holder.guest_rows, [key.row_id])
    if permission.has_budget:
        check_room(connection, holder.guests, holder.guest_rows, 1)
    insert_grant(connection, holder, key.row_id, permission, now_s())


def check_fits_token(key: KeyRow, permission: Permission) -> None:
    """Refuse what no token does for us.

    Raises:
        InvalidRequestError: an operation is among it.
    """
    refused = [op.text for op in sorted(NOT_IN_TOKENS) if permission.op_mask >> op & 1]
    if key.in_token and refused:
        raise InvalidRequestError(
            f"key '{key.label}' lies in a token, which does not {', '.join(refused)}",
            "a token's keys sign and decrypt; what is public is done beside it",
        )


def check_single(connection: sa.Connection, guest_rows: Sequence[int], key_rows: Sequence[int]) -> None:
    """Refuse a second grant of one key to one guest: which of the two would hold?

    Raises:
        AlreadyExistsError: one of the guests has one of the keys.
    """
    double = find_double(connection, guest_rows, key_rows)
    if double is None:
        return
    guest, key, holder = double
    by = f" by role '{holder.removeprefix(ROLE_MARK)}'" if holder.startswith(ROLE_MARK) else ""
    raise AlreadyExistsError(
        f"guest '{guest}' has key '{key}'{by} already",
        f"a guest has a key by one grant only: vmm-keystore grant remove {holder} {key} takes that one",
    )


def check_room(connection: sa.Connection, guests: Sequence[str], guest_rows: Sequence[int], more: int) -> None:
    """Refuse more budgets than a guest has counters for.

    Raises:
        StateError: one of the guests has no room for *more*.
    """
    counts = count_budgets(connection, guest_rows)
    for guest, row in zip(guests, guest_rows, strict=True):
        if counts.get(row, 0) + more > BUDGETS_MAX:
            raise StateError(
                f"guest '{guest}' has {counts[row]} grants with a bound on operations, {BUDGETS_MAX} is the most",
                "grant without --max-ops and --max-rate, or remove another such grant",
            )


def _named(holder: Holder) -> str:
    return f"role '{holder.role.name}'" if holder.role else f"guest '{holder.name}'"
