# SPDX-License-Identifier: Apache-2.0
"""Proposals: GET /v1/proposals and below it, POST approve and DELETE below it; POST propose below what is proposed."""

from pydantic import AwareDatetime

from vmm_keystore.control.models.words import AppliedTo, Model


class ProposalInfo(Model):
    """What waits for approval: *what* in words, *guarded_keys* that need it, uids of who proposed and of who approved."""

    id: str
    kind: str
    what: str
    guarded_keys: list[str]
    proposed_by: int
    proposed: AwareDatetime
    expires: AwareDatetime
    approved_by: list[int]
    needed: int


class ProposalList(Model):
    """Proposals that wait, the oldest first."""

    proposals: list[ProposalInfo]


class ProposalApproved(ProposalInfo):
    """A proposal that somebody approved of; *done* where that was the last approval it took."""

    done: bool
    applied: list[AppliedTo]
