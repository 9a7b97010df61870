# SPDX-License-Identifier: Apache-2.0
"""Groups of packages, the lock file that records tested versions, and fetching.

A fetch takes exactly the locked packages, by checksum. Debian's mirrors drop superseded versions: a group of which one
is gone falls forward to the suite's present versions with a notice, and a fresh clone goes on working.
"""

import hashlib
import inspect
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qemu_images.apt import Apt, AptError, Package, WrongChecksum
from qemu_images.cache import cache_root, digest, entry, locked, say

HERE = Path(__file__).resolve().parent.parent
LOCK = HERE / "packages.lock"
HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# The packages that were tested. Written by `qemu-images/build lock`; columns: group package suite version sha256
"""


@dataclass(frozen=True)
class Group:
    """Packages that move together."""

    name: str
    release: str
    install: list[str]
    keep: str


@dataclass(frozen=True)
class Fetched:
    """The .deb files of a group, and a key over their contents."""

    key: str
    debs: dict[str, Path]
    packages: tuple[Package, ...]

    def version(self, pattern: str) -> str:
        """The version of the one package whose name matches *pattern*."""
        return next(package.version for package in self.packages if re.fullmatch(pattern, package.name))


def groups() -> dict[str, Group]:
    """All groups of packages.toml."""
    table = tomllib.loads((HERE / "packages.toml").read_text())
    return {name: Group(name, **fields) for name, fields in table.items()}


def read_lock(text: str) -> dict[str, list[Package]]:
    """Packages by group."""
    locks: dict[str, list[Package]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            group, *fields = line.split()
            locks.setdefault(group, []).append(Package(*fields))
    return locks


def _rows(group: str, packages: Sequence[Package]) -> str:
    return "".join(f"{group} {p.name} {p.suite} {p.version} {p.sha256}\n" for p in packages)


def resolve(group: Group, apt: Apt) -> list[Package]:
    """The suite's present versions."""
    found = [package for package in apt.resolve(group.install) if re.fullmatch(group.keep, package.name)]
    return sorted(found, key=lambda package: package.name)


def write_lock(names: Sequence[str]) -> None:
    """Move the named groups of the lock file (all, if none is named) to the present versions."""
    table = groups()
    locks = read_lock(LOCK.read_text()) if LOCK.exists() else {}
    apts = {group.release: Apt(group.release) for group in table.values()}
    for name in names or table:
        locks[name] = resolve(table[name], apts[table[name].release])
    LOCK.write_text(HEADER + "".join(_rows(name, locks[name]) for name in table if name in locks))


def _checksum(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _download(packages: Sequence[Package], apt: Apt, store: Path) -> None:
    """Bring *packages* into *store*, named by checksum.

    Raises:
        AptError: one cannot be had.
        WrongChecksum: one is not the file that its checksum names.
    """
    missing = [package for package in packages if not (store / f"{package.sha256}.deb").exists()]
    if not missing:
        return
    say(f"downloading {len(missing)} packages: {missing[0].name} {missing[0].version}{' ...' * (len(missing) > 1)}")
    with tempfile.TemporaryDirectory(dir=store) as folder:
        apt.download(missing, Path(folder))
        by_checksum = {_checksum(path): path for path in Path(folder).glob("*.deb")}
        for package in missing:
            if package.sha256 not in by_checksum:
                raise WrongChecksum(f"{package.name} {package.version} has another checksum than packages.lock says")
            by_checksum[package.sha256].rename(store / f"{package.sha256}.deb")


def _fall_forward(group: Group, locked_ones: Sequence[Package], apt: Apt, why: AptError) -> list[Package]:
    """The suite's present packages in place of those that cannot be had."""
    say(f"notice: {group.name}: {str(why).splitlines()[0]}")
    present = resolve(group, apt)
    versions = {package.name: package.version for package in locked_ones}
    for package in present:
        if versions.get(package.name) != package.version:
            say(f"notice: {group.name}: {package.name} {versions.get(package.name, '(new)')} -> {package.version}")
    say(f"notice: {group.name} falls forward; `qemu-images/build lock {group.name}` records it")
    return present


def fetch(name: str) -> Fetched:
    """The packages of a group: the locked ones if the mirror still has them."""
    group = groups()[name]
    wanted = read_lock(LOCK.read_text())[name]
    store = cache_root() / "debs"
    apt = Apt(group.release)
    # What a vanished lock was replaced by, so that the notice and the search come once, not on every run.
    forward = store / f"{name}-{digest(*(package.sha256 for package in wanted))}.forward"
    with locked(store / ".lock"):
        if forward.exists():
            wanted = read_lock(forward.read_text())[name]
        try:
            _download(wanted, apt, store)
        except WrongChecksum:
            raise
        except AptError as error:
            wanted = _fall_forward(group, wanted, apt, error)
            _download(wanted, apt, store)
            forward.write_text(_rows(name, wanted))
    debs = {package.name: store / f"{package.sha256}.deb" for package in wanted}
    return Fetched(digest(*sorted(package.sha256 for package in wanted)), debs, tuple(wanted))


def unpack(name: str, excludes: Sequence[str] = (), fix: Callable[[Path], None] | None = None) -> tuple[Path, str]:
    """A group's files in one folder, and its key.

    Args:
        name: the group.
        excludes: tar patterns of what is left out.
        fix: changes the folder after unpacking.
    """
    fetched = fetch(name)

    def build(folder: Path) -> None:
        for deb in fetched.debs.values():
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as reader:
                words = [f"--exclude={pattern}" for pattern in excludes]
                subprocess.run(["tar", "-x", "-C", folder, "--no-same-owner", *words], stdin=reader.stdout, check=True)
            if reader.returncode:
                raise AptError(f"{deb} cannot be unpacked")
        # Debian 12 packages still ship files in /bin and /lib; a guest or loader wants one tree.
        for part in ("bin", "sbin", "lib", "lib64"):
            if (folder / part).is_dir() and not (folder / part).is_symlink() and (folder / "usr").is_dir():
                shutil.copytree(folder / part, folder / "usr" / part, symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(folder / part)
                (folder / part).symlink_to(f"usr/{part}")
        if fix:
            fix(folder)

    made_by = digest(*excludes, *([inspect.getsource(fix)] if fix else []))
    return entry(f"tree-{name}", fetched.key + made_by[:4], build), fetched.key
