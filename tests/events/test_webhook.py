# SPDX-License-Identifier: Apache-2.0
"""Servers as handlers: what they are sent, and every way in which one can fail."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from events.conftest import make_event
from framework.event_program import EventProgram
from framework.event_server import EventServer
from framework.keystored import Keystored
from framework.patience import wait_for


@pytest.fixture
def server() -> Iterator[EventServer]:
    """Give a server that takes everything."""
    with EventServer() as made:
        yield made


def serve(vault: Keystored, program: EventProgram, **table: Any) -> None:
    """Have it tell the webhook *table* instead of the program."""
    vault.stop()
    program.configure({"chat": {"retry_s": 0.01, "timeout_s": 5.0, **table}})
    vault.start()


def test_what_a_server_is_sent(server: EventServer, program: EventProgram, vault: Keystored) -> None:
    """A POST with the event, and the id in a header as well; what is in the URL is shown to nobody."""
    serve(vault, program, webhook=f"http://127.0.0.1:{server.port}/hook?token=SECRET-TOKEN")
    make_event(vault)
    (event,) = wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    (request,) = server.requests
    assert (request["method"], request["path"]) == ("POST", "/hook?token=SECRET-TOKEN")
    assert request["event"]["id"] == request["headers"]["x-vmm-keystore-event-id"] == event["id"]
    assert request["headers"]["content-type"] == "application/json"
    assert request["event"]["text"] == event["text"]
    (handler,) = vault.facts("events", "handler", "list")
    assert handler["target"] == f"http://127.0.0.1:{server.port}"
    server.answers = [500]
    vault.cli("events", "handler", "test", "chat", ok=False)
    shown = vault.log_text + vault.cli("events", "handler", "list").stdout + vault.cli("metrics").stdout
    assert "SECRET-TOKEN" not in shown
    assert b"SECRET-TOKEN" not in b"".join(path.read_bytes() for path in vault.state_dir.glob("keystore.db*"))


def test_failing_server_is_asked_again(server: EventServer, program: EventProgram, vault: Keystored) -> None:
    """Until it takes the event, which keeps its id; failures are counted."""
    server.answers = [500, 503, 204]
    serve(vault, program, webhook=f"http://127.0.0.1:{server.port}/")
    make_event(vault)
    (event,) = wait_for(lambda: vault.facts("events", "list", "--state", "delivered"))
    assert event["deliveries"][0]["attempts"] == 3
    assert [request["event"]["id"] for request in server.requests] == [event["id"]] * 3
    metrics = vault.cli("metrics").stdout
    assert 'vmm_keystore_events_delivered_total{handler="chat"} 1.0' in metrics
    assert 'vmm_keystore_event_attempts_failed_total{handler="chat"} 2.0' in metrics
    assert 'vmm_keystore_events_pending{handler="chat"} 0.0' in metrics
    assert 'vmm_keystore_events_dead{handler="chat"} 0.0' in metrics


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (404, "answered http status 404"),
        ("redirect", "answered http status 302"),
        ("garbage", "cannot be reached: it does not speak http"),
        ("stall", "did not answer within 0.5 s"),
        ("dribble", "did not answer within 0.5 s"),
    ],
)
def test_reasons(server: EventServer, program: EventProgram, vault: Keystored, answer: int | str, reason: str) -> None:
    """One deadline for all of an answer; nobody is followed anywhere."""
    server.answers = [answer]
    serve(vault, program, webhook=f"http://127.0.0.1:{server.port}/", timeout_s=0.5, attempts=1)
    make_event(vault)
    (event,) = wait_for(lambda: vault.facts("events", "list", "--state", "dead"))
    assert event["deliveries"][0]["reason"] == f"http://127.0.0.1:{server.port} {reason}"
    assert [request["path"] for request in server.requests] == ["/"]


def test_nobody_listens(program: EventProgram, vault: Keystored) -> None:
    """The reason is the kernel's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        serve(vault, program, webhook=f"http://127.0.0.1:{port}/")
        outcome = vault.cli("events", "handler", "test", "chat", ok=False)
    assert outcome.stderr == (
        "vmm-keystore: event handler chat did not take a test: "
        f"http://127.0.0.1:{port} cannot be reached: connection refused\n"
    )


def test_certificates(program: EventProgram, vault: Keystored, tmp_path: Path) -> None:
    """One that nobody vouches for is no server of ours; with its authority named it is."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with EventServer(context) as server:
        url = f"https://localhost:{server.port}/"
        serve(vault, program, webhook=url)
        outcome = vault.cli("events", "handler", "test", "chat", ok=False)
        assert "cannot be reached: its certificate does not hold: self-signed certificate" in outcome.stderr
        serve(vault, program, webhook=url, ca=str(certificate))
        assert vault.cli("events", "handler", "test", "chat").stdout == "event handler chat took a test\n"
        assert len(server.requests) == 1


def test_a_slow_server_holds_up_no_other_handler(server: EventServer, program: EventProgram, vault: Keystored) -> None:
    """Nor the stop of keystored."""
    vault.stop()
    server.answers = ["stall"]
    program.configure(
        {
            "chat": {"webhook": f"http://127.0.0.1:{server.port}/", "timeout_s": 50.0},
            "pager": {"exec": str(program.path)},
        }
    )
    vault.start()
    make_event(vault, "web1")
    wait_for(lambda: server.requests)
    make_event(vault, "web2")
    wait_for(lambda: len(program.told()) == 2)
    assert {event["state"] for event in vault.facts("events", "list")} == {"pending"}
    vault.stop()
