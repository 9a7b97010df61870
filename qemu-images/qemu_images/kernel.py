# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels: the uncompressed image, the modules, and building a module against the headers."""

import lzma
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qemu_images.cache import digest, entry, say, source_digest
from qemu_images.kernel_tools import in_kernel_tools
from qemu_images.packages import groups, unpack

FLAVOURS = ("cloud", "cloud-6.12", "cloud-7.3", "generic")
COMPRESSIONS = {b"\xfd7zXZ\0": "xz", b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}


class BuildError(Exception):
    """A compiler or make run failed; the text carries the end of its output."""


@dataclass(frozen=True)
class ModuleSource:
    """An out-of-tree module: the folder with its Kbuild, and folders next to it that it includes."""

    folder: Path
    beside: tuple[Path, ...] = ()

    @property
    def key(self) -> str:
        """Changes with any source file."""
        return source_digest([self.folder, *self.beside])

    def copy(self, to: Path) -> Path:
        """Copy the sources, so that building leaves no file in them; the module's folder there."""
        for part in (self.folder, *self.beside):
            shutil.copytree(part, to / part.name)
        return to / self.folder.name


@dataclass(frozen=True)
class Kernel:
    """One of Debian's kernels, unpacked."""

    flavour: str
    tree: Path
    key: str
    release: str

    @property
    def modules(self) -> Path:
        """The folder that holds modules.builtin and kernel/."""
        return self.tree / "usr/lib/modules" / self.release

    @property
    def image(self) -> Path:
        """The bzImage; from 7.3 on it is among the modules."""
        found = self.tree / "boot" / f"vmlinuz-{self.release}"
        return found if found.exists() else self.modules / "vmlinuz"

    @property
    def headers(self) -> Path:
        """What out-of-tree modules build against."""
        return self.tree / "usr/src" / f"linux-headers-{self.release}"

    @property
    def builtin(self) -> frozenset[str]:
        """Names of what could have been a module."""
        lines = (self.modules / "modules.builtin").read_text().splitlines()
        return frozenset(_name(Path(line)) for line in lines)


def run(words: list[str | Path], cwd: Path | None = None) -> None:
    """Run a build step.

    Raises:
        BuildError: it failed.
    """
    done = subprocess.run(
        words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-40:])
        raise BuildError(f"{' '.join(map(str, words))}: exit status {done.returncode}\n{tail}")


def _name(path: Path) -> str:
    """A module's name, from the place of its file."""
    return path.name.partition(".")[0].replace("-", "_")


def _point_headers_at(tree: Path) -> None:
    """Debian's header Makefiles name /usr/src and /usr/lib; let them name the unpacked tree."""
    for makefile in (tree / "usr/src").glob("linux-headers-*/Makefile"):
        text = makefile.read_text()
        makefile.write_text(text.replace("/usr/src/", f"{tree}/usr/src/"))


def kernel(flavour: str) -> Kernel:
    """Debian's kernel of a flavour, which is the name of its package group."""
    tree, key = unpack(flavour, ["./usr/share/*"], _point_headers_at)
    release = next((tree / "usr/lib/modules").iterdir()).name
    return Kernel(flavour, tree, key, release)


def _decompress(image: bytes) -> bytes:
    """The ELF file inside a bzImage. Source: Documentation/arch/x86/boot.rst, payload_offset."""
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length]
    for magic, program in COMPRESSIONS.items():
        if payload.startswith(magic):
            # The tools complain of the size word behind the stream, after writing all of it.
            done = subprocess.run([program, "-dc"], input=payload, capture_output=True, check=False)
            if done.stdout[:4] == b"\x7fELF" and len(done.stdout) == int.from_bytes(payload[-4:], "little"):
                return done.stdout
            raise BuildError(f"{program} did not decompress the kernel")
    raise BuildError(f"unknown kernel compression {payload[:6].hex()}")


def vmlinux(built_for: Kernel) -> Path:
    """The kernel as an uncompressed ELF file, which QEMU enters by PVH without a decompressor."""

    def build(folder: Path) -> None:
        say(f"extracting vmlinux {built_for.release}")
        (folder / "vmlinux").write_bytes(_decompress(built_for.image.read_bytes()))

    return entry("vmlinux", built_for.key, build) / "vmlinux"


def module(built_for: Kernel, source: ModuleSource) -> list[Path]:
    """The .ko files of *source* for a Debian kernel, stripped of debug information."""

    def build(folder: Path) -> None:
        say(f"building {source.folder.name} for {built_for.release}")
        place = source.copy(folder)
        words: list[str | Path] = ["make", "-C", built_for.headers, f"M={place}", "modules"]
        if groups()[built_for.flavour].release == "bookworm":
            compiler = next((name for name in ("gcc-12", "gcc") if shutil.which(name)), "gcc")
            run([*words, f"CC={compiler}"])
        else:
            run(in_kernel_tools([*words, "DEB_BUILD_ARCH=amd64"]))
        for built in place.glob("*.ko"):
            run(["strip", "--strip-debug", built])

    folder = entry("module", digest(built_for.key, source.key), build)
    return sorted(folder.glob(f"{source.folder.name}/*.ko"))


def distribution_modules(built_for: Kernel, names: list[str]) -> list[Path]:
    """The kernel's own modules *names* with all they depend on, uncompressed; what is built in has none."""

    def build(folder: Path) -> None:
        paths = {_name(path): path for path in built_for.modules.rglob("*.ko*")}
        found: set[str] = set()
        queue = [name.replace("-", "_") for name in names]
        while queue:
            name = queue.pop()
            if name in found or name in built_for.builtin:
                continue
            found.add(name)
            data = paths[name].read_bytes()
            data = lzma.decompress(data) if paths[name].suffix == ".xz" else data
            (folder / f"{name}.ko").write_bytes(data)
            depends = re.search(rb"\0depends=([^\0]*)\0", data)
            queue += [part.decode().replace("-", "_") for part in depends[1].split(b",") if part] if depends else []

    return sorted(entry("distribution-modules", digest(built_for.key, *sorted(names)), build).glob("*.ko"))
