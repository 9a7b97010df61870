# SPDX-License-Identifier: Apache-2.0
"""What vmm_keystore puts into a guest: the kernel module, the command line program, the files that settle ownership."""

from pathlib import Path

from qemu_images.images import Content, program
from qemu_images.kernel import ModuleSource
from qemu_images.packages import HERE

GUEST_DRIVER = HERE.parent / "guest_driver"
CONFIG = GUEST_DRIVER / "kernel/config"


def driver() -> ModuleSource:
    """The kernel module's source."""
    return ModuleSource(GUEST_DRIVER / "kernel", (GUEST_DRIVER / "include",))


def vks() -> Path:
    """``vks`` as one static program."""
    lib, cli = GUEST_DRIVER / "lib", GUEST_DRIVER / "cli"
    return program("vks", [lib, cli], include=[GUEST_DRIVER / "include", lib, cli])


def content(*, udev: bool = False) -> Content:
    """The module, loaded at boot, and ``vks``.

    Args:
        udev: leave it to Debian's udev and kmod and the installed configuration which driver is loaded, with the
            kernel's own ``virtio_crypto`` present.
    """
    files = {"/usr/bin/vks": vks()}
    if not udev:
        return Content((driver(),), files, load=("virtio_keystore",))
    files |= {
        "/usr/lib/modprobe.d/virtio-keystore.conf": CONFIG / "modprobe.conf",
        "/usr/lib/modules-load.d/virtio-keystore.conf": CONFIG / "modules-load.conf",
        "/usr/lib/udev/rules.d/60-virtio-keystore.rules": CONFIG / "udev.rules",
    }
    return Content((driver(),), files, kernel_modules=("virtio_crypto",), udev=True, groups=("keystore",))
