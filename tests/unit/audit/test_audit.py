# SPDX-License-Identifier: Apache-2.0
"""No record that was stored is lost, doubled or changed without the verifier finding it."""

import hashlib
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vmm_keystore._vks import ffi, lib
from vmm_keystore.audit.line import time_text
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.audit.reader import AuditReader
from vmm_keystore.audit.segments import list_segments
from vmm_keystore.audit.verify import verify_chain
from vmm_keystore.errors import AuditError, AuditWriteError
from vmm_keystore.policy.vocabulary import Mechanism, Op, Status

KEY_ID = bytes(range(16))
NOW_NS = 1_795_446_000_123_456_789


def pack(*records: dict[str, Any]) -> bytes:
    """Records as a worker writes them."""
    array = ffi.new("struct vks_audit_record[]", list(records))
    return bytes(ffi.buffer(array))


def sign(record: int, **fields: Any) -> dict[str, Any]:
    return {
        "record": record,
        "request_sequence": record,
        "time_ns": NOW_NS + record,
        "covered": lib.vks_audit_covered(32),
        "key_id": KEY_ID,
        "key_version": 1,
        "op": Op.SIGN,
        "mechanism": Mechanism.ECDSA_SHA256,
        "status": Status.OK,
        "attempt": 1,
        **fields,
    }


def label_of(key_id: bytes) -> str | None:
    return {KEY_ID: "web"}.get(key_id)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def log(directory: Path) -> Iterator[AuditLog]:
    opened = AuditLog(directory, label_of)
    yield opened
    opened.close()


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for s in list_segments(directory) for line in s.path.read_bytes().splitlines()]


def test_a_record_becomes_a_line(log: AuditLog, directory: Path) -> None:
    """Everything a worker knows about a use is on its line, in words."""
    log.append_records("vm1", pack(sign(1, flags=lib.VKS_AUDIT_F_UID | lib.VKS_AUDIT_F_DIGEST, uid=1000)))
    assert lines(directory) == [
        {
            "seq": 1,
            "time": "2026-11-23T15:00:00.123456790Z",
            "kind": "use",
            "guest": "vm1",
            "op": "sign",
            "mechanism": "ecdsa-sha256",
            "key": "web",
            "key_id": KEY_ID.hex(),
            "version": 1,
            "status": "ok",
            "uid": 1000,
            "bytes": 32,
            "digest": True,
            "count": 1,
            "request": 1,
            "attempt": 1,
            "queue": 0,
            "record": 1,
            "prev": "0" * 64,
        }
    ]
    (segment,) = list_segments(directory)
    assert segment.path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_hostile_record_is_still_a_line(log: AuditLog, directory: Path) -> None:
    """Whatever numbers a fallen worker writes, they are recorded as they are and break nothing."""
    top = {
        name: 2 ** (8 * ffi.sizeof(field.type)) - 1
        for name, field in ffi.typeof("struct vks_audit_record").fields
        if field.type.kind == "primitive"
    }
    log.append_records("vm1", pack(top))
    (line,) = lines(directory)
    assert (line["op"], line["status"], line["mechanism"]) == (
        f"operation-{2**32 - 1}",
        f"status-{2**32 - 1}",
        f"mechanism-{2**32 - 1}",
    )
    assert line["time"] == "2554-07-21T23:34:33.709551615Z"
    assert verify_chain(directory).ok
    with pytest.raises(AuditError):
        log.append_records("vm1", bytes(127))


def test_time_is_exact_to_the_nanosecond() -> None:
    """No float on the way."""
    assert time_text(999_999_999) == "1970-01-01T00:00:00.999999999Z"
    assert time_text(2**53 * 1000 + 1) == "2255-06-05T23:47:34.740992001Z"


def test_chain_goes_on_over_restarts_and_segments(directory: Path) -> None:
    """Sequence and hashes continue from file to file and from daemon to daemon."""
    for i in range(6):
        log = AuditLog(directory, label_of, segment_bytes_max=500)
        log.append_records("vm1", pack(sign(i * 2 + 1), sign(i * 2 + 2)))
        log.append_change(i + 1, {"action": "grant-add", "uid": 0})
        log.close()
    written = lines(directory)
    assert [line["seq"] for line in written] == list(range(1, 19))
    assert len(list_segments(directory)) > 3
    report = verify_chain(directory)
    assert (report.ok, report.lines, report.segments) == (True, 18, len(list_segments(directory)))
    assert report.last_hash == hash_of(list_segments(directory)[-1].path.read_bytes().splitlines()[-1])
    reopened = AuditLog(directory, label_of)
    assert (reopened.last_seq, reopened.last_change()) == (18, 6)
    reopened.close()


