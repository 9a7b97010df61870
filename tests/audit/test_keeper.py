# SPDX-License-Identifier: Apache-2.0
"""Checkpoints come when they should, closed segments are compressed, and trouble with either never stops the log."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
from audit.log_writer import NOW_NS, Signer, all_fields, open_log, records, write_log
from framework.patience import wait_for

from vmm_keystore.audit.keeper import CHECKPOINT_FILE, AuditKeeper
from vmm_keystore.audit.line import Link, time_text
from vmm_keystore.audit.reader import AuditReader
from vmm_keystore.audit.segments import compress_segment, list_segments, read_lines, segment_sizes
from vmm_keystore.audit.selection import Selection
from vmm_keystore.audit.verify import verify_chain
from vmm_keystore.errors import CustodianError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def test_checkpoint_on_time_and_at_the_end(directory: Path) -> None:
    """Signed on the timer when something was written, not again and again when nothing was; and on a clean exit."""
    signer = Signer()
    log = open_log(directory)
    keeper = AuditKeeper(log, signer, checkpoint_period_s=0.02)
    keeper.start()
    time.sleep(0.1)
    assert log.last_seq == 0, "an empty log needs no signature"
    log.append_records("vm1", records(1))
    wait_for(lambda: keeper.signed_seq == 1)
    time.sleep(0.1)
    assert log.last_seq == 2, "its own line is no reason to sign"
    log.append_records("vm1", records(2))
    wait_for(lambda: keeper.signed_seq == 3)
    keeper.stop()
    log.append_records("vm1", records(3))
    last = AuditKeeper(log, signer)
    last.start()
    last.stop()
    log.close()
    head = signer.open_note((directory / CHECKPOINT_FILE).read_text())
    assert head.seq == 5
    assert verify_chain(directory, key=signer.public, kept=[head]).signed_seq == 5


def test_restart_knows_its_last_checkpoint(directory: Path) -> None:
    """A daemon that starts on a covered log adds nothing to it; a checkpoint of another key is not taken for ours."""
    signer = Signer()
    note = write_log(directory, signer)
    log = open_log(directory)
    assert AuditKeeper(log, signer).checkpoint() == note
    seq = log.last_seq
    other = Signer()
    assert other.open_note(AuditKeeper(log, other).checkpoint()).seq == seq
    log.close()


def test_rotation_is_signed_and_compressed(directory: Path) -> None:
    """By size: the keeper wakes, signs, compresses; readers and the verifier see one log all the time."""
    signer = Signer()
    log = open_log(directory, 1500)
    keeper = AuditKeeper(log, signer, checkpoint_period_s=60)
    keeper.start()
    reader = AuditReader(directory)
    for i in range(1, 60):
        log.append_records("vm1", records(i))
        page, _ = reader.page(0, log.last_seq, 1000)
        assert [line["seq"] for line in page] == list(range(1, page[-1]["seq"] + 1))
    wait_for(lambda: all(segment.compressed for segment in list_segments(directory)[:-1]))
    keeper.stop()
    log.close()
    assert len(list_segments(directory)) > 5
    report = verify_chain(directory, key=signer.public)
    assert report.ok, report.problem
    assert report.checkpoints >= 5
    reopened = open_log(directory)
    assert reopened.last_seq == report.last_seq
    reopened.close()


def test_rotation_by_age(directory: Path) -> None:
    """A quiet log starts a new segment too; one that holds a single line does not."""
    log = open_log(directory, 1 << 20)
    log.append_records("vm1", records(1))
    assert not log.rotate(0)
    log.append_records("vm1", records(2))
    assert not log.rotate(3600)
    assert log.rotate(0)
    log.append_records("vm1", records(3))
    log.close()
    assert [segment.first_seq for segment in list_segments(directory)] == [1, 3]
    assert verify_chain(directory).ok


def test_trouble_with_signing_is_said_and_passes(directory: Path) -> None:
    """A custodian that does not answer stops neither the log nor compression; later one signature covers all."""
    signer = Signer()
    signer.refuses = CustodianError("the custodian does not answer")
    log = open_log(directory, 1500)
    keeper = AuditKeeper(log, signer, checkpoint_period_s=0.02)
    keeper.start()
    for i in range(1, 20):
        log.append_records("vm1", records(i))
    wait_for(lambda: "does not answer" in keeper.problem)
    assert "no checkpoint covers" in verify_chain(directory, key=signer.public).problem
    signer.refuses = None
    wait_for(lambda: not keeper.problem and keeper.signed_seq >= 19)
    keeper.stop()
    log.close()
    assert verify_chain(directory, key=signer.public).ok


def test_checkpoint_of_a_log_that_goes_on(directory: Path) -> None:
    """Signed without holding up writers: when a line comes in between, the new head is signed instead."""
    log = open_log(directory, 1 << 20)
    log.append_records("vm1", records(1))

    class Slow(Signer):
        """Somebody appends while this signs, three times."""

        interruptions = itertools.count(2)

        def sign(self, head: Link) -> str:
            note = super().sign(head)
            number = next(self.interruptions)
            if number < 5:
                appender = threading.Thread(target=log.append_records, args=("vm1", records(number)))
                appender.start()
                appender.join(5)
                assert not appender.is_alive(), "an append waits for a signature"
            return note

    signer = Slow()
    assert signer.open_note(AuditKeeper(log, signer).checkpoint()).seq == 4
    log.close()
    assert verify_chain(directory, key=signer.public).ok


def test_compression_cut_short_loses_nothing(directory: Path) -> None:
    """A crash between any two steps: the plain segment counts as long as it is there."""
    signer = Signer()
    write_log(directory, signer, compress=False)
    before = all_fields(directory)
    segment = list_segments(directory)[0]
    copy = segment.path.read_bytes()
    compress_segment(segment)
    segment.path.write_bytes(copy)
    assert list_segments(directory)[0] == segment
    unfinished = directory / f"{list_segments(directory)[1].path.name}.zst.new"
    unfinished.write_bytes(b"half")
    assert all_fields(directory) == before
    log = open_log(directory)
    assert not unfinished.exists()
    AuditKeeper(log, signer).compress()
    log.close()
    assert all_fields(directory)[: len(before)] == before
    assert verify_chain(directory, key=signer.public).ok


def test_segment_compressed_after_it_was_listed(directory: Path) -> None:
    """Whoever reads by a list made before finds every line where it is now, from any offset."""
    write_log(directory, Signer(), compress=False)
    segment = list_segments(directory)[0]
    lines = list(read_lines(segment.path))
    offset = lines[1][1]
    compress_segment(segment)
    assert not segment.path.exists()
    assert list(read_lines(segment.path)) == lines
    assert list(read_lines(segment.path, offset)) == lines[2:]
    assert segment_sizes([segment])[0] > 0


def test_compression_without_room_keeps_the_segment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half-written stays, and what was there is still there."""
    signer = Signer()
    write_log(directory, signer, compress=False)
    names = sorted(directory.iterdir())

    def full(_fd: int) -> None:
        raise OSError(28, "no space left on device")

    log = open_log(directory)
    with monkeypatch.context() as patch:
        patch.setattr("vmm_keystore.audit.segments.os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            AuditKeeper(log, signer).compress()
    log.close()
    assert sorted(directory.iterdir()) == names


def test_selection_looks_back_as_far_as_it_must(directory: Path) -> None:
    """The last lines of one guest, key, operation, outcome or time, however many others lie between."""
    log = open_log(directory, 1500)
    log.append_records("rare", records(1, status=0x84))
    for i in range(2, 60):
        log.append_records("vm1", records(i))
    log.append_change(1, {"time": time_text(NOW_NS + 60), "action": "key-rotate", "key": "web"})
    reader = AuditReader(directory)

    def last(limit: int = 10, **words: str) -> list[int]:
        return [line["seq"] for line in reader.last(log.last_seq, limit, Selection(**words))]

    assert last(guest="rare") == [1]
    assert last(2, guest="vm1") == [58, 59]
    assert last(op="key-rotate") == [60]
    assert last(3, key="web") == [58, 59, 60]
    assert last(guest="rare", status="ok") == []
    assert last(2, status="ok") == [59, 60]
    assert last(op="encrypt") == []
    time_of_30 = reader.page(29, 30, 1)[0][0]["time"]
    assert last(100, since=time_of_30, guest="vm1")[0] == 30
    assert last(100, until=time_of_30)[-1] == 29
    page, after = reader.page(0, log.last_seq, 10, Selection(guest="rare"))
    assert ([line["seq"] for line in page], after) == ([1], 60)
    log.close()
