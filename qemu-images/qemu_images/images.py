# SPDX-License-Identifier: Apache-2.0
"""Initramfs images: busybox, the agent, kernel modules, and what a test wants in the guest.

An image is ready when its agent says so; no init system, no disk.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qemu_images.archive import write_archive
from qemu_images.cache import digest, entry, say, source_digest
from qemu_images.kernel import ModuleSource, distribution_modules, kernel, module, run, vmlinux
from qemu_images.packages import HERE, fetch, unpack
from qemu_images.uml import uml_module, user_mode_linux

# What the agent's port needs; virtio_blk because the next thing anyone wants is a disk.
TRANSPORT = ["virtio_pci", "virtio_console", "virtio_blk"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


@dataclass(frozen=True)
class Content:
    """What goes into an image besides the base.

    Attributes:
        modules: out-of-tree modules, built for the image's kernel.
        files: guest path (absolute) to host file; an executable stays one.
        kernel_modules: names of the distribution's modules, with what they depend on.
        load: modules that init loads, in order, after the transport.
        udev: with Debian's udev and kmod, so that the real device manager decides which driver is loaded;
            nothing is loaded by name then but what modules-load.d names.
        groups: system groups that udev rules name.
        packages: groups of Debian packages that are unpacked into it.
    """

    modules: tuple[ModuleSource, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    kernel_modules: tuple[str, ...] = ()
    load: tuple[str, ...] = ()
    udev: bool = False
    groups: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Changes with any content."""
        files = [part for path, source in sorted(self.files.items()) for part in (path, source_digest([source]))]
        return digest(
            *(m.key for m in self.modules),
            *files,
            *self.kernel_modules,
            "|",
            *self.load,
            "|",
            *self.groups,
            str(self.udev),
            *(part for name in self.packages for part in (name, fetch(name).key)),
        )


@dataclass(frozen=True)
class Image:
    """What boots: a kernel (vmlinux, or the user-mode program) and its initramfs."""

    kernel: Path
    initrd: Path
    release: str


def _compiled(name: str, sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str]) -> Path:
    def build(folder: Path) -> None:
        say(f"building {name}")
        files = [file for path in sources for file in (sorted(path.glob("*.c")) if path.is_dir() else [path])]
        folders = [f"-I{path}" for path in include]
        run(["cc", "-std=gnu11", "-O2", *folders, *flags, "-o", folder / name, *files])

    return entry("program", digest(name, source_digest([*sources, *include]), *flags), build) / name


def program(name: str, sources: Sequence[Path], include: Sequence[Path] = (), flags: Sequence[str] = ()) -> Path:
    """A static program, for guests that have no C library.

    Args:
        name: of the program.
        sources: C files, or folders of them.
        include: folders for the compiler to look for headers in.
        flags: further words for the compiler.
    """
    return _compiled(name, sources, include, ["-static", *flags])


def shared_library(name: str, sources: Sequence[Path], include: Sequence[Path] = (), flags: Sequence[str] = ()) -> Path:
    """A shared library, for guests with this machine's C library or a newer one; arguments as for ``program``."""
    return _compiled(name, sources, include, ["-shared", "-fPIC", *flags])


def agent() -> Path:
    """The guest agent."""
    return program("agent", [HERE / "agent"], flags=WARNINGS)


def _base_key() -> str:
    """Changes with what ``_base`` puts into every image."""
    recipe = source_digest([HERE / "guest", Path(__file__)])
    return digest(recipe, str(agent()), unpack("busybox", ["./usr/share/*"])[1])


def _base(root: Path, content: Content) -> None:
    """Busybox under all its names, init, agent, and the extra files."""
    for name in ("dev", "proc", "sys", "tmp", "run", "root", "etc", "sbin", "usr/bin", "usr/lib", "usr/sbin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, target in (("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")):
        if not (root / name).exists():
            (root / name).symlink_to(target)
    busybox, _ = unpack("busybox", ["./usr/share/*"])
    shutil.copy2(busybox / "bin/busybox", root / "usr/bin/busybox")
    applets = subprocess.run([root / "usr/bin/busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for applet in applets.split():
        # Debian's own program, where the image has it, comes before busybox's.
        if not any((root / folder / applet).exists() for folder in ("usr/bin", "usr/sbin", "sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    groups = {"root": 0, "nogroup": 65534} | {name: 900 + number for number, name in enumerate(content.groups)}
    (root / "etc/group").write_text("".join(f"{name}:x:{number}:\n" for name, number in groups.items()))
    shutil.copy2(HERE / "guest/init", root / "init")
    shutil.copy2(agent(), root / "sbin/agent")
    for path, source in content.files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place)


def _install_modules(
    root: Path, release: str, modules: Sequence[Path], load: Sequence[str], indexes: Path | None = None
) -> None:
    """Put modules where modprobe finds them, with its indexes.

    Args:
        root: the image.
        release: of the kernel.
        modules: their files.
        load: names for init to load, built in or not.
        indexes: the folder that says what is built in; nothing is, if there is none.
    """
    folder = root / "usr/lib/modules" / release
    folder.mkdir(parents=True)
    for path in modules:
        shutil.copy2(path, folder / path.name)
    (folder / "modules.order").touch()
    for index in ("modules.builtin", "modules.builtin.modinfo"):
        if indexes and (indexes / index).exists():
            shutil.copy2(indexes / index, folder / index)
        else:
            (folder / index).touch()
    run(["depmod", "-b", root, release])
    (root / "etc/modules").write_text("".join(f"{name}\n" for name in load))


def _packages(root: Path, group: str) -> None:
    """The files of a group of packages, without what is large and of no use here."""
    tree, _ = unpack(group, ["./usr/share/*", "./lib/udev/hwdb.d/*", "./usr/lib/udev/hwdb.d/*", "*/gconv/*"])
    shutil.copytree(tree, root, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".complete"))


def qemu_image(flavour: str, content: Content) -> Image:
    """An image for QEMU with Debian's kernel of a flavour."""
    built_for = kernel(flavour)
    key = digest(built_for.key, content.key, _base_key())

    def build(folder: Path) -> None:
        say(f"packing the {flavour} image")
        root = folder / "root"
        root.mkdir()
        for group in content.packages:
            _packages(root, group)
        if content.udev:
            _packages(root, "udev")
            shutil.copy2(HERE / "guest/start-udev", root / "etc/start-udev")
        _base(root, content)
        modules = distribution_modules(built_for, [*TRANSPORT, *content.kernel_modules])
        for source in content.modules:
            modules += module(built_for, source)
        load = [] if content.udev else [*TRANSPORT, *content.load]
        _install_modules(root, built_for.release, modules, load, built_for.modules)
        write_archive(root, folder / "initrd")
        shutil.rmtree(root)

    return Image(vmlinux(built_for), entry("image", key, build) / "initrd", built_for.release)


def uml_image(variant: str, content: Content) -> Image:
    """An image for user-mode Linux (``plain``, ``kasan``); the distribution's modules do not exist there."""
    built_for = user_mode_linux(variant)
    key = digest(built_for.key, content.key, _base_key())

    def build(folder: Path) -> None:
        say(f"packing the user-mode linux image ({variant})")
        root = folder / "root"
        root.mkdir()
        _base(root, content)
        modules = [path for source in content.modules for path in uml_module(built_for, source)]
        _install_modules(root, built_for.release, modules, content.load)
        write_archive(root, folder / "initrd")
        shutil.rmtree(root)

    return Image(built_for.linux, entry("image", key, build) / "initrd", built_for.release)
