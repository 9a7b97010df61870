# SPDX-License-Identifier: Apache-2.0
"""The module in the hands of pkcs11-tool (OpenSC), which knows nothing of us."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from framework.own_keys import allow
from pkcs11.conftest import PAIRS, SECRETS, Place

pytestmark = pytest.mark.skipif(not shutil.which("pkcs11-tool"), reason="no pkcs11-tool (opensc)")


def test_slot_and_token(shared_place: Place) -> None:
    """One slot, whose token has the guest's name and wants no login."""
    listed = shared_place.guest.tool("--list-slots").stdout.decode()
    assert listed.count("Slot ") == 1
    assert "token label        : app\n" in listed
    assert "login required" not in listed
    assert "token initialized" in listed


def test_its_own_tests(place: Place) -> None:
    """They end with 0, with an RSA key that signs, and check its signature themselves."""
    place.vault.api.revoke("app", "rsa")
    mechanisms = ["rsa-pkcs1-sha256", "rsa-pss-sha256", "rsa-oaep-sha256"]
    place.vault.api.grant("app", "rsa", ("sign", "verify", "encrypt", "decrypt"), mechanisms=mechanisms)
    said = place.guest.tool("--test", "--login", "--pin", "0000").stdout.decode()
    assert "all 4 signature functions seem to work" in said
    assert "SHA256-RSA-PKCS: OK" in said
    assert said.rstrip().endswith("No errors")


def test_its_own_tests_want_sha_1(shared_place: Place) -> None:
    """Of a key that signs what its holder calls a digest, of any hash: there is none for SHA-1 in this vault."""
    ended = shared_place.guest.tool("--test", "--login", "--pin", "0000", ok=False)
    assert (ended.status, "C_Sign failed: rv = CKR_DATA_INVALID" in ended.stderr) == (1, True)
    assert "all 4 signature functions seem to work" in ended.stdout.decode()


def test_objects(shared_place: Place) -> None:
    """Each key once, each pair twice, none of them to be had."""
    listed = shared_place.guest.tool("--list-objects").stdout.decode()
    assert listed.count("Private Key Object") == listed.count("Public Key Object") == len(PAIRS)
    assert listed.count("Secret Key Object") == len(SECRETS)
    private = [part for part in listed.split("\n") if "Access:" in part and "sensitive" in part]
    assert len(private) == len(PAIRS) + len(SECRETS)
    # Who brought them into the vault may have them still.
    assert "never extractable" not in listed
    assert "local" not in listed


def test_mechanisms(shared_place: Place) -> None:
    """As the device has them; nothing is made where the guest may have no keys."""
    listed = shared_place.guest.tool("--list-mechanisms").stdout.decode()
    for name in ("ECDSA", "ECDSA-SHA256", "EDDSA", "RSA-PKCS", "SHA256-RSA-PKCS-PSS", "AES-GCM", "SHA256-HMAC"):
        assert f"  {name}, " in listed
    assert "generate_key_pair" not in listed


# OpenSC 0.23 uses memory that it has freed when it reads EC keys, of any module: it goes wrong with P-384 or a sanitizer.
@pytest.mark.parametrize("label", ["sig", "rsa"])
def test_public_key(shared_place: Place, label: str) -> None:
    """What is made of its attributes is the key that the administrator sees."""
    read = shared_place.guest.tool("--read-object", "--type", "pubkey", "--label", label).stdout
    expected = load_pem_public_key(shared_place.public_pem(label))
    got = load_pem_public_key(read) if read.startswith(b"-----") else load_der_public_key(read)
    assert got == expected


def test_signature_by_id(shared_place: Place, tmp_path: Path) -> None:
    """CKA_ID is the vault's own id of the key."""
    public: Any = load_pem_public_key(shared_place.public_pem("tls"))
    key_id = shared_place.vault.facts("key", "show", "tls")["id"]
    message = tmp_path / "message"
    message.write_bytes(b"by id")
    arguments = ("--sign", "--mechanism", "ECDSA-SHA256", "--id", key_id, "--signature-format", "openssl")
    signature = shared_place.guest.tool(*arguments, "--input-file", str(message)).stdout
    public.verify(signature, b"by id", ec.ECDSA(hashes.SHA256()))
    message.write_bytes(hashlib.sha384(b"by id").digest())
    arguments = ("--sign", "--mechanism", "ECDSA", "--id", key_id, "--signature-format", "openssl")
    signature = shared_place.guest.tool(*arguments, "--input-file", str(message)).stdout
    public.verify(signature, b"by id", ec.ECDSA(hashes.SHA384()))


@pytest.mark.parametrize("key_type", ["EC:prime256v1", "EC:secp384r1", "EC:edwards25519"])
def test_own_pairs(place: Place, key_type: str) -> None:
    """A guest that may have keys makes, finds and destroys them."""
    make = ("--keypairgen", "--key-type", key_type, "--label", "mine", "--login", "--pin", "0")
    assert "not supported" in place.guest.tool(*make, ok=False).stderr
    allow(place.vault, "app", 2)
    place.guest.tool(*make)
    assert place.vault.facts("key", "show", "app:mine")["type"].startswith(("ec-p", "ed25519"))
    listed = place.guest.tool("--list-objects", "--login", "--pin", "0").stdout.decode()
    assert listed.count("mine") == 2
    assert "sensitive, always sensitive, never extractable, local" in listed
    # A label is one key's.
    assert "CKR_ATTRIBUTE_VALUE_INVALID" in place.guest.tool(*make, ok=False).stderr
    remove = ("--delete-object", "--type", "privkey", "--label")
    # OpenSC 0.23 has no name for CKR_ACTION_PROHIBITED.
    assert "(0x1b)" in place.guest.tool(*remove, "tls", ok=False).stderr
    place.guest.tool(*remove, "mine")
    assert b"mine" not in place.guest.tool("--list-objects").stdout


def test_own_secret_key(place: Place) -> None:
    """Of AES, in the vault."""
    allow(place.vault, "app", 1)
    make = ("--keygen", "--key-type", "AES:32", "--login", "--pin", "0", "--sensitive", "--label")
    place.guest.tool(*make, "mine")
    assert place.vault.facts("key", "show", "app:mine")["type"] == "aes-256"
    # One more than it may have.
    assert "CKR_DEVICE_MEMORY" in place.guest.tool(*make, "more", ok=False).stderr


def test_no_device(shared_place: Place, tmp_path: Path) -> None:
    """A slot without a token, which says so."""
    nobody = type(shared_place.guest)(tmp_path / "nobody.sock")
    listed = nobody.tool("--list-slots", ok=False)
    assert b"(empty)" in listed.stdout
