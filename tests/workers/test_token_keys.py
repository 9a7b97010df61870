# SPDX-License-Identifier: Apache-2.0
"""Keys that lie in a token: made there, found there, used by guests as any other key."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from framework.hsm_vault import keystored
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import RingGuest, ring_guest
from framework.software_hsm import LABEL, SoftwareHsm

from vmm_keystore._vks import lib

OK = lib.VKS_STATUS_OK
LONG = secrets.token_bytes(60000)
MESSAGES = (b"", b"message", secrets.token_bytes(20000), LONG)
"""The last one is hashed by the slow lane."""
HASHES: tuple[hashes.HashAlgorithm, ...] = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
ECDSA = (lib.VKS_MECHANISM_ECDSA_SHA256, lib.VKS_MECHANISM_ECDSA_SHA384, lib.VKS_MECHANISM_ECDSA_SHA512)
PKCS1 = (lib.VKS_MECHANISM_RSA_PKCS1_SHA256, lib.VKS_MECHANISM_RSA_PKCS1_SHA384, lib.VKS_MECHANISM_RSA_PKCS1_SHA512)
PSS = (lib.VKS_MECHANISM_RSA_PSS_SHA256, lib.VKS_MECHANISM_RSA_PSS_SHA384, lib.VKS_MECHANISM_RSA_PSS_SHA512)
RSA_TYPES = ("rsa-2048", "rsa-3072", "rsa-4096")


@pytest.fixture(scope="module")
def keys_hsm() -> Iterator[SoftwareHsm]:
    """A token for all tests here."""
    with SoftwareHsm() as made:
        yield made


@pytest.fixture(scope="module")
def keys_vault(keys_hsm: SoftwareHsm) -> Iterator[Keystored]:
    """A vault with a key of each type in the token, and a guest that may use them all."""
    with keystored(keys_hsm) as started:
        started.add_guest("g")
        for key_type in ("ec-p256", "ec-p384", *RSA_TYPES):
            started.cli("key", "generate", key_type, "--type", key_type, "--in-token")
            started.api.grant("g", key_type, ["sign", "verify"])
        started.cli("key", "generate", "box", "--type", "rsa-2048", "--in-token")
        oaep = ["rsa-oaep-sha1", "rsa-oaep-sha256"]
        started.api.grant("g", "box", ["encrypt", "decrypt"], mechanisms=oaep)
        yield started


@pytest.fixture
def guest(keys_vault: Keystored) -> Iterator[RingGuest]:
    """That guest."""
    with ring_guest(keys_vault.folder / "g.sock", request_bytes_max=64 << 10) as connected:
        yield connected


def public_key(vault: Keystored, label: str) -> Any:
    return load_pem_public_key(vault.cli("key", "public", label).stdout.encode())


def signed_ec(guest: RingGuest, key: str, mechanism: int, message: bytes, **fields: Any) -> bytes:
    """A signature in DER."""
    answer = guest.sign(key, message, mechanism=mechanism, **fields)
    assert answer.status == OK
    half = len(answer.data) // 2
    return utils.encode_dss_signature(int.from_bytes(answer.data[:half]), int.from_bytes(answer.data[half:]))


@pytest.mark.parametrize("key", ["ec-p256", "ec-p384"])
def test_ecdsa(keys_vault: Keystored, guest: RingGuest, key: str) -> None:
    """Whoever has the public key sees that it holds, and the device itself does."""
    public = public_key(keys_vault, key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for mechanism, algorithm in zip(ECDSA, HASHES, strict=True):
        for message in MESSAGES:
            public.verify(signed_ec(guest, key, mechanism, message), message, ec.ECDSA(algorithm))
        digest = hashlib.new(algorithm.name, b"m").digest()
        flags: dict[str, Any] = {"flags": lib.VKS_REQUEST_F_DIGEST}
        public.verify(signed_ec(guest, key, mechanism, digest, **flags), b"m", ec.ECDSA(algorithm))
        signature = guest.sign(key, b"m", mechanism=mechanism).data
        for message, status in ((b"m", OK), (b"n", lib.VKS_STATUS_AUTH_FAILED)):
            asked: dict[str, Any] = {"parameter": signature, "mechanism": mechanism}
            assert guest.ask(lib.VKS_OP_VERIFY, key, message, **asked).status == status


@pytest.mark.parametrize("key", RSA_TYPES)
def test_rsa_signatures(keys_vault: Keystored, guest: RingGuest, key: str) -> None:
    """PKCS #1 v1.5 and PSS, with each hash."""
    public = public_key(keys_vault, key)
    assert isinstance(public, rsa.RSAPublicKey)
    for number, algorithm in enumerate(HASHES):
        for message in (b"message", LONG):
            signature = guest.sign(key, message, mechanism=PKCS1[number]).data
            public.verify(signature, message, padding.PKCS1v15(), algorithm)
        signature = guest.sign(key, b"m", mechanism=PSS[number]).data
        pss = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
        public.verify(signature, b"m", pss, algorithm)


