# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what: every route has a least role, and the kernel says who asks."""

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from unit.control.test_control import connect, error_of
from unit.fakes import FakeDaemon

from vmm_keystore.control.access import ROUTES, Access, AdminRole, needed_role, parse_access
from vmm_keystore.control.app import make_app
from vmm_keystore.control.gate import GatedRoute
from vmm_keystore.control.peer import Peer
from vmm_keystore.control.routes import router
from vmm_keystore.control.server import ControlServer
from vmm_keystore.errors import DaemonError

AUDITOR, OPERATOR, ADMIN = AdminRole.AUDITOR, AdminRole.OPERATOR, AdminRole.ADMIN
# What cannot be undone, and what reaches everything at once.
FOR_ADMINS = {
    ("POST", "/v1/apply"),
    ("POST", "/v1/backup"),
    ("POST", "/v1/keys/{label}/deactivate"),
    ("POST", "/v1/keys/{label}/compromise"),
    ("POST", "/v1/keys/{label}/destroy"),
    ("POST", "/v1/root/change"),
    # Two of them, at least, for a guarded key.
    ("POST", "/v1/keys/{label}/guard"),
    ("POST", "/v1/keys/{label}/unguard"),
    ("POST", "/v1/keys/{label}/destroy/propose"),
    ("POST", "/v1/keys/{label}/unguard/propose"),
    ("POST", "/v1/proposals/{proposal_id}/approve"),
}


def routes() -> set[tuple[str, str]]:
    """Every route there is."""
    return {
        (method, route.path) for route in router.routes if isinstance(route, APIRoute) for method in route.methods or ()
    }


def test_every_route_was_decided_on() -> None:
    """A new route fails here until somebody says who may ask for it; until then it is for administrators."""
    assert {pair for pair in routes() if needed_role(*pair) is ADMIN} == FOR_ADMINS
    assert ROUTES.keys() | FOR_ADMINS == routes()


def test_auditors_only_look() -> None:
    """Nothing that an auditor may ask for changes anything, and everything to look at is there for him."""
    looks = {pair for pair in routes() if pair[0] == "GET"}
    assert {pair for pair in routes() if needed_role(*pair) is AUDITOR} == looks


def test_no_way_past_the_gate() -> None:
    """Whatever the application has is a gated route, but for the document that describes them."""
    app = make_app(None, Access())  # type: ignore[arg-type]
    described = {(m.upper(), path) for path, methods in app.openapi()["paths"].items() for m in methods}
    assert described == routes()
    assert all(isinstance(route, GatedRoute) for route in router.routes)
    # The router is one of the routes, or its routes are, by the version of FastAPI.
    gated = [r for r in app.routes if isinstance(r, GatedRoute) or getattr(r, "original_router", None) is router]
    others = [route for route in app.routes if route not in gated]
    assert [getattr(route, "path", None) for route in others] == ["/v1/openapi.json"]


