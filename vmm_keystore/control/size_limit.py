# SPDX-License-Identifier: Apache-2.0
"""A bound on request bodies, announced or not: nobody makes the daemon hold more than this."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vmm_keystore.control.refusal import refuse
from vmm_keystore.errors import TooLargeError

BODY_BYTES_MAX = 16 * 1024 * 1024
"""The file of ten thousand guests."""


class SizeLimit:
    """Refuses a longer body before the application sees any of it, and cuts one that turns out longer."""

    def __init__(self, app: ASGIApp, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Read here as a whole: what the application gets is complete and bounded.
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            size += len(message.get("body", b""))
            if size > self._body_bytes_max:
                too_large = TooLargeError(f"the request is larger than {self._body_bytes_max} bytes")
                await refuse(too_large)(scope, receive, send)
                return
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        whole: Message = {"type": "http.request", "body": b"".join(chunks), "more_body": False}
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return whole

        await self._app(scope, replay, send)
