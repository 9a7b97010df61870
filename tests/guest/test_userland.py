# SPDX-License-Identifier: Apache-2.0
"""The whole image under QEMU: Debian 13's kernel and its programs, from a disk that is packed from packages."""

import os
from pathlib import Path
from typing import cast

import pytest
from framework.keystored import Keystored
from framework.qemu import QemuGuest, qemu_version
from framework.recipes import Recipe, recipe
from guest.boot import Boot
from qemu_images.userland import (
    KEYSTORE_GROUP,
    USERLAND_KERNEL,
    USERLAND_WORDS,
    pack,
    userland_content,
    userland_disk,
)

MEGABYTE = 1_000_000
RECIPES = [recipe(name) for name in ("openssl.sh", "nginx.sh", "git.sh")]
DRIVE = "file={disk},if=virtio,format=raw,readonly=on"


@pytest.fixture(scope="module")
def guest(shared_vault: Keystored, boot_for_module: Boot) -> QemuGuest:
    """Boot it with the device of a guest named ``debian``."""
    shared_vault.add_guest("debian")
    version = "{}.{}".format(*qemu_version(["qemu-system-x86_64"]))
    words = shared_vault.facts("qemu-args", "debian", "--qemu", version, "--accel", "tcg")
    devices = [*words, "-drive", DRIVE.format(disk=userland_disk())]
    kind = f"qemu-{USERLAND_KERNEL}"
    guest = boot_for_module(kind, userland_content(), devices=devices, append=USERLAND_WORDS, memory_mib=512)
    guest.run(f"chgrp {KEYSTORE_GROUP} /dev/keystore0 && chmod 660 /dev/keystore0")
    return cast("QemuGuest", guest)


@pytest.mark.qemu
@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", RECIPES, ids=lambda script: script.name)
def test_recipe(script: Recipe, shared_vault: Keystored, guest: QemuGuest) -> None:
    """Some of the scripts, as they are in the image."""
    script.prepare(shared_vault, "debian")
    guest.run(
        f"mkdir /tmp/{script.name} && cd /tmp/{script.name} && sh /usr/share/doc/vks-pkcs11/recipes/{script.path.name}",
        timeout=120,
    )
    assert not script.unused(shared_vault, "debian")


def test_disk_is_small() -> None:
    """Everything but Java fits into 60 MB."""
    assert userland_disk().stat().st_size < 60 * MEGABYTE


def test_packing_is_reproducible(tmp_path: Path) -> None:
    """The same content is the same disk, whenever its files were made and whoever owns them."""
    disks = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        (folder / "usr/bin").mkdir(parents=True)
        (folder / "usr/bin/program").write_bytes(b"text" * 100_000)
        (folder / "usr/bin/program").chmod(0o755)
        (folder / "bin").symlink_to("usr/bin")
        os.utime(folder / "usr/bin/program", (number, number))
        if os.geteuid() == 0:
            os.chown(folder / "usr/bin/program", number, number)
        pack(folder, tmp_path / f"disk{number}")
        disks.append((tmp_path / f"disk{number}").read_bytes())
    assert disks[0] == disks[1]
