# SPDX-License-Identifier: Apache-2.0
"""Disks by the module's own cipher: stock cryptsetup and dm-crypt, with a token of the vault as volume key.

The disk is a file of the host, so that what the guest wrote is held against another implementation of AES-XTS.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from framework.keystored import Keystored
from framework.qemu import QemuGuest, qemu_version
from guest.boot import Boot
from guest.paes import (
    AAD,
    DISK_BYTES,
    EACCES,
    EINVAL,
    EKEYREJECTED,
    EKEYREVOKED,
    ENOKEY,
    EPERM,
    LUKS,
    OPS,
    PLAIN,
    SEALED_AT,
    TEXT,
    Place,
    content,
)

from vmm_keystore._vks import ffi, lib

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

KERNELS = ["cloud", "cloud-6.12", "cloud-7.3"]
# For what all have in common; and AF_ALG, by which some tests set a key, has no cipher of ours from 7.2 on.
on_one_kernel = pytest.mark.parametrize("place", ["cloud-6.12"], indirect=True)


@pytest.fixture(scope="module", params=KERNELS)
def place(
    request: pytest.FixtureRequest, shared_vault: Keystored, boot_for_module: Boot, tmp_path_factory: Any
) -> Place:
    """Boot a guest with a disk and a vault on each kernel."""
    name = f"paes-{request.param}".replace(".", "-")
    disk: Path = tmp_path_factory.mktemp("disk") / "disk"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    shared_vault.add_guest(name)
    words = ["qemu-args", name, "--qemu", "{}.{}".format(*qemu_version(["qemu-system-x86_64"])), "--accel", "tcg"]
    drive = [
        "-drive",
        f"file={disk},format=raw,if=none,id=disk,cache=writeback",
        "-device",
        "virtio-blk-pci,drive=disk",
    ]
    guest = boot_for_module(f"qemu-{request.param}", content(), devices=[*shared_vault.facts(*words), *drive])
    # As in any distribution: the kernel loads what it is asked for, dm_crypt and xts among it.
    guest.run("echo /usr/bin/modprobe >/proc/sys/kernel/modprobe")
    return Place(cast("QemuGuest", guest), shared_vault, name, disk, shared_vault.facts(*words, "--replug"))


@pytest.fixture
def closed(place: Place) -> Iterator[Place]:
    """Close what a test left open, and forget what it logged."""
    place.logged()
    yield place
    place.guest.run("for name in $(ls /dev/mapper | grep -v control); do cryptsetup close $name; done")


def test_luks(closed: Place) -> None:
    """``luksFormat`` and ``open`` as for any disk: what was written is there again, encrypted by the vault's key."""
    place, label = closed, f"{closed.name}-luks"
    place.token(label)
    place.guest.run(f"{LUKS} --volume-key-file /run/{label} --key-file - /dev/vda", stdin=b"passphrase", timeout=90)
    for first in (True, False):
        place.guest.run("cryptsetup open --key-file - /dev/vda data", stdin=b"passphrase", timeout=90)
        if first:
            place.write("data")
        assert place.read("data") == TEXT
        status = place.guest.run("cryptsetup status data").text
        place.guest.run("cryptsetup close data")
    # The kernel was given the token, and nothing shorter: dm-crypt's own key is what cryptsetup has.
    assert re.search(r"keysize: *1024 ", status)
    found = re.search(r"offset: *(\d+)", status)
    assert found
    offset = int(found[1]) * 512
    raw = place.raw_key(label)
    assert place.on_disk(raw, offset) == TEXT
    assert place.on_disk(os.urandom(64), offset) != TEXT
    for log in (place.logged(), place.vault.log_text):
        assert raw.hex() not in log


def test_plain(closed: Place) -> None:
    """Plain dm-crypt by the same token, no header and no passphrase."""
    place, label = closed, f"{closed.name}-plain"
    place.token(label)
    place.guest.run(f"{PLAIN} --key-file /run/{label} /dev/vda plain")
    place.write("plain")
    place.guest.run(f"cryptsetup close plain && {PLAIN} --key-file /run/{label} /dev/vda plain")
    assert place.read("plain") == TEXT
    assert place.on_disk(place.raw_key(label), 0) == TEXT
    assert hashlib.sha256(place.disk.read_bytes()[: len(TEXT)]).digest() != hashlib.sha256(TEXT).digest()


