# SPDX-License-Identifier: Apache-2.0
"""Guarded keys, and the verbs for what several administrators must approve of: propose, approve, withdraw.

The one whose approval is the last one needed makes the change, on record with everybody who approved. The proposal goes
in that change's own transaction: it is made once, or, where it is refused, waits to be approved again or withdrawn.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from vmm_keystore.errors import AlreadyExistsError, NotAllowedError, RequestError, StateError
from vmm_keystore.policy.approval import Approval, Rehearsal, RehearsedError
from vmm_keystore.policy.event import Finding, proposal_waits
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.service.acts import Act, AddGrant, AssignRole, DestroyKey, UnguardKey, act_fields, read_act
from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.grants import Grants
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.service.key_names import named_key
from vmm_keystore.service.key_plans import KeyPlans
from vmm_keystore.service.keys import Keys
from vmm_keystore.service.roles import Roles
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.keys import get_key, set_guarded
from vmm_keystore.store.proposals import (
    ProposalRow,
    add_approval,
    delete_expired,
    delete_proposal,
    get_proposal,
    insert_proposal,
    list_proposals,
)
from vmm_keystore.store.store import Store

LIFE_S = 7 * 86400
WAITING_MAX = 100


@dataclass(frozen=True, slots=True)
class Proposal:
    """What waits for approval, and how many administrators it takes."""

    row: ProposalRow
    act: Act
    needed: int

    @property
    def is_approved(self) -> bool:
        """Whether enough have approved."""
        return len(self.row.uids) >= self.needed


class Proposals:
    """Guarding keys, and what guarded keys need."""

    def __init__(
        self, store: Store, changes: Changes, *, keys: Keys, plans: KeyPlans, grants: Grants, roles: Roles
    ) -> None:
        self._store = store
        self._changes = changes
        self._keys = keys
        self._plans = plans
        self._grants = grants
        self._roles = roles

    def guard(self, actor: Actor, name: str) -> KeyRow:
        """Let nobody give a key to guests, or destroy it, alone.

        Raises:
            StateError: it is guarded already, or destroyed.
        """
        with self._changes.begin(actor, "key-guard", key=name) as change:
            key = named_key(change, name)
            if key.is_destroyed:
                raise StateError(f"key '{key.label}' is destroyed")
            if key.guarded_s is not None:
                raise StateError(f"key '{key.label}' is guarded already")
            set_guarded(change.connection, key, now_s())
            return get_key(change.connection, key.label)

    def unguard(self, actor: Actor, name: str) -> KeyRow:
        """Take the guard from a key.

        Raises:
            StateError: it is not guarded.
            ApprovalNeededError: one administrator alone may not.
        """
        with self._changes.begin(actor, "key-unguard", key=name) as change:
            key = named_key(change, name)
            if key.guarded_s is None:
                raise StateError(f"key '{key.label}' is not guarded")
            change.guard([key.label])
            set_guarded(change.connection, key, None)
            return get_key(change.connection, key.label)

    def propose(self, actor: Actor, act: Act, *, approve: bool) -> Proposal:
        """Propose a change; it is tried first, so that what could not be done is refused now.

        Args:
            actor: who proposes it.
            act: the change.
            approve: whether the actor is one of those whose approval counts.

        Raises:
            RequestError: it needs nobody's approval.
            AlreadyExistsError: the same waits already.
            StateError: too many wait.
            KeystoreError: it could not be done.
        """
        with self._changes.attempt(actor, "proposal-add", kind=act.kind, what=act.text):
            act = self._by_label(act)
            rehearsal = Rehearsal()
            with suppress(RehearsedError):
                self._make(replace(actor, rehearsal=rehearsal), act)
        proposal_id = secrets.token_hex(8)
        keys = sorted(set(rehearsal.keys))
        detail = {"proposal": proposal_id, "kind": act.kind, "what": act.text, "keys": keys}
        with self._changes.begin(actor, "proposal-add", **detail) as change:
            if not keys:
                raise RequestError("this needs nobody's approval", "the command without --propose does it")
            now, connection = now_s(), change.connection
            delete_expired(connection, now)
            waiting = list_proposals(connection, now)
            for row in waiting:
                if (row.kind, row.fields) == (act.kind, act_fields(act)):
                    raise AlreadyExistsError(
                        f"the same is proposed already: {row.proposal_id}",
                        f"vmm-keystore proposal approve {row.proposal_id}",
                    )
            if len(waiting) >= WAITING_MAX:
                raise StateError(
                    f"{WAITING_MAX} proposals wait already", "vmm-keystore proposal withdraw takes one back"
                )
            insert_proposal(
                *(connection, proposal_id, act.kind, act_fields(act), keys),
                uid=actor.uid,
                now_s=now,
                expires_s=now + LIFE_S,
            )
            if approve:
                add_approval(connection, get_proposal(connection, proposal_id, now), actor.uid)
            found = self._proposal(get_proposal(connection, proposal_id, now))
            change.tell(self._finding(found))
        return found

    def approve(self, actor: Actor, proposal_id: str) -> tuple[Proposal, bool, tuple[Applied, ...]]:
        """Approve of a proposal, and make the change where that was the last approval it took.

        Returns:
            The proposal, whether it is done, and what became of it in the guests concerned.

        Raises:
            NotFoundError: no such proposal waits.
            StateError: this user approved before.
            KeystoreError: it could not be done; the proposal waits on.
        """
        with self._changes.lock:
            with self._changes.begin(actor, "proposal-approve", proposal=proposal_id) as change:
                now = now_s()
                row = get_proposal(change.connection, proposal_id, now)
                change.note(what=read_act(row.kind, row.fields).text)
                if actor.uid not in row.uids:
                    add_approval(change.connection, row, actor.uid)
                elif not self._proposal(row).is_approved:
                    raise StateError(
                        f"uid {actor.uid} has approved of this proposal already", "it takes another administrator"
                    )
                found = self._proposal(get_proposal(change.connection, proposal_id, now))
            if not found.is_approved:
                return found, False, ()
            approval = Approval(frozenset(found.row.keys), proposal_id, found.row.uids)
            return found, True, self._make(replace(actor, approval=approval), found.act)

    def withdraw(self, actor: Actor, proposal_id: str, *, anyones: bool) -> Proposal:
        """Take a proposal back; one's own, or with *anyones* everybody's.

        Raises:
            NotFoundError: no such proposal waits.
            NotAllowedError: it is somebody else's.
        """
        with self._changes.begin(actor, "proposal-withdraw", proposal=proposal_id) as change:
            found = self._proposal(get_proposal(change.connection, proposal_id, now_s()))
            change.note(what=found.act.text)
            if not anyones and found.row.proposed_uid != actor.uid:
                raise NotAllowedError(
                    f"uid {found.row.proposed_uid} proposed this", "he, or an administrator, can take it back"
                )
            delete_proposal(change.connection, proposal_id)
        return found

    def show(self, proposal_id: str) -> Proposal:
        """Return one that waits."""
        with self._store.read() as connection:
            return self._proposal(get_proposal(connection, proposal_id, now_s()))

    def list(self) -> tuple[Proposal, ...]:
        """Those that wait, the oldest first."""
        with self._store.read() as connection:
            return tuple(self._proposal(row) for row in list_proposals(connection, now_s()))

    def waiting(self) -> Sequence[Finding]:
        """Those that wait, as operators' handlers are told of them."""
        return [self._finding(found) for found in self.list()]

    def _proposal(self, row: ProposalRow) -> Proposal:
        return Proposal(row, read_act(row.kind, row.fields), self._changes.rules.count)

    def _finding(self, found: Proposal) -> Finding:
        return proposal_waits(found.row.proposal_id, found.act.text, found.row.proposed_uid, found.row.expires_s)

    def _by_label(self, act: Act) -> Act:
        """The same of the key itself: an alias may stand for another one when it is approved."""
        match act:
            case AssignRole():
                return act
            case AddGrant(request):
                return AddGrant(replace(request, key=self._keys.show(request.key).label))
        return replace(act, key=self._keys.show(act.key).label)

    def _make(self, actor: Actor, act: Act) -> tuple[Applied, ...]:
        match act:
            case DestroyKey(at_s=None):
                return self._keys.move(actor, act.key, KeyState.DESTROYED, act.version)[1]
            case DestroyKey(at_s=int(at_s)):
                return self._plans.destroy_later(actor, act.key, act.version, at_s)[1]
            case UnguardKey():
                self.unguard(actor, act.key)
                return ()
            case AddGrant():
                return self._grants.add(actor, act.request)[1]
            case AssignRole():
                return self._roles.assign(actor, act.role, act.guests)[1]
        raise AssertionError(act)
