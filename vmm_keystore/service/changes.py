# SPDX-License-Identifier: Apache-2.0
"""How every admin change is made: committed, in force in each worker concerned, on record, then answered.

One change at a time. The audit line is stored with the change itself and moved to the log afterwards: a daemon that
dies in between writes it when it starts again. Reads take no part in this and never wait.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vmm_keystore.audit.line import time_text
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.errors import AuditError, KeystoreError, StoreError, WorkerError
from vmm_keystore.policy.approval import (
    Approval,
    ApprovalRules,
    Rehearsal,
    RehearsedError,
    destruction_error,
    guarded_error,
)
from vmm_keystore.policy.event import Finding
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.service.ports import GuestWorkers
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.pending import delete_pending, insert_pending, list_pending
from vmm_keystore.store.proposals import delete_proposal
from vmm_keystore.store.store import Store

_PARALLEL_GUESTS = 8

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the peer of the control socket as the kernel names it.

    *approval* is what others approved of; with a *rehearsal* changes are tried and forgotten. Where it is no
    administrator, it is a *guest* that changes what is its own, by its user *guest_uid*.
    """

    uid: int
    pid: int
    approval: Approval | None = None
    guest: str = ""
    guest_uid: int | None = None
    rehearsal: Rehearsal | None = None


class Change:
    """A change under way: what its block fills in, and what became of it afterwards."""

    def __init__(self, connection: sa.Connection, actor: Actor, rules: ApprovalRules) -> None:
        self.connection = connection
        self._actor = actor
        self._rules = rules
        self.detail: dict[str, Any] = {}
        self.committed = False
        self.applied: tuple[Applied, ...] = ()
        self._guests: list[str] = []
        self._also: list[tuple[str, dict[str, Any]]] = []
        self._after: list[Callable[[], None]] = []
        self._findings: list[Finding] = []

    def note(self, **detail: Any) -> None:
        """Add to the audit line what was found out under way."""
        self.detail |= detail

    def guard(self, labels: Iterable[str]) -> None:
        """Name guarded keys that this gives away, or takes the guard from.

        Raises:
            ApprovalNeededError: too few administrators approved of it.
        """
        for label in labels:
            if not self._is_approved(label):
                raise guarded_error(label, self._rules)

    def guard_destruction(self, key: KeyRow) -> None:
        """Name a key of which this destroys a version.

        Raises:
            ApprovalNeededError: too few administrators approved of it.
        """
        if key.guarded_s is not None:
            self.guard([key.label])
        elif self._rules.every_destruction and not self._is_approved(key.label):
            raise destruction_error(key.label, self._rules)

    def also(self, action: str, **detail: Any) -> None:
        """Name a change that this one consists of; it has an audit line of its own, before that of the whole."""
        self._also.append((action, detail))

    def affects(self, *guests: str) -> None:
        """Name guests whose workers must have it before it is answered."""
        self._guests += guests

    def afterwards(self, step: Callable[[], None]) -> None:
        """Name a step that follows the commit and comes before the answer."""
        self._after.append(step)

    def tell(self, finding: Finding) -> None:
        """Name something that operators' handlers are told of; it is stored with the change itself."""
        self._findings.append(finding)

    def _is_approved(self, label: str) -> bool:
        if self._actor.rehearsal is not None:
            self._actor.rehearsal.keys.append(label)
            return True
        return self._actor.approval is not None and label in self._actor.approval.keys

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings named so far."""
        return tuple(self._findings)

    @property
    def guests(self) -> tuple[str, ...]:
        """Guests named so far, each once."""
        return tuple(dict.fromkeys(self._guests))

    @property
    def parts(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Changes that this one consists of, as named so far."""
        return tuple(self._also)

    @property
    def steps(self) -> tuple[Callable[[], None], ...]:
        """Steps named so far."""
        return tuple(self._after)


