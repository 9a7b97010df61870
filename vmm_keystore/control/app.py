# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: routes, one shape for every error, default deny."""

import logging
from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from vmm_keystore.control.access import Access
from vmm_keystore.control.gate import GatedRoute, PeerGate
from vmm_keystore.control.models import ErrorAnswer, ErrorBody
from vmm_keystore.control.refusal import refuse
from vmm_keystore.control.routes import router
from vmm_keystore.control.size_limit import SizeLimit
from vmm_keystore.errors import InvalidRequestError, KeystoreError
from vmm_keystore.service.keystore import Keystore

_logger = logging.getLogger(__name__)


def make_app(keystore: Keystore, access: Access) -> FastAPI:
    """Make the application; whoever has no role in *access* may ask for nothing."""
    # No documentation pages: they would load scripts from elsewhere.
    app = FastAPI(
        title="vmm-keystore control API",
        version=version("vmm-keystore"),
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    # A route that somebody adds here has a gate too.
    app.router.route_class = GatedRoute
    app.state.keystore = keystore
    app.include_router(router)
    app.add_exception_handler(KeystoreError, _on_keystore_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)
    # The last added is the outermost: who asks is looked at before anything is read.
    app.add_middleware(SizeLimit)
    app.add_middleware(PeerGate, access=access)
    return app


async def _on_keystore_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, KeystoreError)  # noqa: S101 -- what it was registered for
    return refuse(error)


async def _on_validation_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- what it was registered for
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path", "declaration"})
    # Never the input itself: it may be what somebody took for the right place of a secret.
    message, _, hint = str(first["msg"]).removeprefix("Value error, ").partition("; ")
    message = message[:1].lower() + message[1:]
    return refuse(InvalidRequestError(f"{where}: {message}" if where else message, hint))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- what it was registered for
    code = {404: "not-found", 405: "invalid-request"}.get(error.status_code, "refused")
    body = ErrorBody(code=code, message=f"{request.method} {request.url.path}: {str(error.detail).lower()}")
    content = ErrorAnswer(error=body).model_dump_json()
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_for(request)))
    return Response(content, error.status_code, headers=headers, media_type="application/json")


def _methods_for(request: Request) -> set[str]:
    """All that this path takes (RFC 9110, 15.5.6): several routes have one path, a method each."""
    found: set[str] = set()
    for route in router.routes:
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


async def _on_bug(request: Request, error: Exception) -> Response:
    # The kind of error only: its text may carry what a request carried.
    _logger.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    return refuse(KeystoreError("the daemon failed", "its log says where"))
