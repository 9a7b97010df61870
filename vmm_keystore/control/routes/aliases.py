# SPDX-License-Identifier: Apache-2.0
"""Routes of keys' aliases."""

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, router


@router.post("/aliases")
def set_alias(body: models.AliasSet, service: Service, caller: Caller) -> models.AliasChanged:
    """Let an alias stand for a key; one that stood for another key is moved at once."""
    return answers.alias_changed(*service.names.set_alias(caller, body.alias, body.key))


@router.get("/aliases")
def list_aliases(service: Service) -> models.AliasList:
    """Every alias, by name."""
    return models.AliasList(aliases=[answers.alias_info(alias) for alias in service.names.aliases()])


@router.delete("/aliases/{alias}")
def remove_alias(alias: str, service: Service, caller: Caller) -> models.AliasInfo:
    """Forget an alias; its key stays."""
    return answers.alias_info(service.names.remove_alias(caller, alias))