def test_records_stored_but_not_taken_are_not_doubled(directory: Path) -> None:
    """The ring still holds what was stored before a crash: only what is new is appended."""
    log = AuditLog(directory, label_of)
    log.append_records("vm1", pack(sign(1), sign(2)))
    log.append_records("vm2", pack(sign(1)))
    log.close()
    log = AuditLog(directory, label_of)
    log.append_records("vm1", pack(sign(1), sign(2), sign(3)))
    log.append_records("vm2", pack(sign(1)))
    # A ring made anew counts from 1 again: same number, another time.
    log.append_records("vm2", pack(sign(1, time_ns=NOW_NS + 99)))
    log.close()
    assert [(line["guest"], line["record"]) for line in lines(directory)] == [
        ("vm1", 1),
        ("vm1", 2),
        ("vm2", 1),
        ("vm1", 3),
        ("vm2", 1),
    ]


@pytest.mark.parametrize("tail", [b'{"seq":3,"time":"2026', b"\0" * 100, b"garbage\n" * 3, b"\xff\xfe\n{"])
def test_torn_end_is_set_aside_and_reported(directory: Path, tail: bytes) -> None:
    """What a crash left of a line never counts, and is never dropped silently either."""
    log = AuditLog(directory, label_of)
    log.append_records("vm1", pack(sign(1), sign(2)))
    log.close()
    (segment,) = list_segments(directory)
    with segment.path.open("ab") as file:
        file.write(tail)
    log = AuditLog(directory, label_of)
    log.append_records("vm1", pack(sign(3)))
    log.close()
    (torn,) = directory.glob("torn-*")
    assert torn.read_bytes() == tail
    notice = lines(directory)[2]
    assert (notice["kind"], notice["event"], notice["file"], notice["bytes"], notice["sha256"]) == (
        "notice",
        "torn-end",
        torn.name,
        len(tail),
        hash_of(tail),
    )
    assert [line["seq"] for line in lines(directory)] == [1, 2, 3, 4]
    assert verify_chain(directory).ok


def test_torn_first_line_of_a_new_segment(directory: Path) -> None:
    """A crash right after a segment was started leaves the chain where the one before ended."""
    log = AuditLog(directory, label_of)
    log.append_records("vm1", pack(sign(1)))
    log.close()
    (directory / "audit-0000000000000002.jsonl").write_bytes(b'{"seq":2,')
    log = AuditLog(directory, label_of)
    log.append_records("vm1", pack(sign(2)))
    log.close()
    assert [line["seq"] for line in lines(directory)] == [1, 2, 3]
    assert verify_chain(directory).ok


def test_sigkill_at_any_instant_loses_no_acknowledged_line(directory: Path) -> None:
    """Every batch whose append returned is in the log; the chain holds after the resume."""
    script = (
        "import sys; from pathlib import Path; from vmm_keystore.audit.log import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]), lambda key_id: None, segment_bytes_max=4000)\n"
        "for number in range(int(sys.argv[2]), 10**9):\n"
        "    log.append_change(number, {'action': 'x'}); print(number, flush=True)\n"
    )
    acknowledged = 0
    for lines_before_kill in (1, 7, 40):
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", script, directory, str(acknowledged + 1)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(lines_before_kill):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split("\n")[:-1]
        acknowledged = int(rest[-1]) if rest else acknowledged
        child.stdout.close()
        child.wait()
        log = AuditLog(directory, label_of)
        last = log.last_change()
        log.close()
        assert acknowledged <= last <= acknowledged + 1
        acknowledged = last
    assert verify_chain(directory).ok
    changes = [line["change"] for line in lines(directory) if line["kind"] == "admin"]
    assert changes == list(range(1, acknowledged + 1))


