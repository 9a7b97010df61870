# SPDX-License-Identifier: Apache-2.0
"""User-mode Linux from Debian's kernel source: a guest at native speed that is itself a vhost-user front-end.

Two builds: ``plain``, and ``kasan`` with the kernel's memory and locking checks.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qemu_images.cache import digest, entry, say
from qemu_images.kernel import BuildError, ModuleSource, run
from qemu_images.packages import HERE, fetch

FRAGMENTS = {"plain": ["uml.config", "inet.config"], "kasan": ["uml.config", "kasan.config"]}
# Never built here, and two thirds of the source by size. Their Kconfig files stay: others name them.
LEAVE_OUT = [
    *("Documentation/?*", "tools/testing", "tools/*.[ch]", "sound/*.[ch]", "*.dts", "*.dtsi", "arch/[!xu]*/*.[chS]"),
    *(f"drivers/{name}/*.[ch]" for name in ("gpu/drm", "infiniband", "media", "net/*", "scsi/*", "staging")),
]
# A guest process keeps its vector registers in room for AVX-512's; the host's kernel takes them back only whole, and with
# AMX there are 11008 bytes. Later kernels ask the host.
REGISTERS = Path("arch/x86/um/user-offsets.c")
REGISTER_BYTES = ("DEFINE_LONGS(HOST_FP_SIZE, 2696);", "DEFINE_LONGS(HOST_FP_SIZE, 12288);")


@dataclass(frozen=True)
class UserModeLinux:
    """A built kernel."""

    variant: str
    key: str
    linux: Path
    build_tree: Path

    @property
    def release(self) -> str:
        """What ``uname -r`` says in it."""
        return (self.build_tree / "include/config/kernel.release").read_text().strip()


def _source() -> tuple[Path, str]:
    """The kernel source, unpacked, and its key."""
    fetched = fetch("linux-source")
    (deb,) = fetched.debs.values()
    (name,) = fetched.debs

    def build(folder: Path) -> None:
        say(f"unpacking {name} {fetched.packages[0].version}")
        excludes = " ".join(f"--exclude='{name}/{pattern}'" for pattern in LEAVE_OUT)
        pipe = f"dpkg-deb --fsys-tarfile '{deb}' | tar -xO ./usr/src/{name}.tar.xz | tar -xJ --wildcards {excludes}"
        run(["bash", "-c", f"set -o pipefail; {pipe}"], cwd=folder)
        (folder / name / "Documentation").mkdir(exist_ok=True)
        (folder / name / "Documentation/Kconfig").touch()
        registers = folder / name / REGISTERS
        registers.write_text(registers.read_text().replace(*REGISTER_BYTES))

    key = digest(fetched.key, *LEAVE_OUT, *REGISTER_BYTES)
    return entry("linux-source", key, build) / name, key


def _configure(source: Path, folder: Path, fragment: str) -> None:
    """Write .config from *fragment*, everything else off.

    Raises:
        BuildError: Kconfig dropped a line of the fragment.
    """
    wanted = folder / "fragment"
    wanted.write_text(fragment)
    run(["make", "-s", "-C", source, "ARCH=um", f"O={folder}", "allnoconfig", f"KCONFIG_ALLCONFIG={wanted}"])
    have = set((folder / ".config").read_text().splitlines())
    lost = [
        line
        for line in fragment.splitlines()
        if line.startswith("CONFIG_") and not line.endswith("=n") and line not in have
    ]
    if lost:
        raise BuildError(f"the kernel does not take {', '.join(lost)}")


def _make(source: Path, folder: Path, variant: str) -> None:
    """Build, with a line of progress now and then; the whole output goes to build.log."""
    words = [
        "make",
        "-C",
        str(source),
        "ARCH=um",
        f"O={folder}",
        f"-j{os.cpu_count() or 1}",
        "linux",
        "modules_prepare",
    ]
    log = folder / "build.log"
    with (
        log.open("w") as out,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as make,
    ):
        assert make.stdout is not None  # noqa: S101  a pipe was asked for
        compiled = 0
        for line in make.stdout:
            out.write(line)
            if line.startswith("  CC "):
                compiled += 1
                if compiled % 100 == 0:
                    say(f"user-mode linux ({variant}): {compiled} of about 630 files")
    if make.returncode:
        tail = "".join(log.read_text().splitlines(keepends=True)[-30:])
        raise BuildError(f"user-mode linux ({variant}) does not build\n{tail}")


def user_mode_linux(variant: str = "plain") -> UserModeLinux:
    """The user-mode kernel of a variant, built if it is not in the cache."""
    fragment = "".join((HERE / "uml" / name).read_text() for name in FRAGMENTS[variant])
    source, source_key = _source()
    key = digest(source_key, fragment, *LEAVE_OUT)

    def build(folder: Path) -> None:
        say(f"building user-mode linux ({variant}), minutes")
        _configure(source, folder, fragment)
        _make(source, folder, variant)
        # Modules build against headers and scripts; the objects are two thirds of the tree.
        for path in folder.rglob("*"):
            if path.suffix in {".o", ".a", ".cmd"} and "scripts" not in path.parts and path.name != "module.lds":
                path.unlink()

    folder = entry("uml", key, build)
    return UserModeLinux(variant, key, folder / "linux", folder)


def uml_module(built_for: UserModeLinux, source: ModuleSource) -> list[Path]:
    """The .ko files of *source* for a user-mode kernel."""

    def build(folder: Path) -> None:
        say(f"building {source.folder.name} for user-mode linux ({built_for.variant})")
        place = source.copy(folder)
        # Module.symvers of vmlinux is not made for user-mode linux: unresolved symbols are found at load time.
        run(["make", "-C", built_for.build_tree, "ARCH=um", f"M={place}", "modules", "KBUILD_MODPOST_WARN=1"])

    folder = entry("uml-module", digest(built_for.key, source.key), build)
    return sorted(folder.glob(f"{source.folder.name}/*.ko"))
