# SPDX-License-Identifier: Apache-2.0
"""The C part built in a Debian 13, with the OpenSSL 3.5 that is there, and made to run on this machine.

Programs, C tests and the benchmark's loop find their loader and libraries in that Debian's folder, so that they are started as any other and
what runs is Debian 13's C library and libcrypto.
"""

import shutil
import subprocess
from pathlib import Path

from qemu_images.cache import digest, entry, say, source_digest
from qemu_images.debian_root import debian_root

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = ("meson.build", "meson.options", "cext", "guest_driver", "tests/c", "tests/bench", "vmm_keystore")
PACKAGES = (
    "gcc",
    "libargon2-dev",
    "libc6-dev",
    "libcryptsetup-dev",
    "libgfshare-dev",
    "libjson-c-dev",
    "libp11-kit-dev",
    "libseccomp-dev",
    "libssl-dev",
    "libtss2-dev",
    "meson",
    "openssl",
    "patchelf",
    "pkgconf",
)
LIBRARIES = "usr/lib/x86_64-linux-gnu"
C_TESTS = ("key", "operation", "registers", "secret_memory", "request", "snapshot_table", "audit_chain")
BUILD = """\
set -e
meson setup -Dbuildtype=release -Dextension=false build >setup.log 2>&1 || { cat setup.log; exit 1; }
ninja -C build --quiet >build.log 2>&1 || { cat build.log; exit 1; }
mkdir out
find build/cext -type f -perm -u+x -name 'vks-*' -exec cp -t out {} +
for name in %(tests)s; do cp build/tests/c/test_$name out; done
cp build/tests/bench/vks-bench-raw out
for program in out/*; do
    patchelf --set-interpreter %(root)s/usr/lib64/ld-linux-x86-64.so.2 --set-rpath %(root)s/%(libraries)s $program
done
"""


def debian13_programs() -> Path:
    """The folder with all of them; built once for a state of the sources. Needs root."""
    root = debian_root(PACKAGES, release="trixie")
    sources = [PROJECT / name for name in SOURCES]
    script = BUILD % {"tests": " ".join(C_TESTS), "root": root, "libraries": LIBRARIES}
    key = digest(str(root), script, source_digest(sources))

    def build(folder: Path) -> None:
        say("the C part in a Debian 13")
        inside = root / "var/tmp" / key
        shutil.rmtree(inside, ignore_errors=True)
        try:
            for source, name in zip(sources, SOURCES, strict=True):
                (inside / name).parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, inside / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(source, inside / name)
            command = ["chroot", str(root), "sh", "-c", f"cd /var/tmp/{key} && {script}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"no build in a Debian 13: {done.stdout[-4000:]}{done.stderr[-2000:]}")
            shutil.copytree(inside / "out", folder / "programs")
        finally:
            shutil.rmtree(inside, ignore_errors=True)

    return entry("debian13", key, build) / "programs"
