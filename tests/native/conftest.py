# SPDX-License-Identifier: Apache-2.0
"""A guest that is a process of the host, with one key of each family; and one with a disk that the vault unlocks."""

import shutil
from pathlib import Path

import pytest
from framework.keystored import Keystored
from framework.luks import luks_format
from framework.luks_host import GUEST, KEY, OPS, Host
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


@pytest.fixture(scope="module")
def blank_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a disk that nobody has enrolled."""
    return luks_format(tmp_path_factory.mktemp("luks") / "disk")


@pytest.fixture(scope="module")
def disk_vault(shared_vault: Keystored) -> Keystored:
    """Give the guest its key."""
    shared_vault.add_guest(GUEST)
    shared_vault.api.generate(KEY, "aes-256")
    shared_vault.api.grant(GUEST, KEY, OPS)
    return shared_vault


@pytest.fixture
def host(disk_vault: Keystored, blank_disk: Path, tmp_path: Path) -> Host:
    """Give a disk for this test alone."""
    return Host(disk_vault, Path(shutil.copy(blank_disk, tmp_path / "disk")))


@pytest.fixture
def enrolled(host: Host) -> Host:
    """Give one that the vault opens."""
    host.enroll()
    return host
