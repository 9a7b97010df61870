# SPDX-License-Identifier: Apache-2.0
"""Segment files: their names, their lines, and their compression once they are closed."""

import errno
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_NAME = re.compile(r"audit-(\d{16})\.jsonl(\.zst)?")
_COMPRESSED = ".zst"
_UNFINISHED = ".new"
_CHUNK_BYTES = 1 << 20
_LEVEL = 3
"""Repeated words take most of a line: higher levels cost much and gain little."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of consecutive lines; the first has number *first_seq*."""

    path: Path
    first_seq: int

    @property
    def compressed(self) -> bool:
        """It is closed and will not change any more."""
        return self.path.suffix == _COMPRESSED


def segment_path(directory: Path, first_seq: int) -> Path:
    """Name the segment that starts with line *first_seq*."""
    return directory / f"audit-{first_seq:016}.jsonl"


def list_segments(directory: Path) -> list[Segment]:
    """Every segment, oldest first; other files are not looked at.

    Of a segment that lies there twice, because its compression did not come to its end, the uncompressed file counts.
    """
    found: dict[int, Segment] = {}
    # Backwards, so that the uncompressed name of two comes last.
    for path in sorted(directory.iterdir(), reverse=True):
        match = _NAME.fullmatch(path.name)
        if match:
            first_seq = int(match[1])
            found[first_seq] = Segment(path, first_seq)
    return [found[first_seq] for first_seq in sorted(found)]


@contextmanager
def open_segment(path: Path, offset: int = 0) -> Iterator[IO[bytes]]:
    """Open a segment for reading its lines from *offset* of their text on, compressed or not.

    One that was listed and is compressed meanwhile is read from where it is now.

    Raises:
        OSError: it cannot be read; a damaged compressed file gives EIO.
    """
    with _open_either(path) as file:
        if Path(file.name).suffix == _COMPRESSED:
            with io.BufferedReader(_Decompressed(file), _CHUNK_BYTES) as lines:
                skip(lines, offset)
                yield lines
        else:
            file.seek(offset)
            yield file


def _open_either(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        if path.suffix == _COMPRESSED:
            raise
        return _compressed_path(path).open("rb")


def _compressed_path(path: Path) -> Path:
    return path.with_name(path.name + _COMPRESSED)


def segment_sizes(segments: Sequence[Segment]) -> list[int]:
    """How much there is to read of each, for progress; what cannot be looked at counts nothing."""
    sizes = []
    for segment in segments:
        try:
            with _open_either(segment.path) as file:
                sizes.append(os.fstat(file.fileno()).st_size)
        except OSError:
            sizes.append(0)
    return sizes


def read_lines(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Lines from *offset* on with the offset behind each; only the last may lack its newline."""
    with open_segment(path, offset) as file:
        for line in file:
            offset += len(line)
            yield line, offset


def skip(file: IO[bytes], size_bytes: int) -> None:
    """Leave out bytes of a file that cannot seek."""
    while size_bytes > 0 and (chunk := file.read(min(size_bytes, _CHUNK_BYTES))):
        size_bytes -= len(chunk)


def compress_segment(segment: Segment) -> Path:
    """Replace a closed segment by its compressed form; at every instant one of the two is whole and durable.

    Raises:
        OSError: it could not be written, or does not give back what went in; the segment is as it was.
    """
    target = _compressed_path(segment.path)
    unfinished = target.with_name(target.name + _UNFINISHED)
    try:
        _write_compressed(segment.path, unfinished)
        _check_same(segment.path, unfinished)
        unfinished.rename(target)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)
    segment.path.unlink()
    sync_directory(target.parent)
    return target


def remove_unfinished(directory: Path) -> None:
    """Remove what a compression left that a crash cut short; its segment is still there."""
    for path in directory.glob(f"audit-*.zst{_UNFINISHED}"):
        path.unlink()


def sync_directory(directory: Path) -> None:
    """Make names in *directory* durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_compressed(source: Path, target: Path) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with source.open("rb") as plain, os.fdopen(fd, "wb") as packed:
        zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).copy_stream(
            plain, packed, size=os.fstat(plain.fileno()).st_size
        )
        packed.flush()
        os.fsync(packed.fileno())


def _check_same(path: Path, packed_path: Path) -> None:
    with path.open("rb") as plain, packed_path.open("rb") as packed:
        unpacked = io.BufferedReader(_Decompressed(packed), _CHUNK_BYTES)
        while True:
            chunk = plain.read(_CHUNK_BYTES)
            if unpacked.read(_CHUNK_BYTES) != chunk:
                raise OSError(errno.EIO, "compression gave other bytes", str(packed_path))
            if not chunk:
                return


class _Decompressed(io.RawIOBase):
    """What a compressed file holds; whatever is missing, damaged or added is an OSError, not fewer bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._left_bytes = self._size_bytes(file)
        self._reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        try:
            size = self._reader.readinto(buffer)
        except zstandard.ZstdError as error:
            raise OSError(errno.EIO, "damaged compressed file") from error
        self._left_bytes -= size
        if self._left_bytes < 0 or (size == 0 and self._left_bytes):
            raise OSError(errno.EIO, "compressed file of another length")
        return size

    @staticmethod
    def _size_bytes(file: IO[bytes]) -> int:
        try:
            size = zstandard.frame_content_size(file.read(18))
        except zstandard.ZstdError as error:
            raise OSError(errno.EIO, "not a compressed file") from error
        file.seek(0)
        if size < 0:
            raise OSError(errno.EIO, "compressed file of unknown length")
        return size
