# SPDX-License-Identifier: Apache-2.0
"""The writer of the audit log: one a daemon, durable line by line, resuming where a crash left it.

What is appended is durable when the call returns, or nothing of it counts: a failed write is cut off again, so that
the caller keeps its records and tries later.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmm_keystore.audit.line import Link, add_lines, encode_body, time_text
from vmm_keystore.audit.record import RECORD_BYTES, use_bodies
from vmm_keystore.audit.resume import Standing, find_last_change, find_standing
from vmm_keystore.audit.segments import Segment, remove_unfinished, segment_path, sync_directory
from vmm_keystore.errors import AuditError, AuditWriteError

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
        self.problem = ""
        """Why the last append failed, in one line; empty when it did not."""
        self.on_rotated: Callable[[], None] = lambda: None
        """Called with the log's lock held: must not wait."""
        self._on_records: Callable[[str, bytes, int], None] = lambda _guest, _records, _seq: None
        self._label_of = label_of
        self._segment_bytes_max = segment_bytes_max
        self._lock = threading.Lock()
        self._fd = -1
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            with self._lock:
                remove_unfinished(directory)
                self._standing = self._resume()
        except OSError as error:
            raise _write_error(directory, error) from error

    @property
    def last_seq(self) -> int:
        """Number of the last durable line."""
        return self._standing.link.seq

    @property
    def head(self) -> Link:
        """Number and hash of the last durable line."""
        return self._standing.link

    def follow_records(self, take: Callable[[str, bytes, int], None]) -> int:
        """Have *take* called with each guest's records once they are stored, and the number of the last line.

        The log's lock is held then: *take* must not wait.

        Returns:
            The last line before the first call.
        """
        with self._lock:
            self._on_records = take
            return self._standing.link.seq

    def append_records(self, guest: str, records: bytes) -> None:
        """Append a worker's records, see ``service.ports.AuditSink``."""
        with self._lock:
            uses = list(use_bodies(guest, records, self._label_of))
            known = self._standing.last_records.get(guest)
            for i, use in enumerate(uses):
                if (use.number, use.time) == known:
                    del uses[: i + 1]
                    records = records[(i + 1) * RECORD_BYTES :]
                    break
            if uses:
                self._append([use.body for use in uses])
                self._standing.last_records[guest] = (uses[-1].number, uses[-1].time)
                self._on_records(guest, records, self._standing.link.seq)

    def append_change(self, number: int, fields: Mapping[str, Any]) -> None:
        """Append the line of admin change *number*; numbers grow."""
        with self._lock:
            self._append([encode_body({**fields, "kind": "admin", "change": number})])

    def append_refusal(self, fields: Mapping[str, Any]) -> None:
        """Append the line of an admin change that was refused; nothing of it was done."""
        with self._lock:
            self._append([encode_body({**fields, "kind": "admin"})])

    def append_notice(self, event: str, **detail: Any) -> None:
        """Append what the daemon itself has to say to an auditor."""
        with self._lock:
            self._append([_notice(event, detail)])

    def append_checkpoint(self, head: Link, note: str) -> bool:
        """Append the signed *note* on *head* as the line after it; False when the log went on meanwhile."""
        with self._lock:
            if head != self._standing.link:
                return False
            self._append([encode_body({"time": time_text(time.time_ns()), "kind": "checkpoint", "note": note})])
            return True

    def rotate(self, older_than_s: float) -> bool:
        """Let the next line start a new segment when the present one is that old and has more than one line."""
        with self._lock:
            standing = self._standing
            if standing.segment is None or self._fd < 0 or standing.link.seq <= standing.segment.first_seq:
                return False
            if time.time() - standing.started_s < older_than_s:
                return False
            self._drop_fd()
            standing.segment = None
            return True

    def last_change(self) -> int:
        """Return the number of the last admin change in the log; reads as much of it as it must."""
        return find_last_change(self.directory)

    def close(self) -> None:
        """Close the segment; everything in it is durable already."""
        with self._lock:
            self._drop_fd()

    def _append(self, bodies: Sequence[bytes]) -> None:
        try:
            if self._fd < 0 and self._standing.segment is not None:
                self._standing = self._resume()
            self._write(bodies)
        except OSError as error:
            self._undo()
            failure = _write_error(self.directory, error)
            self.problem = failure.message
            raise failure from error
        except AuditError as error:
            self.problem = error.message
            raise
        if self.problem:
            self.problem = ""
            _logger.warning("audit: the log can be written again")

    def _write(self, bodies: Sequence[bytes]) -> None:
        standing = self._standing
        if standing.segment is None or standing.size_bytes >= self._segment_bytes_max:
            self._start_segment(standing)
        lines, link = add_lines(standing.link, bodies)
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        os.fdatasync(self._fd)
        standing.link = link
        standing.size_bytes += len(lines)

    def _start_segment(self, standing: Standing) -> None:
        first_seq = standing.link.seq + 1
        path = segment_path(self.directory, first_seq)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            sync_directory(self.directory)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        self._drop_fd()
        self._fd = fd
        standing.segment, standing.size_bytes, standing.started_s = Segment(path, first_seq), 0, time.time()
        self.on_rotated()

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
        # Cut off what was written of the failed batch. Where that fails, find out anew where we stand before the next.
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


def _notice(event: str, detail: Mapping[str, Any]) -> bytes:
    return encode_body({"time": time_text(time.time_ns()), "kind": "notice", "event": event, **detail})


def _write_error(directory: Path, error: OSError) -> AuditWriteError:
    reason = (error.strerror or str(error)).lower()
    return AuditWriteError(
        f"cannot write the audit log in {directory}: {reason}",
        "free space or mend the file system; guests wait while their records cannot be stored",
    )
