# SPDX-License-Identifier: Apache-2.0
"""The user's cache: one folder per kind and key, complete or absent.

A folder is built in place, because kernel build trees carry absolute paths; a marker file written last says that it is
complete. It knows nothing of what it keeps.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def say(text: str) -> None:
    """Report progress; stdout is left to results."""
    print(f"images: {text}", file=sys.stderr, flush=True)


def cache_root() -> Path:
    """The folder of all cached things, made if it is missing."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(base) / "vmm-keystore"
    root.mkdir(parents=True, exist_ok=True)
    return root


def digest(*parts: str | bytes) -> str:
    """A short key over *parts*, none of which can run into its neighbour."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()[:20]


def source_digest(paths: Iterable[Path]) -> str:
    """A key over the names and contents of files and folders."""
    parts: list[str | bytes] = []
    for top in paths:
        files = sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
        for file in files:
            parts += [str(file.relative_to(top.parent)), file.read_bytes()]
    return digest(*parts)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold *path* as a lock among processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder *kind*/*key*, built by *build* unless it is there and complete.

    Args:
        kind: what sort of thing, the upper folder.
        key: what it is made of; a changed recipe must change it.
        build: fills the empty folder it is given; an exception leaves no entry behind.
    """
    folder = cache_root() / kind / key
    marker = folder / ".complete"
    if marker.exists():
        marker.touch()
        return folder
    with locked(folder.with_name(f".{key}.lock")):
        if not marker.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            build(folder)
            marker.touch()
    return folder


def prune(days: int) -> int:
    """Remove entries that were not used for so many *days*; how many there were."""
    oldest = time.time() - days * 86400
    removed = 0
    for marker in cache_root().glob("*/*/.complete"):
        if marker.stat().st_mtime < oldest:
            marker.unlink()  # first, so that an interrupted removal leaves no entry that looks complete
            shutil.rmtree(marker.parent)
            removed += 1
    return removed
