# SPDX-License-Identifier: Apache-2.0
"""What every route has: the router, the service, who asks, and the shape of errors."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request

from vmm_keystore.control import models
from vmm_keystore.control.gate import GatedRoute
from vmm_keystore.control.peer import peer_of
from vmm_keystore.errors import NotAllowedError
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.keystore import Keystore

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


Service = Annotated[Keystore, Depends(_keystore)]
Caller = Annotated[Actor, Depends(_actor)]
Version = Annotated[int | None, Query(ge=1, le=2**32 - 1)]
