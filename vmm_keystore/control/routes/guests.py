# SPDX-License-Identifier: Apache-2.0
"""Routes of guests."""

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, router
from vmm_keystore.service.guest_values import Guest


@router.post("/guests", status_code=201)
def add_guest(body: models.GuestCreate, service: Service, caller: Caller) -> models.GuestInfo:
    """Add a guest; its socket is ready when this is answered."""
    return answers.guest_info(
        service.guests.add(caller, Guest(body.name, body.socket, body.owner_uid, body.own_keys_max))
    )


@router.get("/guests")
def list_guests(service: Service) -> models.GuestList:
    """Every guest, by name."""
    return models.GuestList(guests=[answers.guest_info(view) for view in service.guests.list()])


@router.get("/guests/{name}")
def show_guest(name: str, service: Service) -> models.GuestInfo:
    """One guest with its worker."""
    return answers.guest_info(service.guests.show(name))


@router.post("/guests/{name}/own-keys")
def set_own_keys(name: str, body: models.GuestOwnKeys, service: Service, caller: Caller) -> models.GuestChanged:
    """Let a guest have so many keys of its own."""
    view, applied = service.guests.set_own_keys_max(caller, name, body.max)
    return answers.guest_changed(view, applied)


@router.delete("/guests/{name}")
def remove_guest(name: str, service: Service, caller: Caller) -> models.GuestRemoved:
    """Remove a guest and its grants; its front-end is disconnected."""
    grants, keys = service.guests.remove(caller, name)
    return models.GuestRemoved(name=name, grants_removed=grants, keys_left=keys)
