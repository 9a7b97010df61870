# SPDX-License-Identifier: Apache-2.0
"""A server for webhooks that does what a test says: answers, fails, stalls, dribbles, sends somewhere else."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class EventServer:
    """On the loopback address, in threads of its own; *answers* are given one after the other, the last for ever."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[int | str] = [200]
        self.requests: list[dict[str, Any]] = []
        self._ending = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            """Writes down what came."""

            def do_POST(self) -> None:
                """Take one event."""
                owner.take(self)

            do_GET = do_POST  # noqa: N815 -- the library's name

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Write a request down and answer it."""
        content = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.requests.append(
            {
                "method": request.command,
                "path": request.path,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "event": json.loads(content) if content else None,
            }
        )
        match answer:
            case "stall":
                self._ending.wait(60)
            case "dribble":
                request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not self._ending.wait(0.05):
                    try:
                        request.wfile.write(b"a")
                    except OSError:
                        return
            case "redirect":
                request.send_response(302)
                request.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
                request.end_headers()
            case "garbage":
                request.wfile.write(b"what?\r\n\r\n")
            case status:
                request.send_response(int(status))
                request.send_header("Content-Length", "0")
                request.end_headers()
