# SPDX-License-Identifier: Apache-2.0
"""A newer QEMU than the machine's, run from an unpacked tree with its own loader and libraries."""

from dataclasses import dataclass
from pathlib import Path

from qemu_images.packages import unpack

LEAVE_OUT = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./usr/share/info/*")


@dataclass(frozen=True)
class Qemu:
    """How to start a QEMU: the words before its options."""

    tree: Path
    command: tuple[str, ...]


def qemu_11() -> Qemu:
    """QEMU 11.1 of Debian 13's backports."""
    tree, _ = unpack("qemu-11", LEAVE_OUT)
    usr = tree / "usr"
    loader = [str(usr / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(usr / "lib/x86_64-linux-gnu")]
    data = [word for folder in ("qemu", "seabios") for word in ("-L", str(usr / "share" / folder))]
    return Qemu(tree, (*loader, str(usr / "bin/qemu-system-x86_64"), *data))