def test_rsa_decryption(keys_vault: Keystored, guest: RingGuest) -> None:
    """What was encrypted to the public key, by the device or elsewhere; what was not is refused as ever."""
    public = public_key(keys_vault, "box")
    sha1: dict[str, Any] = {"mechanism": lib.VKS_MECHANISM_RSA_OAEP_SHA1}
    mgf = padding.MGF1(hashes.SHA1())  # noqa: S303 -- OAEP needs no hash without collisions
    for text in (b"", b"text", secrets.token_bytes(214)):
        made = guest.ask(lib.VKS_OP_ENCRYPT, "box", text, **sha1).data
        outside = public.encrypt(text, padding.OAEP(mgf, hashes.SHA1(), None))  # noqa: S303
        for ciphertext in (made, outside):
            answer = guest.ask(lib.VKS_OP_DECRYPT, "box", ciphertext, **sha1)
            assert (answer.status, answer.data) == (OK, text)
    failed = lib.VKS_STATUS_AUTH_FAILED
    for ciphertext in (bytes([made[0] ^ 1]) + made[1:], made[:-1], made + b"x", bytes(256)):
        answer = guest.ask(lib.VKS_OP_DECRYPT, "box", ciphertext, **sha1)
        assert (answer.status, answer.data) == (failed, b"")
    # A mechanism that this token does not have.
    sha256 = guest.ask(lib.VKS_OP_ENCRYPT, "box", b"text", mechanism=lib.VKS_MECHANISM_RSA_OAEP_SHA256)
    answer = guest.ask(lib.VKS_OP_DECRYPT, "box", sha256.data, mechanism=lib.VKS_MECHANISM_RSA_OAEP_SHA256)
    assert answer.status == lib.VKS_STATUS_UNSUPPORTED


def test_sizes_are_checked_first(guest: RingGuest) -> None:
    """As they are with any other key: no token is asked."""
    too_small = guest.sign("ec-p256", b"m", output_bytes=63)
    assert (too_small.status, too_small.output_bytes) == (lib.VKS_STATUS_OUTPUT_SIZE, 64)
    digest = guest.sign("ec-p256", bytes(31), flags=lib.VKS_REQUEST_F_DIGEST)
    assert digest.status == lib.VKS_STATUS_INPUT_SIZE
    other = guest.sign("ec-p256", b"m", mechanism=lib.VKS_MECHANISM_RSA_PSS_SHA256)
    assert other.status == lib.VKS_STATUS_UNSUPPORTED


def test_public_key_is_that_of_the_token(keys_vault: Keystored, keys_hsm: SoftwareHsm, guest: RingGuest) -> None:
    """Device, administrator and the token's own tools say the same; the private half never leaves."""
    shown = keys_vault.facts("key", "show", "rsa-3072")["versions"][0]["token"]
    read = keys_hsm.tool("--read-object", "--type", "pubkey", "--id", shown["id"])
    by_token: Any = load_der_public_key(read)
    by_device: Any = load_der_public_key(guest.public("rsa-3072"))
    by_admin = public_key(keys_vault, "rsa-3072")
    assert by_token.public_numbers() == by_device.public_numbers() == by_admin.public_numbers()
    listed = keys_hsm.tool("--list-objects", "--type", "privkey").decode()
    access = [line for line in listed.splitlines() if "Access:" in line]
    assert len(access) == 6
    assert all("never extractable" in line and "always sensitive" in line for line in access)


def test_shown_to_people(keys_vault: Keystored) -> None:
    """Where the key lies, and how the token is."""
    token = keys_vault.facts("status")["token"]
    assert (token["open"], token["label"], token["sessions"], token["problem"]) == (True, LABEL, 4, "")
    version = keys_vault.facts("key", "show", "ec-p256")["versions"][0]
    assert version["token"]["serial"] == token["serial"]
    said = keys_vault.cli("key", "show", "ec-p256").stdout
    assert f"in token:              serial {token['serial']}, id {version['token']['id']}\n" in said
    assert "vmm_keystore_token_up 1.0\n" in keys_vault.cli("metrics").stdout
    found = {finding["name"]: finding for finding in json.loads(keys_vault.cli("doctor", "--json", ok=False).stdout)}
    assert found["token"]["detail"] == f"{LABEL}, serial {token['serial']}, 4 sessions"
    lines = [json.loads(line) for line in keys_vault.cli("audit", "export").stdout.splitlines()]
    [made] = [line for line in lines if line.get("action") == "key-generate" and line.get("key") == "ec-p256"]
    assert made["token_object"] == version["token"]["id"]


