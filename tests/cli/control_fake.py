# SPDX-License-Identifier: Apache-2.0
"""A control socket that answers what a test tells it to: for what a real keystored never does, and for layouts."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


@dataclass
class Answer:
    """One canned answer; *content* None closes the connection without one, *missing* bytes are announced and not sent."""

    content: bytes | None
    status: int = 200
    missing: int = 0
    wait_for: threading.Event | None = None
    then: Answer | None = None
    """What is answered the next time, where that differs."""


@dataclass
class ControlFake:
    """The socket, the answers by ``"METHOD /path"``, and what was asked."""

    socket: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    ended: threading.Event = field(default_factory=threading.Event)

    def hang(self, request: str) -> None:
        """Take *request* and answer nothing until the socket goes."""
        self.answers[request] = Answer(None, wait_for=self.ended)

    def answer(self, request: str, value: Any, *, status: int = 200) -> None:
        """Answer *request* with *value* as JSON."""
        self.answers[request] = Answer(json.dumps(value).encode(), status)


class _Server(socketserver.ThreadingUnixStreamServer):
    fake: ControlFake


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        request = f"{self.command} {self.path}"
        self.server.fake.asked.append((request, body))
        answer = self.server.fake.answers.get(request) or Answer(b'{"error": {"code": "x", "message": "unasked"}}', 404)
        if answer.then is not None:
            self.server.fake.answers[request] = answer.then
        if answer.wait_for is not None:
            answer.wait_for.wait()
        if answer.content is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.content) + answer.missing))
        self.end_headers()
        self.wfile.write(answer.content)
        self.close_connection = self.close_connection or bool(answer.missing)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815  # the names http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """A UNIX peer has no address."""
        return "-"


@contextmanager
def control_fake(path: Path) -> Iterator[ControlFake]:
    """Serve canned answers on *path*."""
    fake = ControlFake(path)
    with _Server(str(path), _Handler) as server:
        server.fake = fake
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield fake
        finally:
            fake.ended.set()
            server.shutdown()
            thread.join()
