# SPDX-License-Identifier: Apache-2.0
"""Keys whose grants say login: there for who is logged in, in the standard's words and in real programs' hands."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from framework.keystored import Keystored
from framework.pkcs11_guest import MODULE, UNDER_SANITIZER
from pkcs11.conftest import GUARDED, Place, guard
from pkcs11.openssl_engine import ENGINE, EngineGuest, key_uri

MESSAGE = b"what is signed with a login"
PIN = "anything"


@pytest.fixture
def guarded(place: Place) -> Place:
    """Give a guest that has both kinds of keys."""
    guard(place.vault)
    return place


def verify(vault: Keystored, signature: bytes) -> None:
    """With the public key that the administrator sees."""
    public: Any = load_pem_public_key(vault.cli("key", "public", "tls-login").stdout.encode())
    public.verify(signature, MESSAGE, ec.ECDSA(hashes.SHA256()))


def test_login(shared_place: Place) -> None:
    """Is the token's, for all sessions, and ends with the last; without such a grant nobody needs it."""
    assert shared_place.guest.run("login", "shared") == "shared\n"


def test_required(guarded: Place) -> None:
    """Such keys are private objects; what a handle from before does is refused as the standard says."""
    assert guarded.guest.run("login", "required") == "required\n"


def test_grant_that_comes_and_goes(place: Place) -> None:
    """The token asks for a login as long as one of its keys does (MUST-56)."""

    def asks() -> bool:
        return "login required" in place.guest.tool("--list-slots").stdout.decode()

    assert not asks()
    guard(place.vault)
    assert asks()
    assert "login" in place.vault.cli("grant", "list", "--guest", "app", "--key", "tls-login").stdout
    for label in GUARDED:
        place.vault.api.revoke("app", label)
    assert not asks()


@pytest.mark.skipif(not shutil.which("pkcs11-tool"), reason="no pkcs11-tool (opensc)")
def test_pkcs11_tool(guarded: Place, tmp_path: Path) -> None:
    """Without a login it sees the public key alone."""
    listed = guarded.guest.tool("--list-objects").stdout.decode()
    assert listed.count("tls-login") == 1
    assert "tag-login" not in listed
    listed = guarded.guest.tool("--list-objects", "--login", "--pin", PIN).stdout.decode()
    assert (listed.count("tls-login"), listed.count("tag-login")) == (2, 1)
    made = tmp_path / "signature"
    key_id = guarded.vault.facts("key", "show", "tls-login")["id"]
    words = ("--sign", "--id", key_id, "--mechanism", "ECDSA-SHA256", "--signature-format", "openssl")
    guarded.guest.tool(*words, "--login", "--pin", PIN, "--output-file", str(made), data=MESSAGE)
    verify(guarded.vault, made.read_bytes())


@pytest.mark.skipif(not shutil.which("p11tool"), reason="no p11tool (gnutls-bin)")
@pytest.mark.skipif(UNDER_SANITIZER, reason="p11-kit 0.24 hangs at its end with libasan in the process")
def test_gnutls(guarded: Place) -> None:
    """It knows by the token that it has to ask."""
    words = ("p11tool", "--provider", str(MODULE), "--list-all")
    refused = guarded.guest.use(*words, ok=False)
    assert "requires user PIN" in refused.stderr
    assert b"object=tls-login;type=private" not in refused.stdout
    listed = guarded.guest.use(*words, "--login", variables={"GNUTLS_PIN": PIN}).stdout
    assert b"object=tls-login;type=private" in listed


@pytest.mark.skipif(not ENGINE.exists(), reason="no engine (libengine-pkcs11-openssl)")
def test_openssl(vault: Keystored, tmp_path: Path) -> None:
    """The engine has its PIN from the key's URI."""
    guest = EngineGuest(vault.add_guest("app"), tmp_path)
    guard(vault)
    arguments = ("-sha256", "-keyform", "engine", "-sign")
    verify(vault, guest.openssl("dgst", *arguments, f"{key_uri('tls-login')}?pin-value={PIN}", data=MESSAGE))
