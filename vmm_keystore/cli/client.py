# SPDX-License-Identifier: Apache-2.0
"""Requests to keystored's control API: HTTP and JSON over its UNIX socket.

http.client instead of a larger HTTP library: it is imported in a fifth of the time, and every command pays for that.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

from vmm_keystore.cli.failure import CommandError, MissingError, UnreachableError

ANSWER_TIMEOUT_S = 60.0
CHUNK_BYTES = 1 << 18


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("keystored", timeout=ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


class ControlClient:
    """One connection to the control API under ``/v1``."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._connection = _UnixConnection(socket_path)

    def get(self, *segments: str, **query: object) -> Any:
        """Fetch one resource; *segments* are joined and quoted, *query* entries of None are left out, lists repeated."""
        return self._request("GET", segments, query=query)

    def post(self, *segments: str, body: dict[str, Any] | None = None) -> Any:
        """Create or change something."""
        return self._request("POST", segments, body=body or {})

    def delete(self, *segments: str, **query: object) -> Any:
        """Remove something; *query* as in :meth:`get`."""
        return self._request("DELETE", segments, query=query)

    def get_text(self, *segments: str, **query: object) -> str:
        """Fetch a resource that is text, not JSON."""
        return self._exchange("GET", segments, query=query).decode()

    def close(self) -> None:
        """End the connection; the next request makes another one."""
        self._connection.close()

    def fetch(self, file: IO[bytes], progress: Callable[[int, int], None], *segments: str) -> int:
        """Ask for something long and write it to *file*; how many bytes came.

        Raises:
            UnreachableError: keystored did not send all of it.
            OSError: *file* cannot be written.
        """
        target = "/v1/" + "/".join(quote(segment, safe="") for segment in segments)
        try:
            self._connection.request("POST", target, "{}", {"Content-Type": "application/json"})
        except OSError as error:
            raise _unreachable(self._path, error) from error
        # Nothing else is asked on this connection, whatever became of it.
        with closing(self):
            return self._receive(file, progress)

    def _receive(self, file: IO[bytes], progress: Callable[[int, int], None]) -> int:
        with _broken_off():
            response = self._connection.getresponse()
            if response.status >= http.HTTPStatus.BAD_REQUEST:
                raise _refused(response.status, response.read())
        size, size_max = 0, response.length or 0
        while True:
            with _broken_off():
                chunk = response.read(CHUNK_BYTES)
            if not chunk:
                break
            file.write(chunk)
            size += len(chunk)
            progress(size, size_max)
        if size < size_max:
            raise UnreachableError(f"keystored closed the connection after {size} of {size_max} bytes")
        return size

    def _request(
        self,
        method: str,
        segments: tuple[str, ...],
        *,
        query: dict[str, object] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        content = self._exchange(method, segments, query=query, body=body)
        return _decode(content) if content else None

    def _exchange(
        self,
        method: str,
        segments: tuple[str, ...],
        *,
        query: dict[str, object] | None = None,
        body: dict[str, Any] | None = None,
    ) -> bytes:
        target = "/v1/" + "/".join(quote(segment, safe="") for segment in segments)
        given = {name: value for name, value in (query or {}).items() if value is not None}
        if given:
            target += "?" + urlencode(given, doseq=True)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, target, None if body is None else json.dumps(body), headers)
        except OSError as error:
            raise _unreachable(self._path, error) from error
        try:
            response = self._connection.getresponse()
            content = response.read()
        except TimeoutError as error:
            raise UnreachableError(f"keystored gave no answer within {ANSWER_TIMEOUT_S:.0f} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                "keystored closed the connection before it answered",
                "look at its log; a change that was not answered may or may not be in force",
            ) from error
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise _refused(response.status, content)
        return content


@contextmanager
def _broken_off() -> Iterator[None]:
    """What fails in the block is the connection, not a file of ours."""
    try:
        yield
    except TimeoutError as error:
        raise UnreachableError(f"keystored sent nothing for {ANSWER_TIMEOUT_S:.0f} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(
            "keystored closed the connection before all of it had come", "look at its log"
        ) from error


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise CommandError("keystored answered with something that is not json") from error


def _refused(status: int, content: bytes) -> CommandError:
    try:
        error = json.loads(content)["error"]
        refusal = MissingError if error.get("code") == "not-found" else CommandError
        return refusal(error["message"], error.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return CommandError(f"keystored answered http status {status} without a reason", "look at its log")


def _unreachable(path: Path, error: OSError) -> UnreachableError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return UnreachableError(
                f"keystored is not running: no socket {path}",
                "start it with: vmm-keystore serve; or say where it is by --state-dir or --control-socket",
            )
        case ConnectionRefusedError():
            return UnreachableError(
                f"keystored is not running: nobody listens on {path}", "start it with: vmm-keystore serve"
            )
        case PermissionError():
            return UnreachableError(
                f"permission denied on {path}",
                "it is for the user who runs keystored, and for whom serve --auditor, --operator or --admin names",
            )
        case TimeoutError():
            return UnreachableError(f"keystored does not take connections on {path}")
        case _ if "too long" in str(error):
            return UnreachableError(f"the socket path is too long: {path}", "a UNIX socket path has at most 107 bytes")
        case _:
            return UnreachableError(f"cannot connect to {path}: {(error.strerror or str(error)).lower()}")
