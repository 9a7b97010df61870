# SPDX-License-Identifier: Apache-2.0
"""Proposals in the store: what waits for approval, and who approved of it so far."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.store.tables import proposal_approvals, proposals


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """A proposal as stored; *uids* are those who approved, by number."""

    row_id: int
    proposal_id: str
    kind: str
    fields: Mapping[str, Any]
    keys: tuple[str, ...]
    proposed_uid: int
    proposed_s: int
    expires_s: int
    uids: tuple[int, ...] = ()


def insert_proposal(
    connection: sa.Connection,
    proposal_id: str,
    kind: str,
    fields: Mapping[str, Any],
    keys: Sequence[str],
    *,
    uid: int,
    now_s: int,
    expires_s: int,
) -> None:
    """Add a proposal, which nobody has approved of."""
    connection.execute(
        proposals.insert().values(
            proposal_id=proposal_id,
            kind=kind,
            fields=json.dumps(fields),
            labels=json.dumps(list(keys)),
            proposed_uid=uid,
            proposed_s=now_s,
            expires_s=expires_s,
        )
    )


def add_approval(connection: sa.Connection, proposal: ProposalRow, uid: int) -> None:
    """Let *uid*, who has not approved yet, approve."""
    connection.execute(proposal_approvals.insert().values(proposal=proposal.row_id, uid=uid))


def get_proposal(connection: sa.Connection, proposal_id: str, now_s: int) -> ProposalRow:
    """Return a proposal that waits.

    Raises:
        NotFoundError: there is none, or not any more.
    """
    for row in list_proposals(connection, now_s):
        if row.proposal_id == proposal_id:
            return row
    raise NotFoundError(f"no proposal '{proposal_id}' waits", "vmm-keystore proposal list shows those that do")


def list_proposals(connection: sa.Connection, now_s: int) -> tuple[ProposalRow, ...]:
    """Those that have not expired, the oldest first."""
    uids: dict[int, list[int]] = {}
    for row in connection.execute(sa.select(proposal_approvals).order_by(proposal_approvals.c.uid)):
        uids.setdefault(row.proposal, []).append(row.uid)
    statement = sa.select(proposals).where(proposals.c.expires_s > now_s).order_by(proposals.c.id)
    return tuple(
        ProposalRow(
            row_id=row.id,
            proposal_id=row.proposal_id,
            kind=row.kind,
            fields=json.loads(row.fields),
            keys=tuple(json.loads(row.labels)),
            proposed_uid=row.proposed_uid,
            proposed_s=row.proposed_s,
            expires_s=row.expires_s,
            uids=tuple(uids.get(row.id, ())),
        )
        for row in connection.execute(statement)
    )


def delete_proposal(connection: sa.Connection, proposal_id: str) -> None:
    """Forget a proposal.

    Raises:
        NotFoundError: there is none.
    """
    gone = connection.execute(
        proposals.delete().where(proposals.c.proposal_id == proposal_id).returning(proposals.c.id)
    ).first()
    if gone is None:
        raise NotFoundError(f"no proposal '{proposal_id}' waits", "vmm-keystore proposal list shows those that do")


def delete_expired(connection: sa.Connection, now_s: int) -> None:
    """Forget those whose time is over."""
    connection.execute(proposals.delete().where(proposals.c.expires_s <= now_s))
