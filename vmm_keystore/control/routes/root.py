# SPDX-License-Identifier: Apache-2.0
"""Routes of the root of trust."""

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, router
from vmm_keystore.service.key_values import ImportOffer, WrappedSecret


@router.get("/root")
def show_root(service: Service) -> models.RootInfo:
    """What opens the key encryption key, and whether it is open."""
    return answers.root_info(service.root.show())


@router.post("/root/offer", status_code=201)
def offer_root(service: Service) -> models.KeyImportOffer:
    """Get a one-time public key to wrap a passphrase to."""
    return answers.offer_info(service.root.offer())


@router.post("/root/unlock")
def unlock_root(body: models.RootPassphrase, service: Service, caller: Caller) -> models.RootInfo:
    """Open a locked vault."""
    return answers.root_info(service.root.unlock(caller, _secret(body)))


@router.post("/root/change")
def change_root(body: models.RootChange, service: Service, caller: Caller) -> models.RootChanged:
    """Exchange the key encryption key and what opens it; every key is sealed anew, durably when answered."""
    secret = _secret(body.passphrase) if body.passphrase else None
    root, resealed = service.root.change(caller, body.kind, secret)
    return models.RootChanged(root=answers.root_info(root), resealed=resealed)


@router.post("/root/export-recovery")
def export_recovery(body: models.RecoveryOffer, service: Service, caller: Caller) -> models.WrappedKekInfo:
    """Get the key encryption key for vks-recovery, encrypted to the one-time key that it made."""
    offer = ImportOffer(bytes.fromhex(body.offer_id), bytes.fromhex(body.public_key))
    return answers.wrapped_kek_info(service.root.export_recovery(caller, offer))


def _secret(passphrase: models.RootPassphrase) -> WrappedSecret:
    return WrappedSecret(bytes.fromhex(passphrase.offer_id), passphrase.wrapped)
