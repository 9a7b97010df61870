# SPDX-License-Identifier: Apache-2.0
"""A guest with keys of each family, and with the bytes of those that tests compute with on their own."""

import os
from dataclasses import dataclass, field

import pytest
from framework.keystored import Keystored
from framework.pkcs11_guest import Pkcs11Guest

SIGN, CIPHER, MAC = ("sign", "verify"), ("encrypt", "decrypt"), ("mac", "mac-verify")
PAIRS = {
    "tls": ("ec-p256", SIGN, ()),
    "p384": ("ec-p384", SIGN, ()),
    "sig": ("ed25519", SIGN, ()),
    "rsa": ("rsa-2048", (*SIGN, *CIPHER), ()),
    "agree": ("ec-p256", ("derive", "release"), ("ecdh",)),
    "agree-x": ("x25519", ("derive", "release"), ("ecdh",)),
}
"""Type, operations, mechanisms where the grant has to name them."""
SECRETS = {
    "box": ("aes-256", 32, (*CIPHER,), ("aes-gcm", "aes-gcm-own-nonce")),
    "box-named": ("aes-128", 16, (*CIPHER, *MAC), ("aes-cbc", "aes-ctr", "aes-kw", "aes-kwp", "aes-cmac")),
    "box-device": ("aes-256", 32, (*CIPHER,), ("aes-gcm",)),
    "cha": ("chacha20-poly1305", 32, (*CIPHER,), ("chacha20-poly1305", "chacha20-poly1305-own-nonce")),
    "disk": ("aes-256-xts", 64, (*CIPHER,), ("aes-xts",)),
    "tag": ("hmac-sha256", 32, (*MAC, "derive", "release"), ("hmac-sha256", "hkdf-sha256")),
    "tag-384": ("hmac-sha384", 48, MAC, ("hmac-sha384",)),
    "tag-512": ("hmac-sha512", 64, MAC, ("hmac-sha512",)),
}
"""Type, bytes, operations, mechanisms."""


@dataclass
class Place:
    """A keystored, its guest, and what the test knows of the guest's keys."""

    vault: Keystored
    guest: Pkcs11Guest
    secrets: dict[str, bytes] = field(default_factory=dict)

    def public_pem(self, label: str) -> bytes:
        """The public key, by the administrator."""
        return self.vault.cli("key", "public", label).stdout.encode()


def make_place(vault: Keystored) -> Place:
    """Add the guest and its keys."""
    place = Place(vault, Pkcs11Guest(vault.add_guest("app")))
    for label, (key_type, ops, mechanisms) in PAIRS.items():
        vault.api.generate(label, key_type)
        vault.api.grant("app", label, ops, **({"mechanisms": list(mechanisms)} if mechanisms else {}))
    for label, (key_type, size, ops, mechanisms) in SECRETS.items():
        place.secrets[label] = os.urandom(size)
        file = vault.folder / label
        file.write_bytes(place.secrets[label])
        vault.cli("key", "import", label, file, "--type", key_type, "--format", "raw")
        vault.api.grant("app", label, ops, mechanisms=list(mechanisms))
    return place


GUARDED = {
    "tls-login": ("ec-p256", (*SIGN, "login")),
    "tag-login": ("hmac-sha256", (*MAC, "login")),
}
"""Keys for who is logged in."""


def guard(vault: Keystored) -> None:
    """Give the guest those keys too."""
    for label, (key_type, ops) in GUARDED.items():
        vault.api.generate(label, key_type)
        vault.api.grant("app", label, ops)


@pytest.fixture
def place(vault: Keystored) -> Place:
    """Give a guest of a keystored for this test alone."""
    return make_place(vault)


@pytest.fixture(scope="module")
def shared_place(shared_vault: Keystored) -> Place:
    """Give a guest for a whole module."""
    return make_place(shared_vault)