def test_document_names_the_roles() -> None:
    """Each route says who may ask for it, once."""
    app = make_app(None, Access())  # type: ignore[arg-type]
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            role = needed_role(method.upper(), path)
            assert operation["description"].endswith(f"\n\nRole: {role.text}."), (method, path)
            assert operation["description"].count("Role: ") == 1


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    opened = FakeDaemon(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(params=[AUDITOR, OPERATOR, ADMIN], ids=lambda role: role.text)
def role(request: pytest.FixtureRequest) -> AdminRole:
    found: AdminRole = request.param
    return found


@pytest.fixture
def client(daemon: FakeDaemon, tmp_path: Path, role: AdminRole) -> Iterator[httpx.Client]:
    server = ControlServer(make_app(daemon.keystore, Access({os.geteuid(): role})), tmp_path / "control.sock")
    server.start()
    with connect(server.path) as opened:
        yield opened
    server.stop()


def test_role_decides(client: httpx.Client, daemon: FakeDaemon, role: AdminRole) -> None:
    """Whatever needs more is refused by name before its body is read, and a change among that is on record."""
    for method, path in sorted(routes()):
        concrete = path.removeprefix("/v1").replace("{", "").replace("}", "")
        answer = client.request(method, concrete, content=b"not json" if method == "POST" else None)
        if role >= needed_role(method, path):
            assert answer.status_code != 403, (method, path)
            continue
        error = error_of(answer, 403)
        assert error["code"] == "not-allowed"
        assert error["message"] == f"uid {os.geteuid()} ({role.text}) may not {method} /v1{concrete}"
        needed = needed_role(method, path)
        assert ("only root" if needed is AdminRole.OWNER else f"serve --{needed.text}") in error["hint"]
    assert client.get("/status").json()["your_role"] == role.text
    assert daemon.keystore.keys.list() == ()
    refused = {line["path"] for line in daemon.admin_lines() if line["action"] == "not-allowed"}
    expected = {path for method, path in routes() if method != "GET" and needed_role(method, path) > role}
    assert refused == {path.replace("{", "").replace("}", "") for path in expected}


@pytest.mark.parametrize("role", [AUDITOR, OPERATOR, ADMIN], ids=lambda role: role.text)
def test_route_that_nobody_decided_on(daemon: FakeDaemon, tmp_path: Path, role: AdminRole) -> None:
    """It is for administrators, wherever it was added."""
    app = make_app(daemon.keystore, Access({os.geteuid(): role}))

    @app.get("/v1/new")
    def new() -> str:
        return "done"

    server = ControlServer(app, tmp_path / "control.sock")
    server.start()
    try:
        with connect(server.path) as client:
            assert client.get("/new").status_code == (200 if role is ADMIN else 403)
    finally:
        server.stop()


@pytest.mark.parametrize("role", [AUDITOR], ids=lambda role: role.text)
def test_refusal_repeats_little(client: httpx.Client, daemon: FakeDaemon, caplog: pytest.LogCaptureFixture) -> None:
    """What somebody without the right writes into a path fills no log and reaches no terminal as it is."""
    with caplog.at_level("WARNING"):
        error = error_of(client.post("/keys/%1b%5b31m" + "a" * 5000 + "/destroy"), 403)
    (line,) = [line for line in daemon.admin_lines() if line["action"] == "not-allowed"]
    for text in (error["message"], line["path"], line["reason"], caplog.text):
        assert "/v1/keys/?[31ma" in text
        assert "\x1b" not in text
        assert len(text) < 500


def peer(uid: int, *groups: int) -> Peer:
    """Somebody."""
    return Peer(1, uid, groups[0] if groups else 99, frozenset(groups or {99}))


def test_highest_role_counts() -> None:
    """By user, by own group, by any other group; nobody else has one."""
    access = parse_access({AUDITOR: ["10", "@20"], OPERATOR: ["@21", "10"], ADMIN: ["11"]}, {0})
    assert access.role_of(peer(10)) is OPERATOR
    assert access.role_of(peer(11, 20, 21)) is ADMIN
    assert access.role_of(peer(12, 20)) is AUDITOR
    assert access.role_of(peer(12, 5, 20, 21)) is OPERATOR
    assert access.role_of(peer(0)) is AdminRole.OWNER
    for nobody in (peer(12), peer(20), peer(2**32 - 1, 2**32 - 1)):
        assert access.role_of(nobody) is None


def test_daemons_own_users_stay_owners() -> None:
    """No option takes that from them."""
    assert parse_access({AUDITOR: ["0"]}, {0}).role_of(peer(0)) is AdminRole.OWNER


def test_names_are_looked_up() -> None:
    """Of users and of groups."""
    user, group = pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name
    access = parse_access({AUDITOR: [user, "@" + group]}, ())
    assert (access.uids, access.gids) == ({0: AUDITOR}, {0: AUDITOR})


@pytest.mark.parametrize(
    ("who", "message", "hint"),
    [
        ("no-such-user", "--operator: there is no user 'no-such-user'", "@no-such-user"),
        ("@no-such-group", "--operator: there is no group 'no-such-group'", "groupadd"),
        ("", "--operator: there is no user ''", "--operator @"),
        ("4294967295", "--operator: 4294967295 is no user or group id", "0 to 4294967294"),
        ("@99999999999999999999", "is no user or group id", "0 to"),
    ],
)
def test_unknown_names(who: str, message: str, hint: str) -> None:
    """Said at the start, with what to do."""
    with pytest.raises(DaemonError) as refused:
        parse_access({OPERATOR: [who]}, ())
    assert message in refused.value.message
    assert hint in refused.value.hint
