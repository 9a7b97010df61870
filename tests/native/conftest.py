# SPDX-License-Identifier: Apache-2.0
"""A guest that is a process of the host, with one key of each family."""

import pytest
from framework.keystored import Keystored
from framework.native_guest import NativeGuest

KEYS = {
    "box": ("aes-256", ("encrypt", "decrypt")),
    "sig": ("ed25519", ("sign", "verify")),
    "tls": ("ec-p256", ("sign", "verify")),
    "tag": ("hmac-sha256", ("mac", "mac-verify")),
}


def add_guest(vault: Keystored) -> NativeGuest:
    """Add the guest and its keys."""
    guest = NativeGuest(vault.add_guest("app"))
    for label, (key_type, ops) in KEYS.items():
        vault.api.generate(label, key_type)
        vault.api.grant("app", label, ops)
    return guest


@pytest.fixture
def guest(vault: Keystored) -> NativeGuest:
    """Give a guest of a keystored for this test alone."""
    return add_guest(vault)


@pytest.fixture(scope="module")
def shared_guest(shared_vault: Keystored) -> NativeGuest:
    """Give a guest for a whole module."""
    return add_guest(shared_vault)
