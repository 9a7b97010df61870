# SPDX-License-Identifier: Apache-2.0
"""The writer of the audit log: one a daemon, durable line by line, resuming where a crash left it.

What is appended is durable when the call returns, or nothing of it counts: a failed write is cut off again, so that
the caller keeps its records and tries later.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmm_keystore.audit.line import add_line, time_text
from vmm_keystore.audit.record import use_fields
from vmm_keystore.audit.resume import Standing, find_last_change, find_standing, sync_directory
from vmm_keystore.audit.segments import Segment, segment_path
from vmm_keystore.errors import AuditWriteError

SEGMENT_BYTES_MAX = 16 * 1024 * 1024

_logger = logging.getLogger(__name__)


class AuditLog:
    """The log in one folder; every method may be called from any thread.

    Raises:
        AuditWriteError: the folder or its files cannot be used.
        AuditDamagedError: the end of the log is not readable.
    """

    def __init__(
        self,
        directory: Path,
        label_of: Callable[[bytes], str | None],
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> None:
        self.directory = directory
        self._label_of = label_of
        self._segment_bytes_max = segment_bytes_max
        self._lock = threading.Lock()
        self._fd = -1
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            with self._lock:
                self._standing = self._resume()
        except OSError as error:
            raise _write_error(directory, error) from error

    @property
    def last_seq(self) -> int:
        """Number of the last durable line."""
        return self._standing.link.seq

    def append_records(self, guest: str, records: bytes) -> None:
        """Append a worker's records, see ``service.ports.AuditSink``."""
        with self._lock:
            lines = list(use_fields(guest, records, self._label_of))
            known = self._standing.last_records.get(guest)
            for i, line in enumerate(lines):
                if (line["record"], line["time"]) == known:
                    del lines[: i + 1]
                    break
            if lines:
                self._append(lines)
                self._standing.last_records[guest] = (lines[-1]["record"], lines[-1]["time"])

    def append_change(self, number: int, fields: Mapping[str, Any]) -> None:
        """Append the line of admin change *number*; numbers grow."""
        with self._lock:
            self._append([{**fields, "kind": "admin", "change": number}])

    def append_notice(self, event: str, **detail: Any) -> None:
        """Append what the daemon itself has to say to an auditor."""
        with self._lock:
            self._append([_notice(event, detail)])

    def last_change(self) -> int:
        """Return the number of the last admin change in the log; reads as much of it as it must."""
        return find_last_change(self.directory)

    def close(self) -> None:
        """Close the segment; everything in it is durable already."""
        with self._lock:
            self._drop_fd()

    def _append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        try:
            if self._fd < 0:
                self._standing = self._resume()
            self._write(lines)
        except OSError as error:
            self._undo()
            raise _write_error(self.directory, error) from error

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        standing = self._standing
        if standing.segment is None or standing.size_bytes >= self._segment_bytes_max:
            self._start_segment(standing)
        link, chunks = standing.link, []
        for fields in lines:
            chunk, link = add_line(link, fields)
            chunks.append(chunk)
        rest = memoryview(b"".join(chunks))
        size = len(rest)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        os.fdatasync(self._fd)
        standing.link = link
        standing.size_bytes += size

    def _start_segment(self, standing: Standing) -> None:
        first_seq = standing.link.seq + 1
        path = segment_path(self.directory, first_seq)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._drop_fd()
        self._fd = fd
        standing.segment, standing.size_bytes = Segment(path, first_seq), 0
        sync_directory(self.directory)

    def _resume(self) -> Standing:
        standing = find_standing(self.directory)
        self._standing = standing
        if standing.segment is None:
            self._start_segment(standing)
        else:
            self._fd = os.open(standing.segment.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        for torn in standing.torn:
            _logger.warning("audit: set aside %d bytes of a torn end in %s", torn["bytes"], torn["file"])
            self._write([_notice("torn-end", torn)])
        standing.torn.clear()
        return standing

    def _undo(self) -> None:
        # Cut off what was written of the failed batch, then find out anew where we stand before the next one.
        if self._fd >= 0:
            try:
                os.ftruncate(self._fd, self._standing.size_bytes)
            except OSError as error:
                _logger.error("audit: cannot cut a failed write: %s", error.strerror)
        self._drop_fd()

    def _drop_fd(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _notice(event: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {"time": time_text(time.time_ns()), "kind": "notice", "event": event, **detail}


def _write_error(directory: Path, error: OSError) -> AuditWriteError:
    reason = (error.strerror or str(error)).lower()
    return AuditWriteError(
        f"cannot write the audit log in {directory}: {reason}",
        "free space or mend the file system; guests wait while their records cannot be stored",
    )
