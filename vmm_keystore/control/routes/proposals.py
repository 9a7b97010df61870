# SPDX-License-Identifier: Apache-2.0
"""Routes of guarded keys and of what several administrators must approve of."""

from fastapi import Request

from vmm_keystore.control import answers, models
from vmm_keystore.control.access import AdminRole
from vmm_keystore.control.gate import role_of
from vmm_keystore.control.routes.common import Caller, Service, router
from vmm_keystore.service.acts import Act, AddGrant, AssignRole, DestroyKey, UnguardKey
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest
from vmm_keystore.service.keystore import Keystore


@router.post("/keys/{label}/guard")
def guard_key(label: str, service: Service, caller: Caller) -> models.KeyInfo:
    """Let nobody give the key to guests, or destroy it, alone."""
    return answers.key_info(service.proposals.guard(caller, label))


@router.post("/keys/{label}/unguard")
def unguard_key(label: str, service: Service, caller: Caller) -> models.KeyInfo:
    """Take the guard from a key; nobody can alone: propose it."""
    return answers.key_info(service.proposals.unguard(caller, label))


@router.get("/proposals")
def list_proposals(service: Service) -> models.ProposalList:
    """Proposals that wait for approval, the oldest first."""
    return models.ProposalList(proposals=[answers.proposal_info(found) for found in service.proposals.list()])


@router.get("/proposals/{proposal_id}")
def show_proposal(proposal_id: str, service: Service) -> models.ProposalInfo:
    """One that waits."""
    return answers.proposal_info(service.proposals.show(proposal_id))


@router.post("/keys/{label}/destroy/propose", status_code=201)
def propose_destroy(
    label: str, request: Request, service: Service, caller: Caller, body: models.KeyDestroy | None = None
) -> models.ProposalInfo:
    """Propose to destroy a key that one administrator alone may not."""
    asked = body or models.KeyDestroy()
    at_s = int(asked.at.timestamp()) if asked.at else None
    return _propose(request, service, caller, DestroyKey(label, asked.version, at_s))


@router.post("/keys/{label}/unguard/propose", status_code=201)
def propose_unguard(label: str, request: Request, service: Service, caller: Caller) -> models.ProposalInfo:
    """Propose to take the guard from a key."""
    return _propose(request, service, caller, UnguardKey(label))


@router.post("/grants/propose", status_code=201)
def propose_grant(body: models.GrantCreate, request: Request, service: Service, caller: Caller) -> models.ProposalInfo:
    """Propose to grant a guarded key."""
    grant = GrantRequest(body.guest, body.key, body.ops, body.mechanisms, **body.bounds())
    return _propose(request, service, caller, AddGrant(grant))


@router.post("/roles/{name}/assign/propose", status_code=201)
def propose_assign(
    name: str, body: models.RoleGuests, request: Request, service: Service, caller: Caller
) -> models.ProposalInfo:
    """Propose to give guests a role that has a guarded key."""
    return _propose(request, service, caller, AssignRole(name, tuple(body.guests)))


@router.post("/proposals/{proposal_id}/approve")
def approve_proposal(proposal_id: str, service: Service, caller: Caller) -> models.ProposalApproved:
    """Approve; with the last approval it takes the change is made, and in force when this is answered."""
    return answers.proposal_approved(*service.proposals.approve(caller, proposal_id))


@router.delete("/proposals/{proposal_id}")
def withdraw_proposal(proposal_id: str, request: Request, service: Service, caller: Caller) -> models.ProposalInfo:
    """Take one's own proposal back; administrators everybody's."""
    anyones = role_of(request) >= AdminRole.ADMIN
    return answers.proposal_info(service.proposals.withdraw(caller, proposal_id, anyones=anyones))


def _propose(request: Request, service: Keystore, caller: Actor, act: Act) -> models.ProposalInfo:
    approve = role_of(request) >= AdminRole.ADMIN
    return answers.proposal_info(service.proposals.propose(caller, act, approve=approve))
