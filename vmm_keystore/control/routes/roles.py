# SPDX-License-Identifier: Apache-2.0
"""Routes of guests' roles."""

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, router


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
