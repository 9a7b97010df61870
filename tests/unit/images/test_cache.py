# SPDX-License-Identifier: Apache-2.0
"""Cached folders are complete or absent, and archives are the same for the same content."""

import os
import subprocess
from pathlib import Path

import pytest
from qemu_images.archive import write_archive
from qemu_images.cache import cache_root, digest, entry, prune, source_digest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_entry_is_built_once() -> None:
    """A key is built at its first use only."""
    calls: list[Path] = []
    assert entry("kind", "key", calls.append) == entry("kind", "key", calls.append) == calls[0]
    assert len(calls) == 1


def test_failed_build_leaves_nothing_behind() -> None:
    """After a failure the next use starts from an empty folder."""

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError

    def succeed(folder: Path) -> None:
        assert list(folder.iterdir()) == []

    with pytest.raises(RuntimeError):
        entry("kind", "key", fail)
    entry("kind", "key", succeed)


def test_prune_removes_what_is_not_used() -> None:
    """Entries in use stay; using one counts."""
    for name in ("old", "used", "new"):
        folder = entry("kind", name, lambda _: None)
        if name != "new":
            os.utime(folder / ".complete", (1, 1))
    entry("kind", "used", lambda _: None)
    assert prune(30) == 1
    assert sorted(path.name for path in (cache_root() / "kind").iterdir() if path.is_dir()) == ["new", "used"]


def test_keys_tell_parts_apart(tmp_path: Path) -> None:
    """No two recipes share a key by running into each other, and a changed source changes it."""
    assert digest("ab", "c") != digest("a", "bc")
    (tmp_path / "source.c").write_text("int one;")
    before = source_digest([tmp_path / "source.c"])
    (tmp_path / "source.c").write_text("int two;")
    assert source_digest([tmp_path / "source.c"]) != before


def test_archive_is_reproducible_and_readable(tmp_path: Path) -> None:
    """The cpio program reads it back: content, modes, links, ownership."""
    for name in ("first", "second"):
        root = tmp_path / name
        (root / "bin").mkdir(parents=True)
        (root / "bin/tool").write_bytes(b"#!tool")
        (root / "bin/tool").chmod(0o755 if name == "first" else 0o711)
        (root / "bin/alias").symlink_to("tool")
        (root / "text").write_text("x" * 4097)
        write_archive(root, tmp_path / f"{name}.cpio")
    archive = tmp_path / "first.cpio"
    assert archive.read_bytes() == (tmp_path / "second.cpio").read_bytes()
    listing = subprocess.run(["cpio", "-tvn", "-F", archive], capture_output=True, text=True, check=True)
    lines = [line.split() for line in listing.stdout.splitlines()]
    assert {words[-1]: (words[0], words[2], words[3], words[4]) for words in lines if "->" not in words} == {
        "bin": ("drwxr-xr-x", "0", "0", "0"),
        "bin/tool": ("-rwxr-xr-x", "0", "0", "6"),
        "text": ("-rw-r--r--", "0", "0", "4097"),
        "dev/console": ("crw-------", "0", "0", "5,"),
    }
    assert ["bin/alias", "->", "tool"] in [words[-3:] for words in lines]
