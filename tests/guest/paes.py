# SPDX-License-Identifier: Apache-2.0
"""A guest that has disks by the module's own cipher: what is in its image, its disk, and what the host makes of it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from framework.keystored import Keystored
from framework.qemu import QemuGuest
from qemu_images import keystore
from qemu_images.images import WARNINGS, Content, program

from vmm_keystore._vks import ffi, lib

# aesni_intel: what a guest really has, a cipher that may finish later.
MODULES = ("dm_crypt", "xts", "algif_skcipher", "aesni_intel")
OPS = ["data-key", "decrypt", "release"]
CIPHER = "--cipher paes-xts-plain64 --key-size 1024"
PLAIN = f"cryptsetup open --type plain {CIPHER} --sector-size 4096"
LUKS = (
    f"cryptsetup luksFormat --batch-mode --type luks2 {CIPHER} --sector-size 4096"
    " --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
)
DISK_BYTES = 32 << 20
SECTOR_BYTES = 4096
TEXT = b"nobody reads this off the disk. " * (SECTOR_BYTES // 32) * 3
EPERM, EACCES, EINVAL, ENODEV, ENOKEY, EKEYREVOKED, EKEYREJECTED = 1, 13, 22, 19, 126, 128, 129
AAD = "vmm_keystore xts(paes)"
TOKEN_BYTES, SEALED_AT = lib.VKS_PAES_TOKEN_BYTES, ffi.offsetof("struct vks_paes_token", "sealed")


def content_without_disk() -> Content:
    """The module, and the program that sets a key without a disk."""
    base = keystore.content()
    setkey = program("setkey", [Path(__file__).parent / "paes_setkey.c"], flags=WARNINGS)
    return replace(base, files={**base.files, "/usr/bin/setkey": setkey})


def content() -> Content:
    """That and cryptsetup."""
    base = content_without_disk()
    return replace(
        base,
        kernel_modules=MODULES,
        load=("dm_mod", "aesni_intel", *base.load),
        packages=("cryptsetup",),
    )


@dataclass
class Place:
    """A booted guest with a disk, its vault, and the QMP commands that exchange its device."""

    guest: QemuGuest
    vault: Keystored
    name: str
    disk: Path
    replug: list[dict[str, Any]]
    tokens: dict[str, bytes] = field(default_factory=dict)

    def token(self, label: str) -> bytes:
        """Generate and grant a key, have the guest make a token of it at /run/LABEL, and return that."""
        self.vault.api.generate(label, "aes-256")
        self.vault.api.grant(self.name, label, OPS)
        made = self.guest.run(f"vks paes {label} /run/{label} && stat -c '%a %s' /run/{label}")
        assert made.text == f"600 {TOKEN_BYTES}"
        self.tokens[label] = self.guest.pull(f"/run/{label}")
        return self.tokens[label]

    def regrant(self, label: str, ops: list[str], **limits: Any) -> None:
        """Exchange the guest's grant of a key."""
        self.vault.api.revoke(self.name, label)
        self.vault.api.grant(self.name, label, ops, **limits)

    def raw_key(self, label: str) -> bytes:
        """What only this test takes out of the vault: the key behind a token."""
        sealed = self.tokens[label][SEALED_AT : SEALED_AT + lib.VKS_PAES_SEALED_BYTES]
        return self.guest.run(f"vks decrypt --aad '{AAD}' --version 1 {label}", stdin=sealed).stdout

    def write(self, name: str) -> None:
        """Write TEXT to the beginning of a mapping, onto the disk."""
        self.guest.run(f"dd of=/dev/mapper/{name} bs={SECTOR_BYTES} conv=fsync 2>/dev/null", stdin=TEXT)

    def read(self, name: str) -> bytes:
        """What is there now, from the disk and not from a cache."""
        self.guest.run("echo 3 >/proc/sys/vm/drop_caches")
        count = len(TEXT) // SECTOR_BYTES
        return self.guest.run(f"dd if=/dev/mapper/{name} bs={SECTOR_BYTES} count={count} 2>/dev/null").stdout

    def on_disk(self, raw: bytes, offset_bytes: int) -> bytes:
        """What AES-XTS makes of the disk's bytes, computed on the host; plain64 counts in units of 512 bytes."""
        text = b""
        for at in range(0, len(TEXT), SECTOR_BYTES):
            with self.disk.open("rb") as disk:
                disk.seek(offset_bytes + at)
                sector = disk.read(SECTOR_BYTES)
            tweak = (at // 512).to_bytes(16, "little")
            text += Cipher(algorithms.AES(raw), modes.XTS(tweak)).decryptor().update(sector)
        return text

    def logged(self) -> str:
        """The guest's kernel log since this was last asked for."""
        return self.guest.run("dmesg -c").text
