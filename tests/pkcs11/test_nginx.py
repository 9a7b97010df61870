# SPDX-License-Identifier: Apache-2.0
"""The module in nginx, by OpenSSL's engine: TLS with keys that the server never has."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework.keystored import Keystored
from framework.pkcs11_guest import UNDER_SANITIZER
from pkcs11.openssl_engine import ENGINE, EngineGuest, key_uri
from pkcs11.web_server import WebServer, worker_pid

pytestmark = [
    pytest.mark.skipif(not ENGINE.exists(), reason="no engine (libengine-pkcs11-openssl)"),
    pytest.mark.skipif(not shutil.which("curl"), reason="no curl"),
]
KEYS = {"tls": "ec-p256", "rsa": "rsa-2048"}
REQUESTS = 6


def make_guest(vault: Keystored, name: str, folder: Path, keys: dict[str, str]) -> EngineGuest:
    """Add a guest with keys that sign."""
    guest = EngineGuest(vault.add_guest(name), folder)
    for label, key_type in keys.items():
        vault.api.generate(label, key_type)
        vault.api.grant(name, label, ("sign", "verify"))
    return guest


@pytest.fixture
def server(vault: Keystored, tmpfs_folder: Path) -> Iterator[WebServer]:
    """Run nginx with a key of each kind."""
    guest = make_guest(vault, "web", tmpfs_folder, KEYS)
    with WebServer(guest, {label: guest.certificate(label) for label in KEYS}) as server:
        yield server


@pytest.mark.parametrize("label", KEYS)
def test_handshakes(server: WebServer, label: str) -> None:
    """Of TLS 1.3, where RSA is PSS, and 1.2; the client checks the certificate and the signature."""
    assert server.get(label) == "served TLSv1.3"
    assert server.get(label, "--tls-max", "1.2") == "served TLSv1.2"


def test_worker_is_killed(vault: Keystored, server: WebServer) -> None:
    """Before each request, while the server knows nothing: every one is answered."""
    for _ in range(REQUESTS):
        pid = worker_pid(vault, "web")
        os.kill(pid, signal.SIGKILL)
        assert server.get("tls") == "served TLSv1.3"
        assert server.get("rsa") == "served TLSv1.3"
        assert worker_pid(vault, "web") != pid


@pytest.mark.skipif(UNDER_SANITIZER, reason="curl has p11-kit 0.24, which hangs at its end with libasan in the process")
def test_client_with_a_key_in_the_vault(vault: Keystored, tmpfs_folder: Path) -> None:
    """Both ends of a connection: curl proves by the engine who it is, with another guest's key."""
    folders = [tmpfs_folder / name for name in ("web", "user")]
    for folder in folders:
        folder.mkdir()
    web = make_guest(vault, "web", folders[0], {"tls": "ec-p256"})
    user = make_guest(vault, "user", folders[1], {"me": "ec-p256"})
    certificate = user.certificate("me", "somebody")
    more = f"ssl_verify_client on; ssl_client_certificate {certificate};"
    with WebServer(web, {"tls": web.certificate("tls")}, more) as server:
        own = ("--engine", "pkcs11", "--cert", str(certificate), "--key-type", "ENG", "--key", key_uri("me"))
        variables = user.guest.environment(user.variables)
        assert server.get("tls", *own, variables=variables) == "served TLSv1.3 CN=somebody"
        with pytest.raises(AssertionError, match="400"):
            server.get("tls")