def test_grant_taken_away(closed: Place) -> None:
    """An open disk goes on, and is not opened again; the kernel's log says why (MUST-55)."""
    place, label = closed, f"{closed.name}-revoked"
    place.token(label)
    opening = f"{PLAIN} --key-file /run/{label} /dev/vda plain"
    place.guest.run(opening)
    place.write("plain")
    place.vault.api.revoke(place.name, label)
    assert place.read("plain") == TEXT
    place.guest.run("cryptsetup close plain")
    assert place.guest.run(opening, check=False).status != 0
    assert "xts(paes): key " in (log := place.logged())
    assert "no vault grants this guest the key" in log
    place.vault.api.grant(place.name, label, ["decrypt"])
    assert place.guest.run(opening, check=False).status != 0
    assert "the grant does not allow it; it takes decrypt and release" in place.logged()
    refused = place.guest.run(f"vks paes {label} /run/another", check=False)
    assert (refused.status, b"it takes data-key, decrypt and release" in refused.stderr) == (1, True)
    place.guest.run("! test -e /run/another")


def test_module_and_device_while_a_disk_is_open(closed: Place) -> None:
    """The module stays for as long as a disk is open; the device may go, and the disk does not notice (MUST-33)."""
    place, label = closed, f"{closed.name}-gone"
    place.token(label)
    opening = f"{PLAIN} --key-file /run/{label} /dev/vda"
    place.guest.run(f"{opening} plain")
    place.write("plain")
    assert place.guest.run("rmmod virtio_keystore", check=False).status != 0
    for command in place.replug:
        place.guest.qmp.command(command["execute"], **command["arguments"])
        if command["execute"] == "device_del":
            place.guest.qmp.wait_event("DEVICE_DELETED", match=lambda event: "vks-device" in str(event["data"]))
            assert place.read("plain") == TEXT
            assert place.guest.run(f"dmsetup remove plain && {opening} plain", check=False).status != 0
            assert "there is no vault device" in place.logged()
    place.guest.run("for i in $(seq 100); do test -e /dev/keystore0 && exit 0; sleep 0.1; done; exit 1")
    place.guest.run(f"{opening} plain")
    assert place.read("plain") == TEXT
    place.guest.run("cryptsetup close plain && rmmod virtio_keystore && modprobe virtio_keystore")


def at(name: str) -> int:
    """Where a field of the token begins."""
    return ffi.offsetof("struct vks_paes_token", name)


@on_one_kernel
def test_tokens_that_are_refused(closed: Place) -> None:
    """Each field that is not what it was, each wrong length and each wrong caller; the log has the reason (MUST-54)."""
    place, label = closed, f"{closed.name}-whole"
    token, other = place.token(label), place.token(f"{closed.name}-other")

    def put(where: int, data: bytes) -> bytes:
        return token[:where] + data + token[where + len(data) :]

    def flip(where: int) -> bytes:
        return put(where, bytes([token[where] ^ 1]))

    place.guest.run(f"vks data-key {label} --bytes 64 /run/of-other-use >/dev/null")
    foreign = place.guest.pull("/run/of-other-use")
    cases = {
        "magic": (flip(0), EINVAL),
        "version": (put(at("version"), b"\x02"), EINVAL),
        "no key version": (put(at("key_version"), bytes(4)), EINVAL),
        "key version": (put(at("key_version"), b"\x02"), ENOKEY),
        "last key version": (put(at("key_version"), b"\xff\xff\xff\xff"), ENOKEY),
        "key id": (flip(at("key_id")), ENOKEY),
        "another key": (put(at("key_id"), other[at("key_id") : SEALED_AT]), EKEYREJECTED),
        "nonce": (flip(SEALED_AT), EKEYREJECTED),
        "ciphertext": (flip(SEALED_AT + 12), EKEYREJECTED),
        "tag": (flip(at("reserved") - 1), EKEYREJECTED),
        "data key of another use": (put(SEALED_AT, foreign), EKEYREJECTED),
        "reserved": (flip(at("reserved")), EINVAL),
        "nothing": (b"", EINVAL),
        "raw key": (bytes(range(64)), EINVAL),
        "a byte short": (token[:-1], EINVAL),
        "a byte long": (token + b"\0", EINVAL),
    }
    found = {what: place.guest.run("setkey", stdin=data).text for what, (data, _) in cases.items()}
    assert found == {what: f"error {error}" for what, (_, error) in cases.items()}
    log = place.logged()
    assert "xts(paes): not a token; 'vks paes' makes one" in log
    assert "the token is damaged, or was not made for this key" in log
    encryptor = Cipher(algorithms.AES(place.raw_key(label)), modes.XTS(bytes(16))).encryptor()
    assert place.guest.run("setkey", stdin=token).text == encryptor.update(bytes(512)).hex()
    # AF_ALG is everybody's: it must be no way around the permission of /dev/keystore0.
    assert place.guest.run("su -s /bin/sh nobody -c setkey", stdin=token).text == f"error {EPERM}"


