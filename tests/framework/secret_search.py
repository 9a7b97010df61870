# SPDX-License-Identifier: Apache-2.0
"""Searches memory, files and processes for known secrets.

Every window of eight bytes of every form of a secret goes into one set; memory is read as aligned 64-bit words and each
word is looked up. A run of 15 bytes of a secret holds such a word wherever it starts, so one pass at some 100 MB a
second finds whole keys as well as torn ones, whatever their number. A word that hits is then extended to the run it is
part of, and short runs of text forms are dropped as chance.

Knows no vault. Whoever searches must show that the search can find: plant a control where you search.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from framework.secret_forms import Secret

WORD_BYTES = 8
CHUNK_BYTES = 1 << 20
# Fewer distinct bytes in a window are padding or constants, not part of a random secret.
DISTINCT_BYTES_MIN = 4


@dataclass(frozen=True)
class Hit:
    """A run of bytes of a secret that was found."""

    secret: str
    form: str
    place: str
    offset: int
    run_bytes: int

    def __str__(self) -> str:
        return f"{self.run_bytes} bytes of {self.secret} ({self.form}) at {self.place}+{self.offset:#x}"


@dataclass
class Report:
    """What a search saw."""

    place: str
    searched_bytes: int = 0
    unreadable_bytes: int = 0
    hits: list[Hit] = field(default_factory=list)

    def of(self, secrets: Iterable[Secret]) -> list[Hit]:
        """The hits of *secrets*."""
        names = {secret.name for secret in secrets}
        return [hit for hit in self.hits if hit.secret in names]


class SecretSearch:
    """A search for a fixed set of secrets."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._sources: dict[int, list[tuple[Secret, str, int]]] = {}
        for secret in secrets:
            for name, form in secret.forms.items():
                self._add(secret, name, form)
        self._words = frozenset(self._sources)

    def _add(self, secret: Secret, name: str, form: bytes) -> None:
        if len(form) < 2 * WORD_BYTES - 1:
            raise ValueError(f"form {name} of {secret.name} is too short to be found at every alignment")
        for start in range(len(form) - WORD_BYTES + 1):
            window = form[start : start + WORD_BYTES]
            if len(set(window)) >= DISTINCT_BYTES_MIN:
                self._sources.setdefault(int.from_bytes(window, "little"), []).append((secret, name, start))

    def in_bytes(self, data: bytes | mmap.mmap, place: str) -> Report:
        """Search *data*."""
        report = Report(place)
        view = memoryview(data)
        try:
            for start in range(0, len(view), CHUNK_BYTES):
                self._chunk(view, start, report)
        finally:
            view.release()
        return report

    def _chunk(self, view: memoryview, start: int, report: Report) -> None:
        chunk = view[start : start + CHUNK_BYTES]
        report.searched_bytes += len(chunk)
        whole = len(chunk) - len(chunk) % WORD_BYTES
        words = chunk[:whole].cast("Q")
        tail = bytes(chunk[whole:])
        if self._words.isdisjoint(words) and not tail:
            return
        found = [index * WORD_BYTES for index, word in enumerate(words) if word in self._words]
        if tail and int.from_bytes(tail.ljust(WORD_BYTES, b"\0"), "little") in self._words:
            found.append(whole)
        report.hits += self._hits(view, [start + offset for offset in found], report.place)

    def _hits(self, view: memoryview, offsets: Iterable[int], place: str) -> Iterator[Hit]:
        end_of_last = 0
        for offset in offsets:
            if offset < end_of_last:
                continue
            word = bytes(view[offset : offset + WORD_BYTES]).ljust(WORD_BYTES, b"\0")
            runs = [
                (*_run(view, offset, secret.forms[name], start), secret, name)
                for secret, name, start in self._sources[int.from_bytes(word, "little")]
            ]
            first, end_of_last, secret, name = max(runs, key=lambda run: run[1] - run[0])
            if end_of_last - first >= secret.run_bytes_min(name):
                yield Hit(secret.name, name, place, first, end_of_last - first)

    def in_file(self, path: Path, place: str = "") -> Report:
        """Search a file as it is now."""
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return Report(place or str(path))
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
                return self.in_bytes(data, place or str(path))

    def in_tree(self, folder: Path, place: str = "") -> Report:
        """Search every regular file under *folder*."""
        total = Report(place or str(folder))
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                _join(total, self.in_file(path))
        return total

    def in_process(self, pid: int, place: str = "") -> Report:
        """Search all memory of a process that the kernel lets root read; what it does not is counted."""
        total = Report(place or f"process {pid}")
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        try:
            for start, end, name in _regions(pid):
                self._region(memory, start, end, name, total)
        finally:
            os.close(memory)
        return total

    def _region(self, memory: int, start: int, end: int, name: str, total: Report) -> None:
        at = start
        while at < end:
            try:
                data = os.pread(memory, min(CHUNK_BYTES, end - at), at)
            except OSError:  # EIO: secret memory, device memory, a page behind the end of a file
                data = b""
            if not data:
                total.unreadable_bytes += mmap.PAGESIZE
                at += mmap.PAGESIZE
                continue
            _join(total, self.in_bytes(data, f"{total.place} {name or 'anonymous'} {at:#x}"))
            at += len(data)


def _join(total: Report, part: Report) -> None:
    total.searched_bytes += part.searched_bytes
    total.unreadable_bytes += part.unreadable_bytes
    total.hits += part.hits


def _run(view: memoryview, offset: int, form: bytes, start: int) -> tuple[int, int]:
    """Extend a word that hit to the run of *form* around it; first and one past the last offset in *view*."""
    first, at = offset, start
    while first > 0 and at > 0 and view[first - 1] == form[at - 1]:
        first, at = first - 1, at - 1
    last, at = offset, start
    while last < len(view) and at < len(form) and view[last] == form[at]:
        last, at = last + 1, at + 1
    return first, last


def _regions(pid: int) -> Iterator[tuple[int, int, str]]:
    """Readable and unreadable mappings of a process: start, end, name."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, _permissions, _offset, _device, _inode, *name = line.split(maxsplit=5)
        if name and name[0] in {"[vvar]", "[vsyscall]", "[vvar_vclock]"}:
            continue  # the kernel's own, the same in every process
        start, end = (int(text, 16) for text in span.split("-"))
        yield start, end, name[0] if name else ""
