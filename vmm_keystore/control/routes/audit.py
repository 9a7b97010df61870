# SPDX-License-Identifier: Apache-2.0
"""Routes of the audit log."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query

from vmm_keystore.audit.selection import Selection
from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Service, router

PAGE_LINES_MAX = 1000


def _selection(
    service: Service,
    *,
    guest: str = "",
    key: str = "",
    op: str = "",
    status: str = "",
    since: Annotated[models.Moment | None, Query()] = None,
    until: Annotated[models.Moment | None, Query()] = None,
) -> Selection:
    label = service.names.label_of(key) if key else ""
    return Selection(guest, label, op, status, since=_line_time(since), until=_line_time(until))


def _line_time(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"


Wanted = Annotated[Selection, Depends(_selection)]


@router.get("/audit")
def audit_page(
    service: Service,
    wanted: Wanted,
    after: Annotated[int | None, Query(ge=0)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LINES_MAX)] = 100,
) -> models.AuditPage:
    """Selected lines behind number *after*; without it the last ones."""
    lines, last_seq = service.audit.page(after, limit, wanted)
    return models.AuditPage(lines=lines, last_seq=last_seq)


@router.get("/audit/verify")
def audit_verify(service: Service) -> models.AuditVerified:
    """Check the whole hash chain and the checkpoints in it."""
    return answers.audit_verified(service.audit.verify())


@router.get("/audit/public-key")
def audit_public_key(service: Service) -> models.AuditKeyInfo:
    """The key that checkpoints are signed with."""
    key = service.audit.public_key
    return models.AuditKeyInfo(origin=key.origin, vkey=key.vkey, pem=key.pem)


@router.post("/audit/checkpoint")
def audit_checkpoint(service: Service) -> models.AuditCheckpoint:
    """Sign the log as it stands."""
    return models.AuditCheckpoint(note=service.audit.checkpoint())
