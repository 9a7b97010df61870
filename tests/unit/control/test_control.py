# SPDX-License-Identifier: Apache-2.0
"""The control API answers whom the kernel vouches for, in one shape, and nobody can hold it up."""

import ctypes
import errno
import json
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from unit.fakes import FakeDaemon

from vmm_keystore import errors
from vmm_keystore.control.access import Access, AdminRole
from vmm_keystore.control.admission import admit_others
from vmm_keystore.control.app import make_app
from vmm_keystore.control.errors import HTTP_STATUS
from vmm_keystore.control.server import ControlServer, listen
from vmm_keystore.control.size_limit import BODY_BYTES_MAX

OWN_UID = Access.for_owners([os.geteuid()])


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    opened = FakeDaemon(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def server(daemon: FakeDaemon, tmp_path: Path) -> Iterator[ControlServer]:
    running = ControlServer(make_app(daemon.keystore, OWN_UID), tmp_path / "control.sock")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def client(server: ControlServer) -> Iterator[httpx.Client]:
    with connect(server.path) as opened:
        yield opened


def connect(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://keystored/v1", timeout=10)


def error_of(response: httpx.Response, status: int) -> dict[str, str]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    assert "\n" not in error["message"]
    return error


def make_guest_and_key(client: httpx.Client) -> None:
    assert client.post("/guests", json={"name": "vm1", "socket": "/run/vm1.sock"}).status_code == 201
    assert client.post("/keys", json={"label": "web", "type": "ec-p256"}).status_code == 201


def test_guests(client: httpx.Client) -> None:
    """Add, list, show, remove."""
    added = client.post("/guests", json={"name": "vm1", "socket": "/run/vm1.sock", "owner_uid": 1000})
    assert added.status_code == 201
    guest = added.json()
    assert guest["owner_uid"] == 1000
    worker = {
        "running": True,
        "pid": 4712,
        "secret_memory": "memfd-secret",
        "generation": 0,
        "connected": False,
        "front_end_pid": None,
        "listening": True,
        "problem": "",
        "replaced": 0,
        "set_aside": 0,
    }
    assert worker.items() <= guest["worker"].items()
    assert client.get("/guests").json() == {"guests": [guest]}
    assert client.get("/guests/vm1").json() == guest
    assert client.delete("/guests/vm1").json() == {"name": "vm1", "grants_removed": 0, "keys_left": 0}
    assert error_of(client.get("/guests/vm1"), 404) == {
        "code": "not-found",
        "message": "no guest 'vm1'",
        "hint": "vmm-keystore guest list shows those there are",
    }


def test_keys(client: httpx.Client) -> None:
    """The whole life of a key over the API."""
    make_guest_and_key(client)
    key = client.get("/keys/web").json()
    assert (key["type"], key["state"], key["current_version"]) == ("ec-p256", "active", 1)
    assert client.get("/keys").json() == {"keys": [key]}
    pem = client.get("/keys/web/public")
    assert pem.text.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert pem.text.endswith("-----END PUBLIC KEY-----\n")
    rotated = client.post("/keys/web/rotate", json={}).json()
    assert [(v["version"], v["state"]) for v in rotated["versions"]] == [(1, "deactivated"), (2, "active")]
    assert client.get("/keys/web/public", params={"version": 1}).text == pem.text
    for move, state in [("suspend", "suspended"), ("activate", "active"), ("deactivate", "deactivated")]:
        assert client.post(f"/keys/web/{move}", json={}).json()["state"] == state
    assert client.post("/keys/web/compromise", json={"version": 1}).json()["versions"][0]["state"] == "compromised"
    assert client.post("/keys/web/destroy").json()["state"] == "destroyed"
    assert error_of(client.post("/keys/web/activate"), 409)["code"] == "key-state"
    assert error_of(client.post("/keys", json={"label": "web", "type": "ec-p256"}), 409)["code"] == "already-exists"


def test_import(client: httpx.Client) -> None:
    """Offer, then import of what was wrapped to it."""
    offer = client.post("/keys/import/offer").json()
    body = {"label": "in", "offer_id": offer["offer_id"], "wrapped": "ZWQyNTUxOQ=="}
    assert client.post("/keys/import", json=body).json()["type"] == "ed25519"
    assert error_of(client.post("/keys/import", json=body | {"label": "in2"}), 422)["code"] == "import-refused"


def test_grants(client: httpx.Client, daemon: FakeDaemon) -> None:
    """A grant with every bound, in force in the worker when answered, and taken away again."""
    make_guest_and_key(client)
    body = {
        "guest": "vm1",
        "key": "web",
        "ops": ["sign", "verify"],
        "mechanisms": ["ecdsa-sha256"],
        "input_bytes_max": 100,
        "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2027-01-01T01:00:00+01:00",
        "uids": [1000, 0],
    }
    granted = client.post("/grants", json=body)
    assert granted.status_code == 201
    answer = granted.json()
    assert answer["applied"] == [{"guest": "vm1", "outcome": "acknowledged", "detail": ""}]
    assert answer["not_after"] == "2027-01-01T00:00:00Z"
    assert answer["uids"] == [0, 1000]
    permission = daemon.workers.in_force["vm1"][0].permission
    assert (permission.not_before_s, permission.not_after_s) == (1767225600, 1798761600)
    assert client.get("/grants", params={"guest": "vm1"}).json()["grants"] == [
        {name: value for name, value in answer.items() if name != "applied"}
    ]
    assert error_of(client.post("/grants", json=body), 409)["code"] == "already-exists"
    assert client.delete("/grants/vm1/web").json()["applied"][0]["outcome"] == "acknowledged"
    assert daemon.workers.in_force["vm1"] == ()
    assert error_of(client.delete("/grants/vm1/web"), 404)["code"] == "not-found"


def test_audit_and_status(client: httpx.Client, tmp_path: Path) -> None:
    """The log with the kernel's word on who asked; the daemon at a glance."""
    make_guest_and_key(client)
    page = client.get("/audit").json()
    assert [(line["action"], line["uid"], line["pid"]) for line in page["lines"]] == [
        ("guest-add", os.geteuid(), os.getpid()),
        ("key-generate", os.geteuid(), os.getpid()),
    ]
    assert client.get("/audit", params={"after": page["last_seq"]}).json() == {"lines": [], "last_seq": 2}
    verified = client.get("/audit/verify").json()
    assert (verified["ok"], verified["lines"]) == (True, 2)
    status = client.get("/status").json()
    assert (status["guests"], status["keys"], status["state_dir"]) == (1, 1, str(tmp_path))
    assert status["custodian"]["running"]


def test_failing_custodian_is_part_of_the_status(client: httpx.Client, daemon: FakeDaemon) -> None:
    """The daemon answers for itself, and says what does not."""
    daemon.custodian.broken = True
    assert client.get("/status").json()["custodian"]["problem"] == "the custodian does not answer"
    error = error_of(client.post("/keys", json={"label": "web", "type": "ec-p256"}), 503)
    assert error["code"] == "custodian-failed"


@pytest.mark.parametrize(
    ("path", "body", "message", "hint"),
    [
        ("/keys", {"label": "web", "type": "p256"}, "type: unknown key type 'p256'", "one of: ec-p256, "),
        ("/keys", {"label": "-x", "type": "ec-p256"}, "label: ", ""),
        ("/keys", {"label": "ü", "type": "ec-p256"}, "label: ", ""),
        ("/keys", {"label": "a" * 64, "type": "ec-p256"}, "label: ", ""),
        ("/keys", {"type": "ec-p256"}, "label: field required", ""),
        ("/guests", {"name": "a", "socket": "x"}, "socket: ", ""),
        ("/guests", {"name": "a", "socket": "/x", "owner_uid": -1}, "owner_uid: ", ""),
        ("/grants", {"guest": "a", "key": "b", "ops": []}, "ops: ", ""),
        ("/grants", {"guest": "a", "key": "b", "ops": ["sign"], "limit": 5}, "limit: extra inputs", ""),
        ("/grants", {"guest": "a", "key": "b", "ops": ["sign"], "not_after": "2026-01-01"}, "not_after: ", ""),
        ("/keys/import", {"label": "a", "offer_id": "zz", "wrapped": ""}, "offer_id: ", ""),
    ],
)
def test_bad_requests(client: httpx.Client, path: str, body: dict[str, Any], message: str, hint: str) -> None:
    """Each wrong field is named, in the shape of every other error."""
    error = error_of(client.post(path, json=body), 400)
    assert error["code"] == "invalid-request"
    assert error["message"].startswith(message)
    assert error["hint"].startswith(hint)


def test_input_is_not_repeated(client: httpx.Client) -> None:
    """A secret in the wrong field comes back in no answer."""
    response = client.post(
        "/keys/import", json={"label": "a", "offer_id": "s3cret", "wrapped": "s3cret", "x": "s3cret"}
    )
    assert response.status_code == 400
    assert "s3cret" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nothing", b"", 404),
        ("PUT", "/keys", b"", 405),
        ("POST", "/keys", b"{", 400),
        ("POST", "/keys", b"\xff\xff", 400),
        ("POST", "/keys", b"[1]", 400),
        ("GET", "/audit?limit=0", b"", 400),
        ("GET", "/audit?after=x", b"", 400),
        ("GET", "/keys/a%2Fb", b"", 404),
    ],
)
def test_what_is_no_request_of_ours(client: httpx.Client, method: str, path: str, content: bytes, status: int) -> None:
    """Unknown routes, methods and bodies end in the same shape."""
    error_of(client.request(method, path, content=content), status)


