# SPDX-License-Identifier: Apache-2.0
"""What vmm_keystore puts into a guest: the kernel module, the command line program, the files that settle ownership."""

from pathlib import Path

from qemu_images.cache import digest, entry, say, source_digest
from qemu_images.images import WARNINGS, Content
from qemu_images.kernel import ModuleSource, run
from qemu_images.packages import HERE

GUEST_DRIVER = HERE.parent / "guest_driver"
CONFIG = GUEST_DRIVER / "kernel/config"


def driver() -> ModuleSource:
    """The kernel module's source."""
    return ModuleSource(GUEST_DRIVER / "kernel", (GUEST_DRIVER / "include",))


def vks(flags: tuple[str, ...] = ()) -> Path:
    """``vks`` as one static program, for images without a C library.

    Args:
        flags: further words for the compiler, such as a sanitizer's.
    """
    folders = [GUEST_DRIVER / name for name in ("include", "lib", "cli")]

    def build(folder: Path) -> None:
        say("building vks")
        sources = sorted(path for part in folders for path in part.glob("*.c"))
        includes = [f"-I{part}" for part in folders]
        run(["cc", *WARNINGS, "-O2", "-static", *flags, *includes, "-o", folder / "vks", *sources])

    return entry("vks", digest(source_digest(folders), *flags), build) / "vks"


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
