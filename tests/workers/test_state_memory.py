# SPDX-License-Identifier: Apache-2.0
"""State memory: on tmpfs, private, kept across a restart, and never believed when it does not check."""

import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest
from workers.state_file import mapped

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.errors import StateMemoryError
from vmm_keystore.workers.state_memory import (
    BYTES_BEFORE,
    RECORD_BYTES,
    RING_RECORDS,
    STATE_BYTES,
    StateMemory,
    default_runtime_dir,
    is_tmpfs,
    prepare_runtime_dir,
)


def append(path: Path, count: int, *, first: int = 0) -> None:
    """Play the worker: commit records through a mapping of its own."""
    with mapped(path) as view:
        record: Any = ffi.new("struct vks_audit_record *")
        for number in range(count):
            record.request_sequence = first + number
            assert lib.vks_audit_append(lib.vks_state_audit(view), record) == 0
        lib.vks_audit_close(lib.vks_state_audit(view))


def sequences(records: bytes) -> list[int]:
    return [struct.unpack_from("<QQ", records, at)[1] for at in range(0, len(records), RECORD_BYTES)]


def test_occupancy(runtime_dir: Path) -> None:
    """Requests in flight, and records that wait; whatever a worker that has fallen writes, never more than fit."""
    path = runtime_dir / "g.state"
    with StateMemory(path) as memory:
        assert memory.occupancy() == (0, 0)
        append(path, 3)
        with mapped(path) as view:
            for head in (0, 7, lib.VKS_STATE_QUEUE_SIZE_MAX - 1):
                lib.vks_state_slots(view, 0)[head].inflight = 1
        assert memory.occupancy() == (3, 3)
        memory.take(2)
        assert memory.occupancy() == (3, 1)
        with mapped(path) as view:
            lib.vks_state_slots(view, 0)[7].inflight = 0
            lib.vks_state_audit(view).head = 0
        assert memory.occupancy() == (2, RING_RECORDS)


def test_file_is_private_and_whole(runtime_dir: Path) -> None:
    """Owner only, full size reserved, and what a worker's check accepts."""
    with StateMemory(runtime_dir / "g.state") as state:
        status = state.path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert (status.st_size, status.st_blocks * 512 >= STATE_BYTES) == (STATE_BYTES, True)
        assert state.is_sound()


def test_records_survive_a_restart_until_taken(runtime_dir: Path) -> None:
    """What was committed and not taken is there for the next keystored."""
    with StateMemory(runtime_dir / "g.state") as state:
        append(state.path, 5)
        assert sequences(state.peek()) == [0, 1, 2, 3, 4]
        state.take(2)
    with StateMemory(runtime_dir / "g.state") as state:
        assert sequences(state.peek()) == [2, 3, 4]
        state.take(3)
        assert state.peek() == b""


