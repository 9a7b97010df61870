# SPDX-License-Identifier: Apache-2.0
"""Segment files: their names and their lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"audit-(\d{16})\.jsonl")


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of consecutive lines; the first has number *first_seq*."""

    path: Path
    first_seq: int


def segment_path(directory: Path, first_seq: int) -> Path:
    """Name the segment that starts with line *first_seq*."""
    return directory / f"audit-{first_seq:016}.jsonl"


def list_segments(directory: Path) -> list[Segment]:
    """Every segment, oldest first; other files are not looked at."""
    found = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(Segment(path, int(match[1])))
    return sorted(found, key=lambda segment: segment.first_seq)


def read_lines(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Lines from *offset* on with the offset behind each; only the last may lack its newline."""
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            offset += len(line)
            yield line, offset
