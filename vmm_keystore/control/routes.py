# SPDX-License-Identifier: Apache-2.0
"""The routes of /v1: each takes a model, calls one verb of the service, and gives a model.

All of them are plain functions, so that they run in threads: one that waits (for a worker, the disk, the custodian)
holds up no other.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from vmm_keystore.audit.selection import Selection
from vmm_keystore.control import answers, models
from vmm_keystore.control.declaration import ApplyAnswer, ApplyRequest, StepInfo, wanted_state
from vmm_keystore.control.gate import GatedRoute, role_of
from vmm_keystore.control.metrics import metrics_text
from vmm_keystore.control.peer import peer_of
from vmm_keystore.errors import NotAllowedError
from vmm_keystore.policy.vocabulary import KeyState, Mechanism, Op
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest, Question
from vmm_keystore.service.keystore import Keystore
from vmm_keystore.service.ports import Guest

PAGE_LINES_MAX = 1000
CHUNK_BYTES = 1 << 18
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Errors are JSON, whatever else a route answers.
ERROR: dict[str, Any] = {
    "model": models.ErrorAnswer,
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
}

router = APIRouter(prefix="/v1", route_class=GatedRoute, responses={"default": ERROR})


def _keystore(request: Request) -> Keystore:
    return cast("Keystore", request.app.state.keystore)


def _actor(request: Request) -> Actor:
    peer = peer_of(request.scope)
    if peer is None:
        raise NotAllowedError("an unknown peer may change nothing")
    return Actor(peer.uid, peer.pid)


def _selection(
    *,
    guest: str = "",
    key: str = "",
    op: str = "",
    status: str = "",
    since: Annotated[models.Moment | None, Query()] = None,
    until: Annotated[models.Moment | None, Query()] = None,
) -> Selection:
    return Selection(guest, key, op, status, since=_line_time(since), until=_line_time(until))


def _line_time(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"


Service = Annotated[Keystore, Depends(_keystore)]
Caller = Annotated[Actor, Depends(_actor)]
Wanted = Annotated[Selection, Depends(_selection)]
Version = Annotated[int | None, Query(ge=1, le=2**32 - 1)]


@router.get("/status")
def status(request: Request, service: Service) -> models.StatusInfo:
    """Tell how the daemon is, and what the asker may do."""
    return answers.status_info(service.status(), role_of(request).text)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(service: Service) -> Response:
    """The daemon's figures in Prometheus' text format."""
    return Response(metrics_text(service), media_type=METRICS_TYPE)


@router.post("/guests", status_code=201)
def add_guest(body: models.GuestCreate, service: Service, caller: Caller) -> models.GuestInfo:
    """Add a guest; its socket is ready when this is answered."""
    return answers.guest_info(service.guests.add(caller, Guest(body.name, body.socket, body.owner_uid)))


@router.get("/guests")
def list_guests(service: Service) -> models.GuestList:
    """Every guest, by name."""
    return models.GuestList(guests=[answers.guest_info(view) for view in service.guests.list()])


@router.get("/guests/{name}")
def show_guest(name: str, service: Service) -> models.GuestInfo:
    """One guest with its worker."""
    return answers.guest_info(service.guests.show(name))


@router.delete("/guests/{name}")
def remove_guest(name: str, service: Service, caller: Caller) -> models.GuestRemoved:
    """Remove a guest and its grants; its front-end is disconnected."""
    return models.GuestRemoved(name=name, grants_removed=service.guests.remove(caller, name))


@router.post("/keys", status_code=201)
def generate_key(body: models.KeyGenerate, service: Service, caller: Caller) -> models.KeyInfo:
    """Make a key."""
    return answers.key_info(service.keys.generate(caller, body.label, body.type, activate=body.activate))


@router.get("/keys")
def list_keys(service: Service) -> models.KeyList:
    """Every key, by label."""
    return models.KeyList(keys=[answers.key_info(key) for key in service.keys.list()])


@router.post("/keys/import/offer", status_code=201)
def offer_import(service: Service) -> models.KeyImportOffer:
    """Get a one-time public key to wrap an import to."""
    offer = service.keys.offer_import()
    return models.KeyImportOffer(offer_id=offer.offer_id.hex(), public_key=offer.public_key.hex())


@router.post("/keys/import", status_code=201)
def import_key(body: models.KeyImport, service: Service, caller: Caller) -> models.KeyInfo:
    """Take a key that was wrapped to an offer."""
    key = service.keys.import_key(
        caller, body.label, bytes.fromhex(body.offer_id), body.wrapped, body.type, activate=body.activate
    )
    return answers.key_info(key)


@router.get("/keys/{label}")
def show_key(label: str, service: Service) -> models.KeyInfo:
    """One key with its versions."""
    return answers.key_info(service.keys.show(label))


@router.get("/keys/{label}/public", response_class=PlainTextResponse)
def public_key(label: str, service: Service, version: Version = None) -> PlainTextResponse:
    """The public key of a version as PEM."""
    return PlainTextResponse(service.keys.public_pem(label, version), media_type="application/x-pem-file")


@router.post("/keys/{label}/rotate")
def rotate_key(label: str, service: Service, caller: Caller) -> models.KeyChanged:
    """Make a new version current; the one before only processes from now on."""
    return answers.key_changed(*service.keys.rotate(caller, label))


@router.post("/keys/{label}/activate")
def activate_key(label: str, service: Service, caller: Caller, body: models.KeyMove | None = None) -> models.KeyChanged:
    """Move a version to active."""
    return _move(service, caller, label, KeyState.ACTIVE, body)


@router.post("/keys/{label}/suspend")
def suspend_key(label: str, service: Service, caller: Caller, body: models.KeyMove | None = None) -> models.KeyChanged:
    """Move a version to suspended: it does nothing until it is active again."""
    return _move(service, caller, label, KeyState.SUSPENDED, body)


@router.post("/keys/{label}/deactivate")
def deactivate_key(
    label: str, service: Service, caller: Caller, body: models.KeyMove | None = None
) -> models.KeyChanged:
    """Move a version to deactivated: it processes but no longer protects."""
    return _move(service, caller, label, KeyState.DEACTIVATED, body)


@router.post("/keys/{label}/compromise")
def compromise_key(
    label: str, service: Service, caller: Caller, body: models.KeyMove | None = None
) -> models.KeyChanged:
    """Mark a version as compromised: it processes but no longer protects, and never comes back."""
    return _move(service, caller, label, KeyState.COMPROMISED, body)


@router.post("/keys/{label}/destroy")
def destroy_key(
    label: str, service: Service, caller: Caller, body: models.KeyDestroy | None = None
) -> models.KeyChanged:
    """Destroy one version, or all of them, at once (the sealed blob is wiped) or at a time to come."""
    if body is None or body.at is None:
        return _move(service, caller, label, KeyState.DESTROYED, body)
    changed = service.plans.destroy_later(caller, label, body.version, int(body.at.timestamp()))
    service.schedule.wake()
    return answers.key_changed(*changed)


@router.post("/keys/{label}/destroy/cancel")
def keep_key(label: str, service: Service, caller: Caller, body: models.KeyMove | None = None) -> models.KeyChanged:
    """Take a planned destruction back, of one version or all."""
    return answers.key_changed(*service.plans.keep(caller, label, body.version if body else None))


@router.post("/keys/{label}/min-version")
def set_min_version(label: str, body: models.KeyMinVersion, service: Service, caller: Caller) -> models.KeyChanged:
    """Cut off the versions before this one."""
    return answers.key_changed(*service.plans.set_min_version(caller, label, body.version))


@router.post("/keys/{label}/rotation")
def set_rotation(label: str, body: models.KeyRotation, service: Service, caller: Caller) -> models.KeyChanged:
    """Have the key rotated by its age, or by hand only."""
    changed = service.plans.set_rotation(caller, label, body.every_s)
    service.schedule.wake()
    return answers.key_changed(*changed)


@router.post("/grants", status_code=201)
def add_grant(body: models.GrantCreate, service: Service, caller: Caller) -> models.GrantChanged:
    """Grant a key to a guest; in force in a running guest when this is answered."""
    request = GrantRequest(
        guest=body.guest,
        key=body.key,
        ops=body.ops,
        mechanisms=body.mechanisms,
        input_bytes_max=body.input_bytes_max or 0,
        not_before_s=int(body.not_before.timestamp()) if body.not_before else 0,
        not_after_s=int(body.not_after.timestamp()) if body.not_after else 0,
        uids=body.uids,
        ops_max=body.ops_max or 0,
        ops_a_second=body.ops_per_second or 0,
    )
    return answers.grant_changed(*service.grants.add(caller, request))


@router.get("/grants")
def list_grants(service: Service, guest: str | None = None, key: str | None = None) -> models.GrantList:
    """Grants by guest or role and key; of a ``@role``, or what a guest has, or of a key, when given."""
    return models.GrantList(grants=[answers.grant_info(grant) for grant in service.grants.list(guest, key)])


@router.post("/backup", response_class=StreamingResponse)
def backup(service: Service, caller: Caller) -> StreamingResponse:
    """The store as it is now, for vmm-keystore restore."""
    stack = ExitStack()
    head, content = stack.enter_context(service.backups.make(caller))

    def chunks() -> Iterator[bytes]:
        with stack:
            yield head.encode()
            while chunk := content.read(CHUNK_BYTES):
                yield chunk

    return StreamingResponse(chunks(), media_type="application/octet-stream")


@router.post("/apply")
def apply(body: ApplyRequest, service: Service, caller: Caller) -> ApplyAnswer:
    """Bring guests, roles, keys and grants to what a file says, all of it or nothing; in force when answered."""
    present_keys = {key.label: key.key_type for key in service.keys.list()}
    wanted = wanted_state(body.declaration, present_keys)
    steps, applied = service.declarations.apply(caller, wanted, prune=body.prune, dry_run=body.dry_run)
    return ApplyAnswer(
        dry_run=body.dry_run,
        steps=[StepInfo(action=s.action, subject=s.subject, key=s.key, detail=s.detail) for s in steps],
        applied=answers.applied_to(applied),
    )


@router.post("/roles", status_code=201)
def add_role(body: models.RoleCreate, service: Service, caller: Caller) -> models.RoleInfo:
    """Add a role."""
    return answers.role_info(service.roles.add(caller, body.name))


@router.get("/roles")
def list_roles(service: Service) -> models.RoleList:
    """Every role, by name."""
    return models.RoleList(roles=[answers.role_info(role) for role in service.roles.list()])


@router.get("/roles/{name}")
def show_role(name: str, service: Service) -> models.RoleInfo:
    """One role."""
    return answers.role_info(service.roles.show(name))


@router.delete("/roles/{name}")
def remove_role(name: str, service: Service, caller: Caller) -> models.RoleChanged:
    """Remove a role and its grants; its guests lose them before this is answered."""
    return answers.role_changed(*service.roles.remove(caller, name))


@router.post("/roles/{name}/assign")
def assign_role(name: str, body: models.RoleGuests, service: Service, caller: Caller) -> models.RoleChanged:
    """Give a role to guests; in force in running guests when this is answered."""
    return answers.role_changed(*service.roles.assign(caller, name, body.guests))


@router.post("/roles/{name}/unassign")
def unassign_role(name: str, body: models.RoleGuests, service: Service, caller: Caller) -> models.RoleChanged:
    """Take a role from guests; no operation by it starts after this is answered."""
    return answers.role_changed(*service.roles.unassign(caller, name, body.guests))


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


def _move(
    service: Keystore, caller: Actor, label: str, state: KeyState, body: models.KeyMove | None
) -> models.KeyChanged:
    return answers.key_changed(*service.keys.move(caller, label, state, body.version if body else None))
