# SPDX-License-Identifier: Apache-2.0
"""Debian 13's compiler and make as an unpacked tree, and how a command is run in it.

Modules of Debian 13's kernels do not build on Debian 12: their headers name a newer compiler, and their objtool wants a
newer C library. Root is not needed where users may make namespaces.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from qemu_images.cache import cache_root
from qemu_images.packages import unpack

LEAVE_OUT = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./usr/share/info/*")
# The mounts are in a namespace of the command's own and go with it, however it ends. The cache is where it is outside,
# since kernel headers carry absolute paths.
ENTER = """\
tree=$1 cache=$2
shift 2
for place in "$cache" /proc /dev; do mount --rbind "$place" "$tree$place"; done
exec chroot "$tree" /usr/bin/env -i PATH=/usr/bin LC_ALL=C.UTF-8 "$@"
"""


def _finish(tree: Path) -> None:
    """What the packages' own scripts would do, and the places that are mounted over."""
    for link, target in (("awk", "gawk"), ("sh", "dash")):
        path = tree / "usr/bin" / link
        if not path.exists():
            path.symlink_to(target)
    for place in (cache_root(), Path("/proc"), Path("/dev"), Path("/tmp")):  # noqa: S108  the tree's own
        (tree / str(place).lstrip("/")).mkdir(parents=True, exist_ok=True)


def in_kernel_tools(words: Sequence[str | Path]) -> list[str | Path]:
    """The command that runs *words* in the tree; it sees the cache, at its place, and nothing else of this machine."""
    tree, _ = unpack("kernel-tools", LEAVE_OUT, _finish)
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    return ["unshare", *namespaces, "sh", "-euc", ENTER, "sh", tree, cache_root(), *words]