class Changes:
    """Makes changes; ``lock`` serialises them."""

    def __init__(
        self,
        store: Store,
        workers: GuestWorkers,
        audit: AuditLog,
        tell: Callable[[sa.Connection, Finding], object],
        wake: Callable[[], None],
        *,
        rules: ApprovalRules,
    ) -> None:
        """Set up; *tell* stores a finding in a change's transaction, *wake* follows its commit."""
        self.rules = rules
        self.lock = threading.RLock()
        self._tell = tell
        self._wake = wake
        self._store = store
        self._workers = workers
        self._audit = audit
        self._recorded = 0
        self._executor = ThreadPoolExecutor(_PARALLEL_GUESTS, thread_name_prefix="apply")

    @contextmanager
    def begin(self, actor: Actor, action: str, **detail: Any) -> Iterator[Change]:
        """Run the block as one change; nothing of it remains when it raises.

        Args:
            actor: who asked for it.
            action: what it is, for the audit log.
            detail: to what, in words; never key bytes.

        Raises:
            WorkerError: it is stored, but a guest's worker did not confirm it and could not be ended, or a step failed.
            AuditError: it is stored and in force, its audit line follows when the log can be written again.
            RehearsedError: the actor rehearses; it could be done, and was not.
        """
        if actor.rehearsal is not None:
            with self.lock, self._store.write() as connection:
                yield Change(connection, actor, self.rules)
                raise RehearsedError
        fields = _fields(actor, action, detail)
        with self.attempt(actor, action, **detail) as refused, self.lock:
            with self._store.write() as connection:
                change = Change(connection, actor, self.rules)
                try:
                    yield change
                finally:
                    refused.update(change.detail)
                if actor.approval is not None and actor.approval.proposal_id:
                    delete_proposal(connection, actor.approval.proposal_id)
                for part, its_detail in change.parts:
                    insert_pending(connection, json.dumps(_fields(actor, part, its_detail)))
                for finding in change.findings:
                    self._tell(connection, finding)
                number = insert_pending(connection, json.dumps(fields | change.detail))
            change.committed = True
            if change.findings:
                self._wake()
            self._finish(change, number)

    @contextmanager
    def attempt(self, actor: Actor, action: str, **detail: Any) -> Iterator[dict[str, Any]]:
        """Record it, with the reason, when the block refuses: nothing of the change was done then.

        The block may add to what the line of a refusal says.
        """
        try:
            yield detail
        except KeystoreError as error:
            if not error.on_record:
                self._record_refusal(_fields(actor, action, detail), error)
                error.on_record = True
            raise

    def recover(self) -> None:
        """Write the audit lines of changes that an earlier daemon committed and did not live to record."""
        with self.lock:
            with self._store.read() as connection:
                waiting = list_pending(connection)
            if waiting:
                self._recorded = self._audit.last_change()
                self._flush({})

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown()

    def _apply(self, change: Change) -> tuple[tuple[Applied, ...], list[str]]:
        applied, failures = [], []
        outcomes = self._executor.map(self._apply_one, change.guests)
        for guest, outcome in zip(change.guests, outcomes, strict=True):
            if isinstance(outcome, Applied):
                applied.append(outcome)
            else:
                failures.append(f"guest '{guest}': {outcome.message}")
        for step in change.steps:
            try:
                step()
            except KeystoreError as error:
                failures.append(error.message)
        return tuple(applied), failures

    def _apply_one(self, guest: str) -> Applied | KeystoreError:
        try:
            return self._workers.apply(guest)
        except KeystoreError as error:
            return error

    def _finish(self, change: Change, number: int) -> None:
        change.applied, failures = self._apply(change)
        try:
            self._record(number, change.applied, failures)
            if failures:
                raise WorkerError(
                    "the change is stored, but not everywhere in force: " + "; ".join(failures),
                    "vmm-keystore guest show tells how its worker is; restarting the daemon ends it",
                )
        except KeystoreError as error:
            # Its own line tells of it, now or when the log can be written again: it is no refusal.
            error.on_record = True
            raise

    def _record_refusal(self, fields: dict[str, Any], error: KeystoreError) -> None:
        try:
            self._audit.append_refusal({**fields, "status": error.code, "reason": error.message})
        except AuditError as failure:
            # Nothing was done, so nothing has to wait for its line.
            _logger.warning("refused %s is not on record: %s", fields["action"], failure.message)

    def _record(self, number: int, applied: tuple[Applied, ...], failures: list[str]) -> None:
        outcome: dict[str, Any] = {"applied": {one.guest: one.outcome.value for one in applied}}
        if failures:
            outcome["failed"] = failures
        try:
            self._flush({number: outcome})
        except AuditError as error:
            raise type(error)(
                f"the change is in force, but its audit line is still to be written: {error.message}", error.hint
            ) from error
        except StoreError as error:
            _logger.warning("the change is in force and on record, but: %s", error.message)

    def _flush(self, outcomes: dict[int, dict[str, Any]]) -> None:
        with self._store.read() as connection:
            waiting = list_pending(connection)
        for number, line in waiting:
            if number > self._recorded:
                self._audit.append_change(number, {**json.loads(line), **outcomes.get(number, {})})
                self._recorded = number
        with self._store.write() as connection:
            delete_pending(connection, self._recorded)


def _fields(actor: Actor, action: str, detail: dict[str, Any]) -> dict[str, Any]:
    who: dict[str, Any] = {"uid": actor.uid, "pid": actor.pid}
    if actor.guest:
        who = {"by_guest": actor.guest} | ({} if actor.guest_uid is None else {"guest_uid": actor.guest_uid})
    if actor.approval is not None and actor.approval.proposal_id:
        who |= {"proposal": actor.approval.proposal_id, "approved_by": list(actor.approval.uids)}
    return {"time": time_text(time.time_ns()), "action": action, **who, **detail}
