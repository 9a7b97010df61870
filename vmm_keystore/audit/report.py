# SPDX-License-Identifier: Apache-2.0
"""Counting what is in the log: operations, bytes and refusals by whatever members of a line are asked for."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from vmm_keystore.audit.line import parse_line
from vmm_keystore.audit.segments import list_segments, read_lines, segment_sizes
from vmm_keystore.audit.selection import Selection
from vmm_keystore.errors import InvalidRequestError

MEMBERS = ("guest", "key", "op", "status", "mechanism", "uid", "version")
_USE = b'"kind":"use"'

Group = tuple[Any, ...]
Counts = tuple[Counter[Group], Counter[Group], Counter[Group]]


def count_uses(
    directory: Path,
    names: Sequence[str],
    selection: Selection,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[dict[str, Any]]:
    """Count the uses of keys, the most first; segments are read side by side.

    Args:
        directory: the audit folder, or a copy.
        names: members of a line to count by, of ``MEMBERS``.
        selection: which lines.
        progress: called with bytes of files done, and in all.

    Raises:
        InvalidRequestError: a name is not among ``MEMBERS``.
    """
    _check_names(names)
    segments = list_segments(directory)
    paths, sizes = [segment.path for segment in segments], segment_sizes(segments)
    total: Counts = (Counter(), Counter(), Counter())
    done = 0
    for counts, size in zip(_count_all(paths, tuple(names), selection), sizes, strict=True):
        for sum_, part in zip(total, counts, strict=True):
            sum_.update(part)
        done += size
        progress(done, sum(sizes))
    return _rows(names, total)


def count_lines(lines: Iterable[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Count the uses of keys among *lines*, as ``count_uses`` does.

    Raises:
        InvalidRequestError: a name is not among ``MEMBERS``; no line was asked for then.
    """
    _check_names(names)
    total: Counts = (Counter(), Counter(), Counter())
    for fields in lines:
        if fields["kind"] == "use":
            _add(total, fields, names)
    return _rows(names, total)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if name not in MEMBERS:
            raise InvalidRequestError(f"there is nothing to count by '{name}'", f"it can be {', '.join(MEMBERS)}")


def _rows(names: Sequence[str], total: Counts) -> list[dict[str, Any]]:
    operations, input_bytes, refused = total
    return [
        {
            **dict(zip(names, group, strict=True)),
            "operations": count,
            "bytes": input_bytes[group],
            "refused": refused[group],
        }
        for group, count in operations.most_common()
    ]


def _count_all(paths: Sequence[Path], names: tuple[str, ...], selection: Selection) -> Iterator[Counts]:
    if len(paths) < 2:
        yield from (_count(path, names, selection) for path in paths)
        return
    # Reading JSON holds the interpreter: processes, not threads.
    with ProcessPoolExecutor(min(len(paths), os.cpu_count() or 1), get_context("forkserver")) as executor:
        yield from executor.map(_count, paths, [names] * len(paths), [selection] * len(paths))


def _count(path: Path, names: tuple[str, ...], selection: Selection) -> Counts:
    counts: Counts = (Counter(), Counter(), Counter())
    for line, _ in read_lines(path):
        fields = parse_line(line) if _USE in line else None
        if fields is not None and selection.matches(fields):
            _add(counts, fields, names)
    return counts


def _add(counts: Counts, fields: Mapping[str, Any], names: Sequence[str]) -> None:
    operations, input_bytes, refused = counts
    group = tuple(fields.get(name) for name in names)
    operations[group] += fields["count"]
    input_bytes[group] += fields["bytes"]
    if fields["status"] != "ok":
        refused[group] += fields["count"]