def test_rotation_stays_in_the_token(keys_vault: Keystored, keys_hsm: SoftwareHsm, guest: RingGuest) -> None:
    """A new pair; what the old one signed is still verified, and it signs no more."""
    keys_vault.cli("key", "generate", "turning", "--type", "ec-p256", "--in-token")
    keys_vault.api.grant("g", "turning", ["sign", "verify"])
    signature = guest.sign("turning", b"m").data
    keys_vault.cli("key", "rotate", "turning")
    versions = keys_vault.facts("key", "show", "turning")["versions"]
    assert versions[0]["token"]["id"] != versions[1]["token"]["id"]
    asked: dict[str, Any] = {"parameter": signature, "key_version": 1}
    assert guest.ask(lib.VKS_OP_VERIFY, "turning", b"m", **asked).status == OK
    assert guest.sign("turning", b"m", key_version=1).status == lib.VKS_STATUS_KEY_STATE
    after = guest.sign("turning", b"m")
    assert (after.status, after.key_version) == (OK, 2)
    keys_vault.cli("key", "destroy", "turning", "--version", "1", "--yes")
    assert keys_hsm.tool("--read-object", "--type", "pubkey", "--id", versions[0]["token"]["id"])


def test_uses_are_counted_and_bounded(keys_vault: Keystored, guest: RingGuest) -> None:
    """By the grant's budget, on record one by one as any others."""
    keys_vault.cli("key", "generate", "bounded", "--type", "ec-p256", "--in-token")
    keys_vault.api.grant("g", "bounded", ["sign"], ops_max=3)
    statuses = [guest.sign("bounded", b"m").status for _ in range(5)]
    assert statuses == [OK] * 3 + [lib.VKS_STATUS_LIMIT] * 2
    uses = wait_for(lambda: keys_vault.facts("key", "show", "bounded")["versions"][0]["uses"])
    assert [(use["op"], use["count"]) for use in uses] == [("sign", 3)]


def test_revoked(keys_vault: Keystored, guest: RingGuest) -> None:
    """No signature after the answer."""
    keys_vault.cli("key", "generate", "lent", "--type", "ec-p256", "--in-token")
    keys_vault.api.grant("g", "lent", ["sign"])
    key_id = guest.key_id("lent")
    assert guest.sign(key_id, b"m").status == OK
    keys_vault.api.revoke("g", "lent")
    assert guest.sign(key_id, b"m").status == lib.VKS_STATUS_NO_KEY
    keys_vault.api.grant("g", "lent", ["sign"])
    assert guest.sign(key_id, b"m").status == OK


def test_everything_is_sealed_anew(keys_vault: Keystored, guest: RingGuest) -> None:
    """With another KEK the public halves open as well, and a backup has them."""
    versions = [version for key in keys_vault.facts("key", "list") for version in key["versions"]]
    sealed = sum(version["state"] != "destroyed" for version in versions)
    assert keys_vault.cli("root", "change", "file").stdout.startswith(f"{sealed} key versions sealed anew")
    keys_vault.cli("key", "rotate", "ec-p256")
    assert guest.sign("ec-p256", b"m").status == OK


def test_backup_is_restored(keys_vault: Keystored, keys_hsm: SoftwareHsm, tmp_path: Path) -> None:
    """Where the token is, its keys sign again; where it is not, their guests are told."""
    keys_vault.cli("backup", tmp_path / "backup")
    (tmp_path / "kek").write_bytes((keys_vault.state_dir / "kek").read_bytes())
    (tmp_path / "kek").chmod(0o600)
    restored = Keystored(tmp_path, program=keys_hsm.program, arguments=keys_hsm.arguments())
    words = ("--state-dir", restored.state_dir, "--root-key", tmp_path / "kek", tmp_path / "backup")
    restored.cli("restore", *words)
    with restored:
        path = restored.folder / "g2.sock"
        restored.api.post("/guests", {"name": "g2", "socket": str(path)})
        restored.api.grant("g2", "ec-p256", ["sign"])
        with ring_guest(path) as guest:
            wait_for(lambda: restored.facts("status")["token"]["open"])
            assert guest.sign("ec-p256", b"m").status == OK
