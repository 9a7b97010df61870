# SPDX-License-Identifier: Apache-2.0
"""Routes of keys."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import PlainTextResponse

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, Version, router
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.service.key_maker import ObjectName
from vmm_keystore.service.key_values import WrappedKey
from vmm_keystore.service.keys import public_pem
from vmm_keystore.store.key_list import KeyFilter


class PemResponse(PlainTextResponse):
    """Text of that kind, in the API's document too."""

    media_type = "application/x-pem-file"


@router.post("/keys", status_code=201)
def generate_key(body: models.KeyGenerate, service: Service, caller: Caller) -> models.KeyInfo:
    """Make a key."""
    key = service.keys.generate(
        caller, body.label, body.type, activate=body.activate, tags=body.tags, in_token=body.in_token
    )
    return answers.key_info(key)


@router.post("/keys/adopt", status_code=201)
def adopt_key(body: models.KeyAdopt, service: Service, caller: Caller) -> models.KeyInfo:
    """Take in a key pair that lies in the token already."""
    found_by = ObjectName(body.token_label or "", bytes.fromhex(body.token_id or ""))
    return answers.key_info(service.keys.adopt(caller, body.label, found_by, activate=body.activate, tags=body.tags))


@router.get("/keys")
def list_keys(service: Service, only: Annotated[models.KeyQuery, Query()]) -> models.KeyList:
    """Every key that the query names, by label; with *limit* go on *after* the last one of the answer."""
    found = KeyFilter(
        pattern=only.label or "",
        key_type=only.type,
        state=only.state,
        after=only.after or "",
        limit=only.limit,
        tags=tuple(only.tag or ()),
        unused_since_s=int(only.unused_since.timestamp()) if only.unused_since else None,
    )
    return models.KeyList(keys=[answers.key_info(key) for key in service.keys.list(found)])


@router.post("/keys/import/offer", status_code=201)
def offer_import(service: Service) -> models.KeyImportOffer:
    """Get a one-time public key to wrap an import to."""
    return answers.offer_info(service.keys.offer_import())


@router.post("/keys/import", status_code=201)
def import_key(body: models.KeyImport, service: Service, caller: Caller) -> models.KeyInfo:
    """Take a key that was wrapped to an offer."""
    key = service.keys.import_key(
        caller,
        body.label,
        bytes.fromhex(body.offer_id),
        body.wrapped,
        body.type,
        activate=body.activate,
        tags=body.tags,
    )
    return answers.key_info(key)


@router.post("/keys/import/wrapping-offer", status_code=201)
def offer_wrapping(service: Service) -> models.KeyWrappingOffer:
    """Get a one-time RSA public key to wrap a key to that is elsewhere."""
    offer = service.keys.offer_wrapping()
    return models.KeyWrappingOffer(offer_id=offer.offer_id.hex(), public_key=public_pem(offer.public_der))


@router.post("/keys/import/wrapped", status_code=201)
def import_wrapped(body: models.KeyImportWrapped, service: Service, caller: Caller) -> models.KeyInfo:
    """Take a key that was wrapped to such an offer (CKM_RSA_AES_KEY_WRAP)."""
    wrapped = WrappedKey(bytes.fromhex(body.offer_id), body.wrapped, body.type, body.oaep_hash)
    key = service.keys.import_wrapped(caller, body.label, wrapped, activate=body.activate, tags=body.tags)
    return answers.key_info(key)


@router.get("/keys/{label}")
def show_key(label: str, service: Service) -> models.KeyInfo:
    """One key with its versions."""
    return answers.key_info(service.keys.show(label))


@router.get("/keys/{label}/public", response_class=PemResponse)
def public_key(label: str, service: Service, version: Version = None) -> PemResponse:
    """The public key of a version as PEM."""
    return PemResponse(service.keys.public_pem(label, version))


@router.post("/keys/{label}/rotate")
def rotate_key(label: str, service: Service, caller: Caller) -> models.KeyChanged:
    """Make a new version current; the one before only processes from now on."""
    return answers.key_changed(*service.keys.rotate(caller, label))


@router.post("/keys/{label}/tag")
def tag_key(label: str, body: models.KeyTag, service: Service, caller: Caller) -> models.KeyInfo:
    """Give a key tags, or other values of those that it has."""
    return answers.key_info(service.names.tag(caller, label, body.tags))


@router.post("/keys/{label}/untag")
def untag_key(label: str, body: models.KeyUntag, service: Service, caller: Caller) -> models.KeyInfo:
    """Take tags from a key, all or none."""
    return answers.key_info(service.names.untag(caller, label, body.tags))


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
    return answers.key_changed(*service.plans.destroy_later(caller, label, body.version, int(body.at.timestamp())))


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
    """Have the key rotated by its age or its uses, or by hand only."""
    return answers.key_changed(*service.plans.set_rotation(caller, label, body.every_s, body.after_uses))


def _move(
    service: Service, caller: Caller, label: str, state: KeyState, body: models.KeyMove | None
) -> models.KeyChanged:
    return answers.key_changed(*service.keys.move(caller, label, state, body.version if body else None))
