# SPDX-License-Identifier: Apache-2.0
"""libcrypto_mb of Debian testing, from an unpacked tree: Debian 12 has none."""

from pathlib import Path

from qemu_images.packages import unpack

LEAVE_OUT = ("./usr/share/*",)


def crypto_mb() -> Path:
    """The folder of the shared library."""
    return unpack("crypto-mb", LEAVE_OUT)[0] / "usr/lib/x86_64-linux-gnu"
