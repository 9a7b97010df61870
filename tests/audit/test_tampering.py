# SPDX-License-Identifier: Apache-2.0
"""Promise P4: with nothing but the files and the public key, every edit, gap, reorder and truncation is found."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard
from audit.log_writer import Signer, all_fields, plain_lines, rechain, write_log

from vmm_keystore.audit.line import Link
from vmm_keystore.audit.note import checkpoint_text, read_head
from vmm_keystore.audit.segments import Segment, list_segments
from vmm_keystore.audit.verify import ChainReport, verify_chain


def all_lines(directory: Path) -> list[list[bytes]]:
    return [plain_lines(segment) for segment in list_segments(directory)]


@dataclass(frozen=True)
class Untouched:
    """A log, the key it was signed with, and the checkpoint that an auditor kept."""

    directory: Path
    signer: Signer
    head: Link


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Untouched:
    directory = tmp_path_factory.mktemp("log") / "audit"
    signer = Signer()
    note = write_log(directory, signer)
    assert len([s for s in list_segments(directory) if s.compressed]) >= 4
    return Untouched(directory, signer, signer.open_note(note))


def verify(directory: Path, log: Untouched, *, kept: bool = True) -> ChainReport:
    return verify_chain(directory, key=log.signer.public, kept=[log.head] if kept else [])


def write_lines(segment: Segment, lines: list[bytes]) -> None:
    content = b"".join(line + b"\n" for line in lines)
    segment.path.write_bytes(zstandard.compress(content) if segment.compressed else content)


def each_line(edit: Callable[[list[bytes], int], list[bytes]], directory: Path, place: int) -> bool:
    """Apply *edit* to line *place* of the whole log; False when there is no such line."""
    for segment in list_segments(directory):
        lines = plain_lines(segment)
        if place < len(lines):
            write_lines(segment, edit(lines, place))
            return True
        place -= len(lines)
    return False


def flip(lines: list[bytes], i: int) -> list[bytes]:
    # In the middle: in a member of the line, not in number or hash.
    middle = len(lines[i]) // 2
    changed = lines[i][:middle] + bytes([lines[i][middle] ^ 1]) + lines[i][middle + 1 :]
    return [*lines[:i], changed, *lines[i + 1 :]]


LINE_EDITS: dict[str, Callable[[list[bytes], int], list[bytes]]] = {
    "a byte flipped": flip,
    "a line removed": lambda lines, i: lines[:i] + lines[i + 1 :],
    "a line doubled": lambda lines, i: lines[: i + 1] + lines[i:],
    "two lines swapped": lambda lines, i: lines[: max(0, i - 1)] + lines[max(0, i - 1) : i + 1][::-1] + lines[i + 1 :],
    "a foreign line": lambda lines, i: [*lines[:i], b"{}", *lines[i:]],
    "an empty line": lambda lines, i: [*lines[:i], b"", *lines[i:]],
    "spaces behind a line": lambda lines, i: [*lines[:i], lines[i] + b" ", *lines[i + 1 :]],
    "everything from a line on cut": lambda lines, i: lines[:i],
    "a line cut in the middle": lambda lines, i: [*lines[:i], lines[i][: len(lines[i]) // 2], *lines[i + 1 :]],
    "the hash of a line changed": lambda lines, i: [*lines[:i], lines[i][:-3] + b'x"}', *lines[i + 1 :]],
    "the number of a line changed": lambda lines, i: [
        *lines[:i],
        lines[i].replace(b'{"seq":', b'{"seq":1'),
        *lines[i + 1 :],
    ],
}


@pytest.mark.parametrize("name", LINE_EDITS)
def test_edit_of_any_line_is_found(untouched: Untouched, tmp_path: Path, name: str) -> None:
    """One edit at each line in turn that the kept checkpoint covers: compressed segments, open ones, their borders."""
    assert verify(untouched.directory, untouched).ok
    for place in range(untouched.head.seq):
        copy = tmp_path / str(place)
        shutil.copytree(untouched.directory, copy)
        assert each_line(LINE_EDITS[name], copy, place)
        unchanged = all_lines(copy) == all_lines(untouched.directory)
        assert not unchanged or "swapped" in name
        assert verify(copy, untouched).ok == unchanged, place


@pytest.mark.parametrize("which", [0, 1, 2, -2])
def test_missing_segment_is_found(untouched: Untouched, tmp_path: Path, which: int) -> None:
    """First, middle and last but one."""
    shutil.copytree(untouched.directory, tmp_path / "copy")
    list_segments(tmp_path / "copy")[which].path.unlink()
    assert "missing" in verify(tmp_path / "copy", untouched).problem


def test_truncation_is_found_against_a_kept_checkpoint(untouched: Untouched, tmp_path: Path) -> None:
    """At each line end, and by whole segments: without the checkpoint nobody could tell."""
    count = len(all_fields(untouched.directory))
    for keep in range(count):
        copy = tmp_path / str(keep)
        shutil.copytree(untouched.directory, copy)
        left = keep
        for segment in list_segments(copy):
            lines = plain_lines(segment)
            if left <= 0:
                segment.path.unlink()
            elif left < len(lines):
                write_lines(segment, lines[:left])
            left -= len(lines)
        report = verify(copy, untouched)
        assert report.ok == (keep >= untouched.head.seq), (keep, report)
        if keep < untouched.head.seq:
            assert "kept checkpoint" in report.problem
            assert verify(copy, untouched, kept=False).ok


def test_log_written_anew_is_found(untouched: Untouched, tmp_path: Path) -> None:
    """A forger changes one line and computes everything after it again: only signatures tell, and they do."""
    fields = all_fields(untouched.directory)
    starts = [segment.first_seq for segment in list_segments(untouched.directory)]
    for place, line in enumerate(fields):
        if line["kind"] == "checkpoint":
            continue
        copy = tmp_path / str(place)
        shutil.copytree(untouched.directory, copy)
        forged = [{**line, "uid": 4711} if i == place else line for i, line in enumerate(fields)]
        rechain(copy, forged, starts)
        assert verify_chain(copy).problem, "a checkpoint is of other lines, whoever signed it"
        report = verify(copy, untouched, kept=False)
        assert "checkpoint is of other lines" in report.problem


def test_log_written_anew_without_checkpoints_is_found(untouched: Untouched, tmp_path: Path) -> None:
    """Nor does it help to leave the checkpoints out: closed segments must be covered, and a kept head does not fit."""
    copy = tmp_path / "copy"
    shutil.copytree(untouched.directory, copy)
    rechain(
        copy,
        [line for line in all_fields(untouched.directory) if line["kind"] != "checkpoint"],
        [segment.first_seq for segment in list_segments(untouched.directory)],
    )
    assert verify_chain(copy).ok
    assert "no checkpoint covers them" in verify(copy, untouched, kept=False).problem
    assert "kept checkpoint" in verify(copy, untouched).problem


def test_checkpoints_of_another_key_are_found(untouched: Untouched, tmp_path: Path) -> None:
    """A log that is right in itself and signed, but not by the key that the auditor trusts."""
    write_log(tmp_path / "other", Signer())
    assert verify_chain(tmp_path / "other").ok
    assert "another log's" in verify(tmp_path / "other", untouched, kept=False).problem


def test_every_byte_of_a_signed_note_counts(untouched: Untouched, tmp_path: Path) -> None:
    """A checkpoint line whose note was edited, and the rest chained anew, does not hold."""
    fields = all_fields(untouched.directory)
    starts = [segment.first_seq for segment in list_segments(untouched.directory)]
    place = next(i for i, line in enumerate(fields) if line["kind"] == "checkpoint")
    note = fields[place]["note"]
    for at in range(0, len(note), 7):
        changed = note[:at] + chr(ord(note[at]) ^ 1) + note[at + 1 :]
        copy = tmp_path / str(at)
        shutil.copytree(untouched.directory, copy)
        rechain(copy, [{**line, "note": changed} if i == place else line for i, line in enumerate(fields)], starts)
        assert not verify(copy, untouched, kept=False).ok, (at, changed)


def test_forged_signatures_are_found(untouched: Untouched, tmp_path: Path) -> None:
    """Everything right, names and hashes too, but signed with another private key."""

    class Forger(Signer):
        """Signs in the name of the log's key."""

        def sign(self, head: Link) -> str:
            mine, theirs = super().sign(head), untouched.signer.public
            signature = base64.b64decode(mine.split()[-1])[4:]
            return theirs.signed_note(checkpoint_text(theirs.origin, head), signature)

        def open_note(self, note: str) -> Link:
            return read_head(note)

    write_log(tmp_path / "forged", Forger())
    assert verify_chain(tmp_path / "forged").ok
    assert "signature does not hold" in verify(tmp_path / "forged", untouched, kept=False).problem


