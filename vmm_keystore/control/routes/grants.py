# SPDX-License-Identifier: Apache-2.0
"""Routes of grants."""

from typing import Annotated

from fastapi import Query

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, Version, router
from vmm_keystore.policy.vocabulary import Mechanism, Op
from vmm_keystore.service.grants import GrantRequest, Question


@router.post("/grants", status_code=201)
def add_grant(body: models.GrantCreate, service: Service, caller: Caller) -> models.GrantChanged:
    """Grant a key to a guest; in force in a running guest when this is answered."""
    request = GrantRequest(body.guest, body.key, body.ops, body.mechanisms, **body.bounds())
    return answers.grant_changed(*service.grants.add(caller, request))


@router.get("/grants")
def list_grants(service: Service, guest: str | None = None, key: str | None = None) -> models.GrantList:
    """Grants by guest or role and key; of a ``@role``, or what a guest has, or of a key, when given."""
    return models.GrantList(grants=[answers.grant_info(grant) for grant in service.grants.list(guest, key)])


@router.get("/grants/{guest}/{key}/explain")
def explain_grant(
    guest: str,
    key: str,
    op: str,
    service: Service,
    *,
    version: Version = None,
    mechanism: str | None = None,
    uid: Annotated[int | None, Query(ge=0, le=2**32 - 1)] = None,
    input_bytes: Annotated[int, Query(ge=0, le=2**32 - 1)] = 0,
    at: models.Moment | None = None,
) -> models.GrantExplained:
    """Say what would become of a request, and why."""
    question = Question(
        guest=guest,
        key=key,
        op=Op.from_text(op),
        version=version,
        mechanism=Mechanism.from_text(mechanism) if mechanism else None,
        uid=uid,
        input_bytes=input_bytes,
        at_s=int(at.timestamp()) if at else None,
    )
    return answers.grant_explained(service.grants.explain(question))


@router.delete("/grants/{guest}/{key}")
def remove_grant(guest: str, key: str, service: Service, caller: Caller) -> models.GrantChanged:
    """Take a key from a guest; no operation with it starts after this is answered."""
    return answers.grant_changed(*service.grants.remove(caller, guest, key))
