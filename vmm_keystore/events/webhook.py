# SPDX-License-Identifier: Apache-2.0
"""A server as a handler: the event is sent by POST as JSON, and taken when the answer is 2xx.

One deadline for all of it, whatever the server is slow at; no redirect, no proxy of the environment's, and of the
answer nothing but its status. The URL may have a secret in it: nobody is shown more than the server's name.
"""

import asyncio
import json
import os
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from vmm_keystore.policy.event import Event, EventKind
from vmm_keystore.service.ports import DeliveryError, DeliveryStoppedError

USER_AGENT = "vmm-keystore"


def trust(ca: str | None) -> ssl.SSLContext:
    """Whom a server's certificate must be from: this system's authorities, or those in the file *ca*.

    Raises:
        OSError: the file cannot be read, or has none.
    """
    return ssl.create_default_context(cafile=ca)


@dataclass(frozen=True, slots=True)
class Webhook:
    """``EventHandler`` that sends to *url*."""

    name: str
    kinds: frozenset[EventKind]
    timeout_s: float
    attempts_max: int
    first_wait_s: float
    url: str
    context: ssl.SSLContext

    @property
    def way(self) -> str:
        """See ``EventHandler``."""
        return "webhook"

    @property
    def target(self) -> str:
        """See ``EventHandler``."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}"

    def deliver(self, event: Event, stop_fd: int) -> None:
        """See ``EventHandler``."""
        status = asyncio.run(self._deliver(event, stop_fd))
        if not 200 <= status < 300:
            raise DeliveryError(f"{self.target} answered http status {status}")

    async def _deliver(self, event: Event, stop_fd: int) -> int:
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(self._send(event))
        # The loop closes the descriptor it watches over, not this one.
        loop.add_reader(stop_fd, sending.cancel)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await sending
        except TimeoutError as error:
            raise DeliveryError(f"{self.target} did not answer within {self.timeout_s:g} s") from error
        except asyncio.CancelledError as error:
            raise DeliveryStoppedError from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # The text of some of these has the whole URL in it.
            raise DeliveryError(f"{self.target} cannot be reached: {_reason(error)}") from error
        finally:
            loop.remove_reader(stop_fd)

    async def _send(self, event: Event) -> int:
        content = json.dumps(event.as_json()).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "X-VMM-Keystore-Event-Id": event.event_id,
        }
        client = httpx.AsyncClient(verify=self.context, follow_redirects=False, trust_env=False, timeout=None)  # noqa: S113 -- the caller has a deadline
        async with client, client.stream("POST", self.url, content=content, headers=headers) as response:
            return response.status_code


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate does not hold: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio writes texts of its own; those of resolvers have numbers of their own.
            number = cause.errno or 0
            return (os.strerror(number) if number > 0 else cause.strerror).lower()
        cause = cause.__cause__ or cause.__context__
    return "it does not speak http" if isinstance(error, httpx.RemoteProtocolError) else type(error).__name__