def test_failed_write_counts_for_nothing(log: AuditLog, directory: Path) -> None:
    """A disk that fills up in the middle of a batch: an error, no half batch, and it goes on when there is room."""
    log.append_records("vm1", pack(sign(1)))
    (segment,) = list_segments(directory)
    before = segment.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 500, hard))
    try:
        with pytest.raises(AuditWriteError, match="file too large") as caught:
            log.append_records("vm1", pack(sign(2), sign(3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.hint
    assert segment.path.read_bytes() == before
    log.append_records("vm1", pack(sign(2), sign(3)))
    assert [line["record"] for line in lines(directory)] == [1, 2, 3]
    assert verify_chain(directory).ok


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way ends in one error with the path."""
    (tmp_path / "audit").write_text("in the way")
    with pytest.raises(AuditWriteError, match="audit"):
        AuditLog(tmp_path / "audit", label_of)


EDITS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "byte changed": lambda text: [text[0], text[1].replace(b'"bytes":32', b'"bytes":33'), *text[2:]],
    "last line changed then chained on": lambda text: [*text[:3], text[3].replace(b"vm1", b"vm2"), *text[4:]],
    "line removed": lambda text: [*text[:2], *text[3:]],
    "first line removed": lambda text: text[1:],
    "lines swapped": lambda text: [text[1], text[0], *text[2:]],
    "line doubled": lambda text: [text[0], text[0], *text[1:]],
    "foreign line": lambda text: [*text[:2], b"hello\n", *text[2:]],
    "hash rewritten": lambda text: [text[0], text[1].replace(b'"prev":"', b'"prev":"0'), *text[2:]],
}


@pytest.mark.parametrize("edit", EDITS)
def test_verify_finds(log: AuditLog, directory: Path, edit: str) -> None:
    """Every kind of edit, gap and reorder is found, and the line named."""
    log.append_records("vm1", pack(*(sign(i) for i in range(1, 6))))
    assert verify_chain(directory).ok
    (segment,) = list_segments(directory)
    segment.path.write_bytes(b"".join(EDITS[edit](segment.path.read_bytes().splitlines(keepends=True))))
    report = verify_chain(directory)
    assert not report.ok
    assert segment.path.name in report.problem


def test_verify_finds_a_missing_segment(directory: Path) -> None:
    """A segment that was taken away leaves a gap, at the start too; against a known end truncation shows."""
    log = AuditLog(directory, label_of, segment_bytes_max=1)
    for i in range(1, 5):
        log.append_records("vm1", pack(sign(i)))
    log.close()
    segments = list_segments(directory)
    content = segments[2].path.read_bytes()
    segments[2].path.unlink()
    assert "missing" in verify_chain(directory).problem
    segments[2].path.write_bytes(content)
    assert verify_chain(directory, until_seq=4).ok
    segments[3].path.unlink()
    assert "the daemon wrote 4" in verify_chain(directory, until_seq=4).problem
    segments[0].path.unlink()
    assert "missing" in verify_chain(directory).problem


def test_verify_finds_a_renamed_segment(directory: Path) -> None:
    """A name that does not say the number of its first line would hide a gap from a reader."""
    log = AuditLog(directory, label_of, segment_bytes_max=1)
    for i in range(1, 3):
        log.append_records("vm1", pack(sign(i)))
    log.close()
    list_segments(directory)[1].path.rename(directory / "audit-0000000000000005.jsonl")
    assert "audit-0000000000000005.jsonl follows line 1" in verify_chain(directory).problem


def test_verify_tells_a_torn_line_from_a_broken_chain(log: AuditLog, directory: Path) -> None:
    """Offline, after a crash: the chain holds, the bytes that never became a line are counted."""
    log.append_records("vm1", pack(sign(1)))
    (segment,) = list_segments(directory)
    with segment.path.open("ab") as file:
        file.write(b'{"seq":2')
    report = verify_chain(directory)
    assert (report.ok, report.lines, report.torn_bytes) == (True, 1, 8)
    assert verify_chain(directory / "absent").lines == 0


def test_reader_pages_and_follows(directory: Path) -> None:
    """Pages come in order over segment borders, from any place, and never beyond what is durable."""
    log = AuditLog(directory, label_of, segment_bytes_max=1000)
    reader = AuditReader(directory)
    assert reader.page(0, log.last_seq, 10) == ([], 0)
    for i in range(1, 31):
        log.append_records("vm1", pack(sign(i)))
    seen: list[int] = []
    while page := reader.page(seen[-1] if seen else 0, log.last_seq, 7)[0]:
        assert len(page) <= 7
        seen += [line["seq"] for line in page]
    assert seen == list(range(1, 31))
    assert [line["seq"] for line in reader.page(11, 13, 100)[0]] == [12, 13]
    assert [line["seq"] for line in AuditReader(directory).page(28, 30, 100)[0]] == [29, 30]
    log.append_records("vm1", pack(sign(31)))
    assert [line["record"] for line in reader.page(30, log.last_seq, 100)[0]] == [31]
    log.close()
