# SPDX-License-Identifier: Apache-2.0
"""What the log needs besides appending: checkpoints on time, a new segment now and then, compression of closed ones.

None of it holds up an append: a head is signed without the log's lock and only then put behind it, provided that the
log still stands there. When it cannot be signed or compressed, the log goes on and ``problem`` says so.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from vmm_keystore.audit.line import Link
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.audit.segments import compress_segment, list_segments, sync_directory
from vmm_keystore.errors import AuditError, AuditNoteError, KeystoreError

CHECKPOINT_FILE = "checkpoint"
CHECKPOINT_PERIOD_S = 60.0
SEGMENT_AGE_MAX_S = 24 * 3600.0
_ATTEMPTS = 100

_logger = logging.getLogger(__name__)


class CheckpointSigner(Protocol):
    """The audit key."""

    def sign(self, head: Link) -> str:
        """Make a signed note on *head*; raises KeystoreError."""

    def open_note(self, note: str) -> Link:
        """Read the head of a note that this key signed; raises AuditNoteError."""


class AuditKeeper:
    """Tends a log on a thread of its own, from ``start`` to ``stop``."""

    def __init__(
        self,
        log: AuditLog,
        signer: CheckpointSigner,
        *,
        checkpoint_period_s: float = CHECKPOINT_PERIOD_S,
        segment_age_max_s: float = SEGMENT_AGE_MAX_S,
    ) -> None:
        self.problem = ""
        """Why it is not signed or compressed, in one line; empty when it is."""
        self.log = log
        self._signer = signer
        self._checkpoint_period_s = checkpoint_period_s
        self._segment_age_max_s = segment_age_max_s
        self._signing = threading.Lock()
        self._note, self._signed = self._read_note()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="audit-keeper", daemon=True)

    @property
    def signed_seq(self) -> int:
        """The last line that the newest checkpoint covers; 0: there is none."""
        return self._signed.seq if self._signed else 0

    def start(self) -> None:
        """Begin; a rotation wakes it."""
        self.log.on_rotated = self._wake.set
        # What an earlier daemon left to be compressed.
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End, with a last checkpoint."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._attempt(self._checkpoint_if_grown)

    def checkpoint(self) -> str:
        """Return a signed note on the log as it stands.

        Raises:
            KeystoreError: it could not be signed or stored.
        """
        with self._signing:
            if self._note and self._is_covered():
                return self._note
            for _ in range(_ATTEMPTS):
                head = self.log.head
                note = self._signer.sign(head)
                if self.log.append_checkpoint(head, note):
                    self._note, self._signed = note, head
                    _replace_file(self.log.directory / CHECKPOINT_FILE, note)
                    return note
        raise AuditError("no checkpoint could be put into the log: it grows too fast", "try again")

    def _is_covered(self) -> bool:
        # Its own line is all that may follow what the newest checkpoint covers.
        return self._signed is not None and self.log.last_seq == self._signed.seq + 1

    def _checkpoint_if_grown(self) -> None:
        if self.log.last_seq and not self._is_covered():
            self.checkpoint()

    def _run(self) -> None:
        while True:
            woken = self._wake.wait(self._checkpoint_period_s)
            self._wake.clear()
            if self._stopping:
                return
            if not woken and self.log.rotate(self._segment_age_max_s):
                _logger.info("audit: the segment is closed for its age")
            self._attempt(self._checkpoint_if_grown)
            self._attempt(self.compress)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (KeystoreError, OSError) as error:
            problem = f"audit: {error.strerror or error if isinstance(error, OSError) else error}"
            if problem != self.problem:
                _logger.error("%s", problem)
            self.problem = problem
        else:
            self.problem = ""

    def compress(self) -> None:
        """Compress every closed segment; raises OSError."""
        for segment in list_segments(self.log.directory)[:-1]:
            if not segment.compressed and not self._stopping:
                compress_segment(segment)

    def _read_note(self) -> tuple[str, Link | None]:
        try:
            note = (self.log.directory / CHECKPOINT_FILE).read_text()
            return note, self._signer.open_note(note)
        except (OSError, UnicodeDecodeError, AuditNoteError):
            return "", None


def _replace_file(path: Path, content: str) -> None:
    unfinished = path.with_name(path.name + ".new")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync_directory(path.parent)
