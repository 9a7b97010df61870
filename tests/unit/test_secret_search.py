# SPDX-License-Identifier: Apache-2.0
"""The search for secrets finds what is there, in every form, at every alignment, whole or torn; and nothing else."""

from __future__ import annotations

import base64
import mmap
import os
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from framework.secret_forms import (
    PrivateKey,
    Secret,
    aes_secret,
    hmac_secret,
    private_key_secret,
    secret_bytes,
)
from framework.secret_search import SecretSearch

NOISE = random.Random(7).randbytes(1 << 16)  # noqa: S311  # noise, not a secret
FIPS_197_KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    return {
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa": rsa.generate_private_key(65537, 2048),
    }


@pytest.fixture(scope="module")
def secrets(keys: dict[str, PrivateKey]) -> list[Secret]:
    return [
        *(private_key_secret(name, key) for name, key in keys.items()),
        aes_secret("aes", os.urandom(32)),
        hmac_secret("hmac", os.urandom(32)),
        secret_bytes("passphrase", b"correct horse battery staple"),
    ]


@pytest.fixture(scope="module")
def search(secrets: list[Secret]) -> SecretSearch:
    return SecretSearch(secrets)


def test_every_form_is_found_at_every_alignment(search: SecretSearch, secrets: list[Secret]) -> None:
    for secret in secrets:
        for form in secret.forms.values():
            for shift in range(8):
                report = search.in_bytes(NOISE[: 64 + shift] + form + NOISE[:100], "here")
                assert {hit.secret for hit in report.hits} == {secret.name}
                # A byte of noise in front may happen to belong to it.
                hit = report.hits[0]
                assert hit.offset <= 64 + shift < hit.offset + hit.run_bytes


@pytest.mark.parametrize("name", ["p256", "p384", "ed25519", "rsa"])
@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
@pytest.mark.parametrize("layout", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_files_hold_the_numbers(
    search: SecretSearch, keys: dict[str, PrivateKey], name: str, encoding: Encoding, layout: PrivateFormat
) -> None:
    """DER and PEM have no form of their own; they must still be found."""
    if name == "ed25519":
        layout = PrivateFormat.PKCS8
    report = search.in_bytes(keys[name].private_bytes(encoding, layout, NoEncryption()), "file")
    assert {hit.secret for hit in report.hits} == {name}


def test_a_torn_key_is_found(search: SecretSearch, keys: dict[str, PrivateKey]) -> None:
    """15 bytes from the middle of a prime are enough."""
    key = keys["rsa"]
    assert isinstance(key, rsa.RSAPrivateKey)
    prime = key.private_numbers().p.to_bytes(128)
    before, after = prime[49] ^ 0xFF, prime[65] ^ 0xFF  # no noise that happens to go on with it
    report = search.in_bytes(NOISE[:100] + bytes([before]) + prime[50:65] + bytes([after]) + NOISE[:100], "here")
    assert [(hit.secret, hit.form, hit.offset) for hit in report.hits] == [("rsa", "p bytes", 101)]


def test_nothing_is_found_in_noise_or_public_keys(search: SecretSearch, keys: dict[str, PrivateKey]) -> None:
    public = b"".join(
        key.public_key().public_numbers().n.to_bytes(256) for key in keys.values() if isinstance(key, rsa.RSAPrivateKey)
    )
    text = NOISE.hex().encode() + base64.b64encode(NOISE)
    assert search.in_bytes(NOISE * 16 + bytes(1 << 20) + public + text, "here").hits == []


def test_a_chance_run_of_hex_is_no_key() -> None:
    """Eight digits are four bytes: they occur by chance."""
    search = SecretSearch([secret_bytes("key", bytes(range(0x10, 0x30)))])
    assert search.in_bytes(b"1011121314151617", "here").hits == []
    assert search.in_bytes(b"101112131415161718191a1b", "here").hits != []


def test_round_keys_are_those_of_fips_197() -> None:
    """Appendix A.3 and, for the inverse cipher, the same key's last word but one round in appendix C.3's manner."""
    forms = aes_secret("aes", FIPS_197_KEY).forms
    assert forms["round key 2 bytes"] == bytes.fromhex("9ba354118e6925afa51a8b5f2067fcde")
    assert forms["round key 14 bytes"] == bytes.fromhex("fe4890d1e6188d0b046df344706c631e")
    assert "round key 15 bytes" not in forms
    # FIPS 197, C.1: key 00..0f, equivalent inverse cipher, dround[1].ik_sch
    small = aes_secret("aes", bytes(range(16))).forms
    assert small["inverse round key 9 bytes"] == bytes.fromhex("13aa29be9c8faff6f770f58000f7bf03")


def test_a_hit_across_two_chunks_is_found() -> None:
    secret = secret_bytes("key", bytes(range(100, 132)))
    data = bytes((1 << 20) - 17) + secret.forms["raw bytes"] + bytes(64)
    hits = SecretSearch([secret]).in_bytes(data, "here").hits
    assert {hit.offset for hit in hits} == {(1 << 20) - 17}


def test_processes_files_and_folders_are_searched(tmp_path: Path) -> None:
    """This very process holds the value; so do a file and a folder around it, and an empty file is no error."""
    value = os.urandom(32)
    search = SecretSearch([secret_bytes("planted", value)])
    report = search.in_process(os.getpid())
    assert report.searched_bytes > 1 << 20
    assert report.hits
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"xyz" + value)
    (tmp_path / "empty").touch()
    assert [hit.offset for hit in search.in_tree(tmp_path).hits] == [3]
    assert search.in_file(tmp_path / "empty").hits == []


def test_pages_that_cannot_be_read_are_counted_and_hide_no_others(tmp_path: Path) -> None:
    """A mapping whose file was cut: its first page is there, the two behind it are not."""
    value = os.urandom(32)
    path = tmp_path / "file"
    path.write_bytes(value + bytes(3 * mmap.PAGESIZE - len(value)))
    search = SecretSearch([secret_bytes("planted", value)])
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        os.truncate(path, mmap.PAGESIZE)
        report = search.in_process(os.getpid())
        assert [hit for hit in report.hits if str(path) in hit.place]
        assert report.unreadable_bytes >= 2 * mmap.PAGESIZE
        assert len(mapping) == 3 * mmap.PAGESIZE


def test_a_form_too_short_to_be_found_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        SecretSearch([Secret("short", {"raw bytes": b"14 bytes long."})])
