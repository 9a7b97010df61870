# SPDX-License-Identifier: Apache-2.0
"""The journal gets every line once it is there, in order, and never holds up the log."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from audit.log_writer import all_fields, open_log, records

from vmm_keystore.audit.journal import JournalSink


@contextmanager
def journal(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(10)
        yield listener
    path.unlink()


def receive(listener: socket.socket) -> dict[str, str]:
    """Decode one entry as systemd documents the protocol."""
    rest, fields = listener.recv(1 << 18), {}
    while rest:
        line, rest = rest.split(b"\n", 1)
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
    return fields


def test_lines_become_entries(tmp_path: Path) -> None:
    """Words to search by, the whole line with its hash, and a higher priority for what was refused."""
    path = tmp_path / "socket"
    log = open_log(tmp_path / "audit")
    log.append_records("vm1", records(1))
    with journal(path) as listener:
        sink = JournalSink(log, path)
        sink.start()
        log.append_records("vm1", records(2) + records(3, status=0x83))
        log.append_refusal({"action": "key-destroy", "key": "web", "uid": 7, "status": "not-found", "reason": "a\nb"})
        entries = [receive(listener) for _ in range(3)]
        sink.stop()
        assert not sink.problem
    log.close()
    assert [entry["VKS_SEQ"] for entry in entries] == ["2", "3", "4"]
    assert [json.loads(entry["VKS_LINE"]) for entry in entries] == all_fields(tmp_path / "audit")[1:]
    assert (entries[0]["MESSAGE"], entries[0]["PRIORITY"]) == ("vm1: sign web: ok", "6")
    assert entries[1]["PRIORITY"] == "5"
    assert entries[2]["MESSAGE"] == "uid 7: key-destroy web: not-found"
    assert entries[0]["SYSLOG_IDENTIFIER"] == "vmm-keystore-audit"


def test_value_with_newlines_is_framed(tmp_path: Path) -> None:
    """A field that has lines of its own cannot pose as other fields."""
    path = tmp_path / "socket"
    log = open_log(tmp_path / "audit")
    with journal(path) as listener:
        sink = JournalSink(log, path)
        sink.start()
        log.append_refusal({"action": "guest-add", "guest": "x\nPRIORITY=0", "uid": 0, "status": "invalid-request"})
        entry = receive(listener)
        sink.stop()
    log.close()
    assert (entry["VKS_GUEST"], entry["PRIORITY"]) == ("x\nPRIORITY=0", "5")


@pytest.mark.parametrize("restart", [False, True])
def test_what_the_journal_missed_is_sent_later(tmp_path: Path, *, restart: bool) -> None:
    """No journal for a while, or none until after the next start: the log goes on, and nothing is left out."""
    path = tmp_path / "socket"
    log = open_log(tmp_path / "audit")
    sink = JournalSink(log, path)
    with journal(path) as listener:
        sink.start()
        log.append_records("vm1", records(1))
        assert receive(listener)["VKS_SEQ"] == "1"
    log.append_records("vm1", records(2, 3))
    end = time.monotonic() + 10
    while not sink.problem:
        assert time.monotonic() < end
        time.sleep(0.01)
    if restart:
        sink.stop()
        sink = JournalSink(log, path)
    with journal(path) as listener:
        if restart:
            sink.start()
        assert [receive(listener)["VKS_SEQ"] for _ in range(2)] == ["2", "3"]
        sink.stop()
    log.close()