@on_one_kernel
def test_what_the_grant_and_the_key_say(closed: Place) -> None:
    """The module asks in the name of whoever sets the key; a version that is out of use opens nothing (MUST-55)."""
    place, label = closed, f"{closed.name}-limits"
    token = place.token(label)
    place.regrant(label, OPS, uids=[0])
    encrypted = place.guest.run("setkey", stdin=token).text
    assert not encrypted.startswith("error")
    for ops, limits in ((OPS, {"uids": [1000]}), (["decrypt"], {}), (["data-key", "release"], {})):
        place.regrant(label, ops, **limits)
        assert place.guest.run("setkey", stdin=token).text == f"error {EACCES}"
    place.regrant(label, OPS)
    place.vault.cli("key", "rotate", label)
    assert place.guest.run("setkey", stdin=token).text == encrypted
    token = place.guest.run(f"vks paes {label} /run/second && cat /run/second").stdout
    assert len(place.guest.run("setkey", stdin=token).text) == len(encrypted)
    place.vault.cli("key", "suspend", label)
    assert place.guest.run("setkey", stdin=token).text == f"error {EKEYREVOKED}"


@on_one_kernel
def test_raw_key_in_the_guests_memory(closed: Place) -> None:
    """The raw key is there while the disk is open, and neither when it was wiped nor when it is closed (MUST-54)."""
    place, label = closed, f"{closed.name}-memory"
    file = place.vault.folder / label
    file.write_bytes(known := os.urandom(32))
    place.vault.cli("key", "import", label, str(file), "--type", "aes-256")
    place.vault.api.grant(place.name, label, OPS)
    place.guest.run(f"vks paes {label} /run/{label}")
    # Not by vks in the guest, which would leave it there.
    sealed = place.guest.pull(f"/run/{label}")[SEALED_AT : SEALED_AT + lib.VKS_PAES_SEALED_BYTES]
    raw = AESGCM(known).decrypt(sealed[:12], sealed[12:], AAD.encode())

    def in_memory() -> bool:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as image:
            place.guest.save_memory(Path(image.name))
            memory = Path(image.name).read_bytes()
        return raw[:32] in memory or raw[32:] in memory

    assert not in_memory()
    place.guest.run(f"{LUKS} --volume-key-file /run/{label} --key-file - /dev/vda", stdin=b"passphrase", timeout=90)
    place.guest.run("cryptsetup open --key-file - /dev/vda data", stdin=b"passphrase", timeout=90)
    place.write("data")
    assert in_memory()
    place.guest.run("cryptsetup luksSuspend data")
    # cryptsetup leaves keys of this cipher; dm-crypt's message sets noise instead, which is no token and a key no more.
    assert place.guest.run("dmsetup message data 0 key wipe", check=False).status != 0
    assert not in_memory()
    place.guest.run("cryptsetup luksResume --key-file - data", stdin=b"passphrase", timeout=90)
    assert place.read("data") == TEXT
    assert in_memory()
    place.guest.run("cryptsetup close data")
    assert not in_memory()
