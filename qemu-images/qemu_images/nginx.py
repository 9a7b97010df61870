# SPDX-License-Identifier: Apache-2.0
"""nginx, from an unpacked tree: the package would start a server where it is installed."""

from pathlib import Path

from qemu_images.packages import unpack

LEAVE_OUT = ("./usr/share/*",)


def nginx() -> Path:
    """The program; it needs libraries that every Debian has."""
    return unpack("nginx", LEAVE_OUT)[0] / "usr/sbin/nginx"
