# SPDX-License-Identifier: Apache-2.0
"""Debian 13's programs that use keys, with ``vks`` and the PKCS#11 module among them: a tree that a guest runs from.

Packages are unpacked, not installed: what their scripts would have made is made here, as far as these programs want it.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from qemu_images.cache import digest, entry, say, source_digest
from qemu_images.images import Content, agent, shared_library
from qemu_images.kernel import run
from qemu_images.keystore import GUEST_DRIVER, content, vks
from qemu_images.packages import unpack

PKCS11 = GUEST_DRIVER / "pkcs11"
RECIPES = GUEST_DRIVER.parent / "docs/recipes"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
MODULE = f"{LIBRARIES}/pkcs11/vmm_keystore.so"
SETTINGS = "usr/share/vks-pkcs11/openssl.cnf"
LEAVE_OUT = (
    *(
        f"./usr/share/{name}/*"
        for name in ("bash-completion", "bug", "doc", "info", "lintian", "locale", "man", "zoneinfo")
    ),
    *("*/gconv/*", "./usr/lib/systemd/*"),
)
USERLAND_KERNEL = "cloud-6.12"
USERLAND_WORDS = "userland_disk=vda"
FILE_SYSTEMS = ("squashfs", "overlay")
PACK = (
    *("-all-root", "-all-time", "0", "-mkfs-time", "0", "-no-xattrs", "-no-progress", "-quiet", "-noappend"),
    *("-comp", "zstd", "-b", "256K"),
)
FOLDERS = (
    "dev",
    "media",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "etc/java-21-openjdk",
    "usr/lib/jvm",
    "var/empty",
)
TEXTS = {
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
SSHD = "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
KEYSTORE_GROUP = 900


def _module() -> Path:
    """The PKCS#11 module."""
    lib = GUEST_DRIVER / "lib"
    flags = (f"-Wl,--version-script={PKCS11}/module.map", "-Wl,-z,nodelete", "-fvisibility=hidden")
    return shared_library(
        "vmm_keystore.so", [lib, PKCS11], include=[GUEST_DRIVER / "include", lib, PKCS11], flags=flags
    )


def _ours() -> Mapping[str, Path]:
    """Guest path to file of what is not Debian's."""
    return {
        MODULE: _module(),
        "usr/bin/vks": vks(),
        "usr/sbin/agent": agent(),
        "usr/share/p11-kit/modules/vmm-keystore.module": PKCS11 / "vmm-keystore.module",
    } | {f"usr/share/doc/vks-pkcs11/recipes/{path.name}": path for path in sorted(RECIPES.glob("*"))}


def userland() -> Path:
    """The tree. Nothing in it may be written."""
    debian, debian_key = unpack("userland", LEAVE_OUT)
    ours = _ours()
    parts = [part for path, source in ours.items() for part in (path, source_digest([source]))]
    parts.append(source_digest([Path(__file__), PKCS11 / "openssl.cnf.in"]))

    def build(folder: Path) -> None:
        say("a Debian 13 with programs that use keys")
        root = folder / "root"
        run(["cp", "-al", debian, root])  # files are Debian's own; a changed one takes its name, not its place
        texts = {SETTINGS: (PKCS11 / "openssl.cnf.in").read_text().replace("@MODULE@", f"/{MODULE}")} | TEXTS
        for name in ("passwd", "group"):
            texts[f"etc/{name}"] = (root / f"usr/share/base-passwd/{name}.master").read_text()
        texts["etc/passwd"] += SSHD
        texts["etc/group"] += f"keystore:x:{KEYSTORE_GROUP}:www-data\n"
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).unlink(missing_ok=True)
            (root / name).write_text(text)
        (root / "usr/bin/awk").symlink_to("mawk")
        (root / "usr/bin/sh").unlink(missing_ok=True)
        (root / "usr/bin/sh").symlink_to("dash")
        for name, source in ours.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, root / name)
        run(["ldconfig", "-X", "-r", root])

    key = digest(debian_key, *parts)
    return entry("userland", key, build) / "root"


def userland_disk() -> Path:
    """The tree as a disk image that a guest's kernel reads directly; the same bytes for the same tree."""
    root = userland()

    def build(folder: Path) -> None:
        say("packing it")
        pack(root, folder / "disk")

    return entry("disk", digest(root.parent.name, *PACK), build) / "disk"


def pack(folder: Path, target: Path) -> None:
    """Write *folder* to *target* as a squashfs: everything owned by root, and of no date."""
    run(["mksquashfs", folder, target, *PACK])


def userland_content() -> Content:
    """What the initramfs of a guest with that disk has; the kernel's command line needs USERLAND_WORDS."""
    return replace(content(), kernel_modules=FILE_SYSTEMS, load=(*FILE_SYSTEMS, "virtio_keystore"))