def test_full_ring_is_drained_in_order_across_its_end(runtime_dir: Path) -> None:
    """Nothing is lost or swapped where the ring wraps."""
    with StateMemory(runtime_dir / "g.state") as state:
        append(state.path, 100)
        state.take(len(state.peek()) // RECORD_BYTES)
        append(state.path, RING_RECORDS, first=1000)
        assert sequences(state.peek()) == list(range(1000, 1000 + RING_RECORDS))


def test_open_record_is_taken_once_it_is_closed(runtime_dir: Path) -> None:
    """Never while it can grow; as the dead worker left it, count and sum together, by who knows that it is dead."""
    with StateMemory(runtime_dir / "g.state") as state, mapped(state.path) as view:
        ring = lib.vks_state_audit(view)
        covered = lib.vks_audit_covered(100)
        lib.vks_audit_append(ring, ffi.new("struct vks_audit_record *", {"request_sequence": 1}))
        lib.vks_audit_append(ring, ffi.new("struct vks_audit_record *", {"request_sequence": 2, "covered": covered}))
        lib.vks_audit_close_to(ring, 1)
        assert sequences(state.peek()) == [1]
        covered += lib.vks_audit_covered((1 << 47) + 1)
        lib.vks_audit_extend(ring, 2, covered)
        assert sequences(state.peek()) == [1]
        state.close_records()
        records = ffi.from_buffer("struct vks_audit_record[]", state.peek())
        assert [lib.vks_audit_covered_requests(record.covered) for record in records] == [0, 2]
        assert lib.vks_audit_covered_bytes(records[1].covered) == (1 << 47) + 101


@pytest.mark.parametrize(
    ("offset", "content"),
    [
        pytest.param(0, b"\0\0\0\0", id="magic"),
        pytest.param(4, b"\x09\0\0\0", id="version"),
        pytest.param(8, b"\xff\xff\xff\xff", id="size"),
    ],
)
def test_damaged_file_is_put_aside(runtime_dir: Path, offset: int, content: bytes) -> None:
    """It is neither used nor thrown away."""
    path = runtime_dir / "g.state"
    with StateMemory(path):
        append(path, 3)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    with StateMemory(path) as state:
        assert state.is_sound()
        assert state.peek() == b""
    assert (runtime_dir / "g.damaged").stat().st_size == STATE_BYTES


def make_before(path: Path) -> None:
    """A file of the version before, with something in flight and on record."""
    with StateMemory(path):
        append(path, 3)
        with mapped(path) as view:
            lib.vks_state_slots(view, 0)[5].inflight = 1
            lib.vks_budget_open(view, 7, 42, 10)
            lib.vks_latency_count(view, ffi.NULL, lib.VKS_OP_SIGN, 1000)
            head: Any = ffi.cast("struct vks_state_head *", view)
            head.version, head.size_bytes = lib.VKS_STATE_VERSION_BEFORE, BYTES_BEFORE
            head.queue_count, head.next_sequence = 1, 42
    os.truncate(path, BYTES_BEFORE)


@pytest.mark.parametrize("cut", ["before", "grown", "sized"])
def test_file_of_the_version_before_is_grown(runtime_dir: Path, cut: str) -> None:
    """With all that is in it, also by the one after whoever died over that."""
    path = runtime_dir / "g.state"
    make_before(path)
    if cut != "before":
        os.truncate(path, STATE_BYTES)
    if cut == "sized":
        with mapped(path) as view:
            head: Any = ffi.cast("struct vks_state_head *", view)
            head.queue_count, head.size_bytes = lib.VKS_STATE_QUEUES_MAX, STATE_BYTES
    with StateMemory(path) as state:
        assert not state.is_new
        assert state.is_sound()
        assert sequences(state.peek()) == [0, 1, 2]
        assert state.occupancy() == (1, 3)
        assert state.budget_used(7) == 10
        with mapped(path) as view:
            assert lib.vks_state_sequence(0, lib.vks_state_queue(view, 0).next_counter) == 42
        assert [sum(latency.counts) for latency in state.latencies()] == [1]
        status = path.stat()
        assert (status.st_size, status.st_blocks * 512 >= STATE_BYTES) == (STATE_BYTES, True)


@pytest.mark.parametrize(
    ("offset", "content"),
    [
        pytest.param(0, b"\0\0\0\0", id="magic"),
        pytest.param(4, b"\x03\0\0\0", id="older"),
        pytest.param(4, b"\x05\0\0\0", id="newer"),
        pytest.param(8, b"\xff\xff\xff\xff", id="size"),
        pytest.param(8, STATE_BYTES.to_bytes(4, "little"), id="more than there is"),
    ],
)
def test_damaged_file_of_the_version_before_is_put_aside(runtime_dir: Path, offset: int, content: bytes) -> None:
    """And not grown."""
    path = runtime_dir / "g.state"
    make_before(path)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    with StateMemory(path) as state:
        assert state.is_new
    assert (runtime_dir / "g.damaged").stat().st_size == BYTES_BEFORE


def test_truncated_file_is_put_aside(runtime_dir: Path) -> None:
    """A short file would be a SIGBUS."""
    path = runtime_dir / "g.state"
    with StateMemory(path):
        pass
    os.truncate(path, STATE_BYTES - 1)
    with StateMemory(path) as state:
        assert state.is_sound()


def test_forged_indices_are_not_records(runtime_dir: Path) -> None:
    """A worker that fell cannot make keystored copy what is not there."""
    with StateMemory(runtime_dir / "g.state") as state:
        append(state.path, 2)
        with mapped(state.path) as view:
            for head, closed in ((RING_RECORDS + 1, RING_RECORDS + 1), (3, 3), (2, 3), (2, RING_RECORDS)):
                lib.vks_state_audit(view).head = head
                lib.vks_state_audit(view).closed = closed
                with pytest.raises(StateMemoryError):
                    state.peek()
                assert not state.is_sound()


def test_base_of_a_dead_workers_ring_counts_what_was_in_flight(runtime_dir: Path) -> None:
    """What was published plus what was taken; for a start that no worker has seen, what the front-end said."""
    with StateMemory(runtime_dir / "g.state") as state:
        with mapped(state.path) as view:
            lib.vks_state_queue(view, 0).start_id = 77
            lib.vks_state_queue(view, 0).used_idx = 65535
            for head in (0, 5, 1023):
                lib.vks_state_slots(view, 0)[head].inflight = 1
        assert state.next_base(0, start_id=77, base=9) == 2
        assert state.next_base(0, start_id=78, base=9) == 9
    assert state.next_base(0, start_id=77, base=9) == 9, "closed: nobody goes on there"


def test_runtime_dir_must_be_tmpfs(tmp_path: Path) -> None:
    """State memory on a disk would outlive the host, and wait for it."""
    if is_tmpfs(tmp_path):
        pytest.skip("the temporary directory is tmpfs here")
    with pytest.raises(StateMemoryError, match="tmpfs"):
        prepare_runtime_dir(tmp_path / "run")


def test_runtime_dir_in_a_folder_of_everybody_is_refused() -> None:
    """Whoever may write the parent could exchange the directory."""
    parent = Path(f"/dev/shm/vmm-keystore-open-{os.getpid()}")
    parent.mkdir()
    parent.chmod(0o777)
    try:
        with pytest.raises(StateMemoryError, match="private"):
            prepare_runtime_dir(parent / "run")
    finally:
        (parent / "run").rmdir()
        parent.rmdir()


def test_default_runtime_dir_is_stable_and_distinct(tmp_path: Path) -> None:
    """A restarted daemon finds its state memory; two daemons do not share it."""
    assert default_runtime_dir(tmp_path / "a") == default_runtime_dir(tmp_path / "a")
    assert default_runtime_dir(tmp_path / "a") != default_runtime_dir(tmp_path / "b")
