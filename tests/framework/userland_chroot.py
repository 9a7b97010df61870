# SPDX-License-Identifier: Apache-2.0
"""Programs of a Debian 13 with the PKCS#11 module among them, run in that tree on this machine, at a guest's socket."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qemu_images.packages import unpack
from qemu_images.userland import userland

from framework.native_guest import Answered
from framework.recipes import Recipe

JAVA_BIN = "/usr/lib/jvm/java-21-openjdk-amd64/bin"
# In a mount namespace of its own: the tree is not changed, and nothing is left.
ENTER = """\
set -eu
root=$1 socket=$2 work=$3
shift 3
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount --bind "$(dirname "$socket")" "$root/run"
mount --bind "$work" "$root/root"
while test "$1" != --; do
    mount --bind "$1" "$root/$2"
    shift 2
done
shift
cd "$root/root"
exec chroot "$root" env -C /root "$@"
"""


def java() -> dict[str, Path]:
    """What Debian's packages of Java have, by its place; the tree has empty folders for it."""
    tree, _key = unpack("java")
    return {name: tree / name for name in ("usr/lib/jvm", "etc/java-21-openjdk")}


@dataclass(frozen=True)
class UserlandChroot:
    """A guest's programs. Needs root."""

    socket: Path
    more: Mapping[str, Path] = field(default_factory=dict)

    def run(self, script: Recipe, work: Path) -> Answered:
        """Run a recipe, as the package has it, in the folder *work*."""
        bound = [str(part) for place, source in self.more.items() for part in (source, place)]
        inside = ["sh", f"/usr/share/doc/vks-pkcs11/recipes/{script.path.name}"]
        command = ["unshare", "--mount", "sh", "-c", ENTER, "sh", *map(str, (userland(), self.socket, work)), *bound]
        env = {
            "HOME": "/root",
            "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{JAVA_BIN}",
            "VKS_DEVICE": f"vhost-user:/run/{self.socket.name}",
        }
        done = subprocess.run([*command, "--", *inside], env=env, capture_output=True, check=False)
        return Answered(done.returncode, done.stdout, done.stderr.decode())