def test_another_history_under_the_same_key_is_found(untouched: Untouched, tmp_path: Path) -> None:
    """Signed by the right key, but not the log that the auditor saw: a store restored from a backup, say."""
    write_log(tmp_path / "other", untouched.signer, rounds=20)
    assert verify(tmp_path / "other", untouched, kept=False).ok
    assert "written anew" in verify(tmp_path / "other", untouched).problem


@pytest.mark.parametrize("damage", ["cut", "byte", "more", "frame", "empty", "text"])
def test_damaged_compressed_segment_is_found(untouched: Untouched, tmp_path: Path, damage: str) -> None:
    """Whatever is not the one frame that was written, at its very end too."""
    for which in range(2):
        copy = tmp_path / str(which)
        shutil.copytree(untouched.directory, copy)
        segment = [s for s in list_segments(copy) if s.compressed][-1 if which else 0]
        content = segment.path.read_bytes()
        segment.path.write_bytes(
            {
                "cut": content[:-5],
                "byte": content[:100] + bytes([content[100] ^ 1]) + content[101:],
                "more": content + b"x",
                "frame": content + zstandard.compress(b"more\n"),
                "empty": b"",
                "text": json.dumps({"seq": 1}).encode(),
            }[damage]
        )
        assert segment.path.name in verify(copy, untouched).problem


def test_nothing_but_the_public_key_is_needed(untouched: Untouched, tmp_path: Path) -> None:
    """A copy of the segments alone holds; so does the key in either of its two forms."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for segment in list_segments(untouched.directory):
        shutil.copy(segment.path, copy)
    report = verify(copy, untouched)
    assert report.ok
    assert (report.checkpoints, report.signed_seq) == (6, untouched.head.seq)
    public = untouched.signer.public
    assert public.from_text(public.vkey) == public.from_text(public.pem) == public
