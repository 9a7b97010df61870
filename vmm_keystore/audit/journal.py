# SPDX-License-Identifier: Apache-2.0
"""A copy of the log in systemd's journal: one entry a line, by the journal's native protocol.

The journal follows the files; it never holds up an append. Where it was left is kept beside the segments, so that a
daemon that was away sends what is missing; after a crash a few entries may come twice, told by ``VKS_SEQ``.
"""

import json
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

from vmm_keystore.audit.log import AuditLog
from vmm_keystore.audit.reader import AuditReader
from vmm_keystore.errors import AuditError

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
POSITION_FILE = "journal-position"
PAGE_LINES = 500
PERIOD_S = 0.25
_SEND_TIMEOUT_S = 1.0
_NOTICE, _INFO = 5, 6

_logger = logging.getLogger(__name__)


class JournalSink:
    """Sends what *log* holds to the journal on a thread of its own, from ``start`` to ``stop``."""

    def __init__(self, log: AuditLog, path: Path = JOURNAL_SOCKET) -> None:
        self.problem = ""
        self._log = log
        self._reader = AuditReader(log.directory)
        self._path = path
        self._position_path = log.directory / POSITION_FILE
        self._sent_seq = self._read_position()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-journal", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send what there is, and end; a journal that does not answer is not waited for."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(PERIOD_S)
            try:
                self._send_all()
            except (OSError, AuditError) as error:
                problem = f"audit: lines wait for the journal: {getattr(error, 'strerror', None) or error}"
                if problem != self.problem:
                    _logger.warning("%s", problem)
                self.problem = problem
            else:
                self.problem = ""

    def _send_all(self) -> None:
        while self._sent_seq < self._log.last_seq:
            lines, seq = self._reader.page(self._sent_seq, self._log.last_seq, PAGE_LINES)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
                journal.settimeout(_SEND_TIMEOUT_S)
                journal.connect(str(self._path))
                try:
                    for line in lines:
                        journal.send(entry(line))
                        self._sent_seq = line["seq"]
                finally:
                    self._position_path.write_text(f"{self._sent_seq}\n")
            self._sent_seq = seq

    def _read_position(self) -> int:
        try:
            return int(self._position_path.read_text())
        except (OSError, ValueError):
            # Never sent anything: what is in the log already stays there.
            return self._log.last_seq


def entry(line: dict[str, Any]) -> bytes:
    """Write one line as a journal entry."""
    status = str(line.get("status", "ok"))
    what = line.get("op") or line.get("action") or line.get("event") or line.get("kind")
    who = line.get("guest") if line.get("kind") == "use" else f"uid {line['uid']}" if "uid" in line else "keystored"
    fields = {
        "MESSAGE": f"{who}: {what} {line.get('key') or line.get('key_id') or ''}".rstrip() + f": {status}",
        "PRIORITY": str(_INFO if status == "ok" else _NOTICE),
        "SYSLOG_IDENTIFIER": "vmm-keystore-audit",
        "SYSLOG_PID": str(os.getpid()),
        "VKS_SEQ": str(line.get("seq")),
        **{
            f"VKS_{name.upper()}": str(line[name])
            for name in ("kind", "guest", "op", "action", "key", "status", "uid", "count")
            if line.get(name) is not None
        },
        "VKS_LINE": json.dumps(line, separators=(",", ":"), ensure_ascii=False),
    }
    return b"".join(_field(name, value.encode()) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
