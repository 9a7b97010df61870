# SPDX-License-Identifier: Apache-2.0
"""The lock file decides what is fetched; a mirror that moved on does not break a fresh clone."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from qemu_images import apt, cache, packages
from qemu_images.apt import AptError, Package, WrongChecksum

OLD, NEW = b"the tested one", b"the present one"


def package(content: bytes, version: str) -> Package:
    return Package("tool", "bookworm", version, hashlib.sha256(content).hexdigest())


class FakeApt:
    """A mirror that has one version of one package."""

    downloads = 0
    has = package(NEW, "2")
    gives = NEW

    def __init__(self, release: str) -> None:
        assert release == "bookworm"

    def resolve(self, wanted: Sequence[str]) -> list[Package]:
        """What it has."""
        assert wanted == ["tool"]
        return [self.has, Package("a-dependency", "bookworm", "1", "0" * 64)]

    def download(self, wanted: Sequence[Package], folder: Path) -> None:
        """Its file, or the error of apt."""
        FakeApt.downloads += 1
        for one in wanted:
            if one.version != self.has.version:
                raise AptError(f"Version '{one.version}' for '{one.name}' was not found")
            (folder / "tool.deb").write_bytes(self.gives)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a lock file, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(packages, "HERE", tmp_path)
    monkeypatch.setattr(packages, "LOCK", tmp_path / "packages.lock")
    monkeypatch.setattr(packages, "Apt", FakeApt)
    FakeApt.downloads = 0
    (tmp_path / "packages.toml").write_text('[group]\nrelease = "bookworm"\ninstall = ["tool"]\nkeep = "tool"\n')
    return tmp_path


def lock(place: Path, one: Package) -> None:
    (place / "packages.lock").write_text(f"# head\ngroup {one.name} {one.suite} {one.version} {one.sha256}\n")


def test_locked_package_is_fetched_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the lock names is taken, and then comes from the cache."""
    lock(place, package(NEW, "2"))
    for _ in range(2):
        assert packages.fetch("group").debs["tool"].read_bytes() == NEW
    assert FakeApt.downloads == 1
    assert "notice" not in capsys.readouterr().err


def test_vanished_version_falls_forward(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The suite's present version takes its place, with a notice; the lock file stays as it is."""
    lock(place, package(OLD, "1"))
    before = (place / "packages.lock").read_bytes()
    fetched = packages.fetch("group")
    assert fetched.packages == (package(NEW, "2"),)
    assert "tool 1 -> 2" in capsys.readouterr().err
    assert (place / "packages.lock").read_bytes() == before
    assert packages.fetch("group") == fetched
    assert capsys.readouterr().err == ""
    assert FakeApt.downloads == 2


def test_other_content_under_the_same_version_is_refused(place: Path) -> None:
    """A file that is not what was tested is no reason to fall forward."""
    lock(place, package(OLD, "2"))
    with pytest.raises(WrongChecksum, match="tool 2 has another checksum"):
        packages.fetch("group")
    assert list((cache.cache_root() / "debs").glob("*.deb")) == []


def test_lock_is_written_from_what_the_suite_has(place: Path) -> None:
    """What ``lock`` writes is what ``fetch`` reads."""
    packages.write_lock([])
    assert packages.read_lock((place / "packages.lock").read_text()) == {"group": [package(NEW, "2")]}


DEB822 = """\
Types: deb
URIs: http://mirror/debian
Suites: bookworm bookworm-updates

# a comment
Types: deb
URIs: http://mirror/security
Suites: bookworm-security
"""
ONE_LINE = """\
deb [arch=amd64] http://mirror/debian bookworm main
# deb http://old/debian bookworm main
deb http://mirror/security bookworm-security main
"""


@pytest.mark.parametrize(("name", "text"), [("debian.sources", DEB822), ("debian.list", ONE_LINE)])
def test_mirror_is_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Both formats of apt sources name the mirror; other repositories are not taken for Debian's."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "a.list").write_text("deb http://other/tool stable-tool main\n")
    (tmp_path / "sources.list.d" / name).write_text(text)
    monkeypatch.setattr(apt, "SOURCES", tmp_path)
    assert apt.mirrors() == ("http://mirror/debian", "http://mirror/security")


def test_machine_without_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is missing."""
    monkeypatch.setattr(apt, "SOURCES", tmp_path)
    with pytest.raises(AptError, match=r"no Debian mirror in .*\nhint: "):
        apt.mirrors()
