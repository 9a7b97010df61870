# SPDX-License-Identifier: Apache-2.0
"""The gate before the control API: who has no role, or too small a one for a route, is refused before anything is read.

Which route a request means is only known behind the router, so the second look is each route's first step.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from vmm_keystore.control.access import Access, AdminRole, needed_role
from vmm_keystore.control.peer import peer_of
from vmm_keystore.control.refusal import refuse
from vmm_keystore.errors import NotAllowedError
from vmm_keystore.service.changes import Actor

_ROLE = "admin_role"
_PATH_SHOWN_MAX = 200
"""Longer than any path with names that are allowed."""

_logger = logging.getLogger(__name__)


class PeerGate:
    """Lets requests of peers with a role through; everybody and everything else is refused."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer = peer_of(scope)
        role = self._access.role_of(peer) if peer else None
        if role is None:
            who = "an unknown peer" if peer is None else f"uid {peer.uid}"
            _logger.warning("refused %s (pid %s)", who, peer.pid if peer else "unknown")
            hint = "ask as root or as the daemon's user, or have it started with --auditor, --operator or --admin"
            await refuse(NotAllowedError(f"{who} may not use the control API", hint))(scope, receive, send)
            return
        scope["state"][_ROLE] = role
        await self._app(scope, receive, send)


class GatedRoute(APIRoute):
    """A route of ours: looks at the peer's role before it reads anything of the request, and says so in its text."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        least = max(needed_role(method, path) for method in self.methods or {""})
        note = f"Role: {least.text}."
        if not self.description.endswith(note):
            self.description = f"{self.description}\n\n{note}".strip()

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler behind the gate."""
        handler = super().get_route_handler()

        async def gated(request: Request) -> Response:
            needed, role = needed_role(request.method, self.path), role_of(request)
            if role < needed:
                error = _too_small(request, role, needed)
                if request.method not in {"GET", "HEAD"}:
                    await run_in_threadpool(_record, request, error)
                raise error
            return await handler(request)

        return gated


def role_of(request: Request) -> AdminRole:
    """The role of whoever asks."""
    role: AdminRole = request.scope["state"][_ROLE]
    return role


def _record(request: Request, error: NotAllowedError) -> None:
    peer = peer_of(request.scope)
    if peer is not None:
        request.app.state.keystore.record_refusal(Actor(peer.uid, peer.pid), _shown_path(request), error)


def _shown_path(request: Request) -> str:
    """The path for logs and answers: whoever asks may have written anything there, and at any length."""
    path = request.url.path
    shown = "".join(letter if letter.isprintable() else "?" for letter in path[:_PATH_SHOWN_MAX])
    return shown if len(path) <= _PATH_SHOWN_MAX else shown + "..."


def _too_small(request: Request, role: AdminRole, needed: AdminRole) -> NotAllowedError:
    peer = peer_of(request.scope)
    what = f"{request.method} {_shown_path(request)}"
    who = f"uid {peer.uid} ({role.text})" if peer else f"an unknown peer ({role.text})"
    _logger.warning("refused %s (pid %s): %s", who, peer.pid if peer else "unknown", what)
    hint = f"this takes the role '{needed.text}', which keystored's administrator gives: serve --{needed.text}"
    if needed is AdminRole.OWNER:
        hint = "only root and keystored's own user may"
    return NotAllowedError(f"{who} may not {what}", hint)
