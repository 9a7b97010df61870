# SPDX-License-Identifier: Apache-2.0
"""Which audit rings have something to take: all that do, and none that is not there any more."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from workers.state_file import mapped

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.ring_watch import RingWatch
from vmm_keystore.workers.state_memory import RING_RECORDS, StateMemory

GUESTS = 40


def with_ring(path: Path, change: Callable[[Any], None]) -> None:
    """Play a worker: change the audit ring of a file."""
    with mapped(path) as view:
        change(lib.vks_state_audit(view))


def commit(ring: Any) -> None:
    assert lib.vks_audit_append(ring, ffi.new("struct vks_audit_record *")) == 0
    lib.vks_audit_close(ring)


def leave_open(ring: Any) -> None:
    assert lib.vks_audit_append(ring, ffi.new("struct vks_audit_record *")) == 0


def break_it(ring: Any) -> None:
    ring.head = ring.closed = ring.tail + RING_RECORDS + 1
    ring.closed = ring.tail


def test_those_that_have_records(runtime_dir: Path) -> None:
    rings = RingWatch()
    assert rings.waiting() == []
    with ExitStack() as stack:
        states = {
            name: stack.enter_context(StateMemory(runtime_dir / f"{name}.state", rings))
            for name in ("idle", "busy", "open", "broken")
        }
        assert rings.waiting() == []
        with_ring(states["busy"].path, commit)
        with_ring(states["open"].path, leave_open)
        with_ring(states["broken"].path, break_it)
        assert sorted(rings.waiting()) == ["broken", "busy"]
        states["busy"].take(1)
        states["open"].close_records()
        assert sorted(rings.waiting()) == ["broken", "open"]
    assert rings.waiting() == []


def test_one_that_is_put_aside_and_made_anew(runtime_dir: Path) -> None:
    rings = RingWatch()
    path = runtime_dir / "g.state"
    old = StateMemory(path, rings)
    with_ring(path, commit)
    old.put_aside()
    assert rings.waiting() == []
    with StateMemory(path, rings):
        with_ring(path, commit)
        assert rings.waiting() == ["g"]


def test_while_guests_come_and_go(runtime_dir: Path) -> None:
    """Nobody looks at memory that was let go of: that would end the process."""
    rings = RingWatch()
    stopping = threading.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        while not stopping.is_set():
            rings.waiting()
            looks += 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(5):
            with ExitStack() as stack:
                for number in range(GUESTS):
                    stack.enter_context(StateMemory(runtime_dir / f"g{number}.state", rings))
    finally:
        stopping.set()
        thread.join()
    assert looks > 0
