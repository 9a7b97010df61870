# SPDX-License-Identifier: Apache-2.0
"""A Debian 13 on an encrypted disk, with its own kernel, and an initramfs made by its own update-initramfs.

What boots is Debian's: kernel, initramfs-tools, cryptsetup-initramfs, udev. Of this project are the module, vks and
vks-luks of the build folder, and what the package vks-luks installs. The disk's data is encrypted here and not by device
mapper, which a build machine may not have: AES-XTS with the sector number as tweak ("plain64" in the kernel's
Documentation/admin-guide/device-mapper/dm-crypt.rst), counted in 512 bytes whatever a sector has.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from qemu_images.cache import digest, entry, say, source_digest
from qemu_images.debian_root import debian_root
from qemu_images.images import agent
from qemu_images.kernel import Kernel, kernel, module, run, vmlinux
from qemu_images.keystore import CONFIG, driver

from framework.luks import luks_format
from framework.native_guest import BUILD, ROOT

PACKAGES = (
    "busybox",
    "cryptsetup-bin",
    "cryptsetup-initramfs",
    "initramfs-tools",
    "kmod",
    "libjson-c5",
    "systemd-cryptsetup",
    "udev",
    "zstd",
)
FLAVOUR = "cloud-6.12"
UUID = "d0a7b5e2-6f1c-4c1b-9a53-0c2f5d7e9b10"
DATA_OFFSET_BYTES = 16 << 20
SECTOR_BYTES = 4096
FILESYSTEM_BYTES = 256 << 20
LUKS = ROOT / "guest_driver/luks"
FILES = {
    "usr/sbin/vks-luks": BUILD / "guest_driver/luks/vks-luks",
    "usr/lib/x86_64-linux-gnu/cryptsetup/libcryptsetup-token-vmm-keystore.so": BUILD
    / "guest_driver/luks/libcryptsetup-token-vmm-keystore.so",
    "usr/bin/vks": BUILD / "guest_driver/cli/vks",
    "usr/share/initramfs-tools/hooks/vks-luks": LUKS / "initramfs/hook",
    "usr/lib/cryptsetup/scripts/vks-luks": LUKS / "initramfs/vks-luks",
    "usr/lib/modprobe.d/virtio-keystore.conf": CONFIG / "modprobe.conf",
}
CRYPTTAB = f"root UUID={UUID} none luks,initramfs,keyscript=vks-luks\n"
INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t tmpfs tmp /tmp
/usr/lib/systemd/systemd-udevd --daemon
exec /usr/sbin/agent port:org.vmm-keystore.agent
"""
APPEND = "root=/dev/mapper/root rw"


@dataclass(frozen=True)
class EncryptedRoot:
    """What boots; *disk* is not enrolled yet, and for copying."""

    kernel: Path
    initrd: Path
    disk: Path


def encrypted_root() -> EncryptedRoot:
    """Make it, once for a state of everything that goes into it. Needs root."""
    built_for = kernel(FLAVOUR)
    bare = debian_root(PACKAGES, release="trixie")
    own = [source_digest([path]) for path in FILES.values()]
    key = digest(built_for.key, driver().key, str(bare), str(agent()), *own, source_digest([Path(__file__)]))

    def build(folder: Path) -> None:
        say("a Debian 13 on an encrypted disk")
        root = folder / "root"
        shutil.copytree(bare, root, symlinks=True, ignore=_left_out(bare))
        _install(root, built_for)
        _chroot(root, "update-initramfs", "-c", "-k", built_for.release)
        (root / f"boot/initrd.img-{built_for.release}").rename(folder / "initrd")
        _encrypt(_filesystem(root, folder), folder / "disk")
        shutil.rmtree(root)

    folder = entry("encrypted-root", key, build)
    return EncryptedRoot(vmlinux(built_for), folder / "initrd", folder / "disk")


def _left_out(bare: Path) -> Callable[[str, list[str]], list[str]]:
    """What no booted system needs: apt's lists and packages, and device nodes."""
    unwanted = {bare / "var/cache/apt", bare / "var/lib/apt", bare / "dev"}

    def ignore(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder) / name in unwanted]

    return ignore


def _install(root: Path, built_for: Kernel) -> None:
    """What packages of the kernel, of the module and of vks-luks would install, and who is init."""
    modules = root / "usr/lib/modules" / built_for.release
    shutil.copytree(built_for.modules, modules, symlinks=True)
    for path in module(built_for, driver()):
        (modules / "updates").mkdir(exist_ok=True)
        shutil.copy2(path, modules / "updates")
    run(["depmod", "-b", root, built_for.release])
    config = f"boot/config-{built_for.release}"
    shutil.copy2(built_for.tree / config, root / config)
    for place, path in (FILES | {"usr/sbin/agent": agent()}).items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, root / place)
    (root / "usr/sbin/init").write_text(INIT)
    (root / "usr/sbin/init").chmod(0o755)
    (root / "etc/crypttab").write_text(CRYPTTAB)
    (root / "dev").mkdir()


def _chroot(root: Path, *words: str) -> None:
    """Run a command in *root* with the /proc, /dev and /tmp that scripts take for granted."""
    mounts = f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && mount -t tmpfs tmp {root}/tmp"
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    command = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec chroot "$@"', "sh", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    say("; ".join(done.stderr.splitlines()))


def _filesystem(root: Path, folder: Path) -> Path:
    """*root* as an ext4."""
    image = folder / "filesystem"
    words: list[str | Path] = ["mke2fs", "-q", "-t", "ext4", "-b", str(SECTOR_BYTES), "-m", "0", "-d", root, image]
    run([*words, str(FILESYSTEM_BYTES // SECTOR_BYTES)])
    return image


def _encrypt(plain: Path, disk: Path) -> None:
    """Make *disk* of it, and remove it."""
    volume_key = os.urandom(64)
    key_file = disk.with_name("volume-key")
    key_file.write_bytes(volume_key)
    options = ["--uuid", UUID, "--cipher", "aes-xts-plain64", "--key-size", "512", "--sector-size", str(SECTOR_BYTES)]
    options += ["--offset", str(DATA_OFFSET_BYTES // 512), "--volume-key-file", str(key_file)]
    luks_format(disk, *options, size_bytes=DATA_OFFSET_BYTES + FILESYSTEM_BYTES)
    key_file.unlink()
    with plain.open("rb") as source, disk.open("r+b") as target:
        target.seek(DATA_OFFSET_BYTES)
        for start in range(0, FILESYSTEM_BYTES, SECTOR_BYTES):
            tweak = (start // 512).to_bytes(16, "little")
            encryptor = Cipher(algorithms.AES(volume_key), modes.XTS(tweak)).encryptor()
            target.write(encryptor.update(source.read(SECTOR_BYTES)))
    plain.unlink()


if __name__ == "__main__":
    print(encrypted_root())