def test_a_bug_shows_nothing_of_itself(
    client: httpx.Client, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception nobody expected is answered without its text."""

    def fail() -> None:
        raise ValueError("s3cret")

    monkeypatch.setattr(daemon.keystore, "status", fail)
    error = error_of(client.get("/status"), 500)
    assert error["code"] == "internal"
    assert "s3cret" not in json.dumps(error)


def test_every_error_has_a_status() -> None:
    """No class of the tree is forgotten at the edge."""
    pending, codes = [errors.KeystoreError], {}
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind.__module__ == "vmm_keystore.errors":
            codes[kind.code] = kind
    assert set(codes) == set(HTTP_STATUS)
    ours = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.KeystoreError)]
    assert len(codes) == len(ours)


def test_openapi_is_served_without_pages_from_elsewhere(client: httpx.Client) -> None:
    """The description is there for programs; no page that loads scripts is."""
    paths = client.get("/openapi.json").json()["paths"]
    assert "/v1/grants/{guest}/{key}" in paths
    for page in ("/docs", "/redoc"):
        assert httpx.Client(transport=client._transport).get(f"http://keystored{page}").status_code == 404


# Who may ask, and how much.


def test_other_uids_are_refused(daemon: FakeDaemon, tmp_path: Path) -> None:
    """The kernel's word decides, for every path, and the refusal names the uid."""
    server = ControlServer(make_app(daemon.keystore, Access.for_owners([12345])), tmp_path / "control.sock")
    server.start()
    try:
        with connect(server.path) as client:
            for path in ("/status", "/openapi.json", "/nothing"):
                error = error_of(client.get(path, headers={"x-forwarded-for": "12345", "forwarded": "for=12345"}), 403)
                assert error["message"] == f"uid {os.geteuid()} may not use the control API"
            assert error_of(client.post("/keys", json={"label": "a", "type": "ed25519"}), 403)["hint"]
    finally:
        server.stop()
    assert daemon.keystore.keys.list() == ()


@pytest.mark.skipif(os.geteuid() != 0 or os.uname().machine != "x86_64", reason="needs root to become somebody else")
def test_peer_uid_is_the_kernels(daemon: FakeDaemon) -> None:
    """A connection of another uid is seen as that uid, even from the same process."""
    answers: list[bytes] = []

    def ask_as_nobody(path: Path) -> None:
        # The raw call changes this thread alone; the C library's would change all of them.
        assert ctypes.CDLL(None).syscall(117, -1, 65534, -1) == 0  # setresuid
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            peer.sendall(b"GET /v1/status HTTP/1.1\r\nhost: k\r\nconnection: close\r\n\r\n")
            answers.append(b"".join(iter(lambda: peer.recv(65536), b"")))

    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        server = ControlServer(make_app(daemon.keystore, OWN_UID), Path(directory) / "control.sock")
        server.start()
        server.path.chmod(0o666)
        thread = threading.Thread(target=ask_as_nobody, args=(server.path,))
        thread.start()
        thread.join()
        server.stop()
    assert b"403 Forbidden" in answers[0]
    assert b"uid 65534 may not" in answers[0]


def test_size_limit(client: httpx.Client) -> None:
    """A body over the limit is refused, announced or in chunks, and one at the limit is looked at."""
    assert error_of(client.post("/keys", content=bytes(BODY_BYTES_MAX + 1)), 413)["code"] == "too-large"
    chunks = (bytes(65536) for _ in range(BODY_BYTES_MAX // 65536 + 1))
    assert error_of(client.post("/keys", content=chunks), 413)["code"] == "too-large"
    assert error_of(client.post("/keys", content=b" " * BODY_BYTES_MAX), 400)["code"] == "invalid-request"


def test_slow_clients_hold_up_nobody(server: ControlServer, client: httpx.Client) -> None:
    """Fifty clients stuck in the middle of a request: the next one is answered at once."""
    stuck = []
    for i in range(50):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(server.path))
        peer.sendall(b"POST /v1/keys HTTP/1.1\r\nhost: k\r\ncontent-length: 100\r\n" + (b"\r\n{" if i % 2 else b""))
        stuck.append(peer)
    assert client.get("/status", timeout=2).status_code == 200
    for peer in stuck:
        peer.close()


def test_waiting_change_holds_up_no_read(client: httpx.Client, server: ControlServer, daemon: FakeDaemon) -> None:
    """While one answer waits for a worker, others are given."""
    make_guest_and_key(client)
    daemon.workers.hold.clear()
    daemon.workers.entered.clear()
    answers: list[int] = []

    def grant() -> None:
        with connect(server.path) as other:
            answers.append(other.post("/grants", json={"guest": "vm1", "key": "web", "ops": ["sign"]}).status_code)

    thread = threading.Thread(target=grant)
    thread.start()
    assert daemon.workers.entered.wait(10)
    assert client.get("/keys", timeout=2).status_code == 200
    assert answers == []
    daemon.workers.hold.set()
    thread.join()
    assert answers == [201]


# The socket itself.


def test_socket_is_its_owners_alone(server: ControlServer) -> None:
    """Nobody else can even connect; nothing is left next to it."""
    mode = server.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert [path.name for path in server.path.parent.iterdir() if path.name.startswith(".")] == []


def test_living_daemon_keeps_its_socket(server: ControlServer, client: httpx.Client) -> None:
    """A second daemon is told, the first goes on."""
    with pytest.raises(errors.DaemonError, match="another daemon listens"):
        listen(server.path)
    assert client.get("/status").status_code == 200


def test_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    """What SIGKILL left behind is no obstacle; what is no socket is."""
    path = tmp_path / "control.sock"
    listen(path).close()
    assert path.exists()
    listen(path).close()
    path.unlink()
    path.write_text("a file")
    with pytest.raises(errors.DaemonError, match="no socket"):
        listen(path)
    assert path.read_text() == "a file"


@pytest.mark.parametrize("name", ["missing/control.sock", "x" * 120])
def test_place_that_cannot_hold_a_socket(tmp_path: Path, name: str) -> None:
    """No folder, or a name too long: one line."""
    with pytest.raises(errors.DaemonError, match="cannot listen on") as caught:
        listen(tmp_path / name)
    assert caught.value.hint


def test_socket_that_cannot_be_opened_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without access control lists: said so, and nothing is left that could be found open."""

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "setxattr", refuse)
    admit = admit_others(Access({1000: AdminRole.AUDITOR}))
    with pytest.raises(errors.DaemonError, match="to those with a role: operation not supported") as caught:
        listen(tmp_path / "control.sock", admit)
    assert "access control lists" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_stopped_server_leaves_no_socket(daemon: FakeDaemon, tmp_path: Path) -> None:
    """A clean end lets the next daemon start without a look at what is left."""
    server = ControlServer(make_app(daemon.keystore, OWN_UID), tmp_path / "control.sock")
    server.start()
    server.stop()
    assert not server.path.exists()
