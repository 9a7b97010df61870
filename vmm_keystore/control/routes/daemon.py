# SPDX-License-Identifier: Apache-2.0
"""Routes of keystored itself: status, metrics, backup, and a file that is made so."""

from collections.abc import Iterator
from contextlib import ExitStack

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from vmm_keystore.control import answers, models
from vmm_keystore.control.declaration import ApplyAnswer, ApplyRequest, StepInfo, wanted_state
from vmm_keystore.control.gate import role_of
from vmm_keystore.control.metrics import metrics_text
from vmm_keystore.control.routes.common import Caller, Service, router

CHUNK_BYTES = 1 << 18
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/status")
def status(request: Request, service: Service) -> models.StatusInfo:
    """Tell how the daemon is, and what the asker may do."""
    return answers.status_info(service.status(), role_of(request).text)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(service: Service) -> Response:
    """The daemon's figures in Prometheus' text format."""
    return Response(metrics_text(service), media_type=METRICS_TYPE)


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

    # With its length a reader sees whether all of it came.
    length = str(len(head.encode()) + head.size_bytes)
    return StreamingResponse(chunks(), media_type="application/octet-stream", headers={"Content-Length": length})


@router.post("/apply")
def apply(body: ApplyRequest, service: Service, caller: Caller) -> ApplyAnswer:
    """Bring guests, roles, keys and grants to what a file says, all of it or nothing; in force when answered."""
    aliases = {alias.name: alias.key for alias in service.names.aliases()}
    wanted = wanted_state(body.declaration, service.keys.types(), aliases)
    steps, applied = service.declarations.apply(caller, wanted, prune=body.prune, dry_run=body.dry_run)
    return ApplyAnswer(
        dry_run=body.dry_run,
        steps=[StepInfo(action=s.action, subject=s.subject, key=s.key, detail=s.detail) for s in steps],
        applied=answers.applied_to(applied),
    )
