# SPDX-License-Identifier: Apache-2.0
"""Who serves next, and that nobody does before the dead one's affairs are settled."""

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from vmm_keystore.workers.succession import DELAY_S, QUICK_DEATHS_FREE, Role, Succession
from vmm_keystore.workers.worker import Worker

PATIENCE_S = 5.0


def living() -> Worker:
    """As much of a worker as a succession looks at."""
    return cast("Worker", SimpleNamespace(ended=threading.Event()))


def test_nobody_serves_before_the_dead_one_is_settled() -> None:
    """A successor appends to the same audit ring: what is done about the dead one's records is done before."""
    succession = Succession()
    first, second = living(), living()
    assert succession.install(first)
    assert succession.stand_by(second)
    first.ended.set()
    promoted = threading.Event()
    seen: list[bool] = []

    def promote() -> None:
        succession.promote()
        promoted.set()

    def settle() -> None:
        threading.Thread(target=promote).start()
        seen.append(promoted.wait(0.2))

    assert succession.ended(first, settle)[0] is Role.SERVING
    assert seen == [False]
    assert promoted.wait(PATIENCE_S)
    assert succession.serving is second


def test_only_the_serving_one_is_settled() -> None:
    """A standby that ends has appended nothing, and the ring is somebody else's."""
    succession = Succession()
    serving, standby, stranger = living(), living(), living()
    assert succession.install(serving)
    assert succession.stand_by(standby)
    settled: list[str] = []
    assert succession.ended(standby, lambda: settled.append("standby"))[0] is Role.STANDBY
    assert succession.ended(stranger, lambda: settled.append("stranger"))[0] is Role.NONE
    assert settled == []


def test_wait_of_a_crash_loop_is_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted from the death: a front-end that comes back in between neither shortens nor prolongs it."""
    now_s = 100.0
    monkeypatch.setattr("vmm_keystore.workers.succession.time.monotonic", lambda: now_s)
    succession = Succession()
    for _ in range(QUICK_DEATHS_FREE + 1):
        assert succession.wait_s == 0
        worker = living()
        assert succession.install(worker)
        worker.ended.set()
        _role, lived_s = succession.ended(worker, lambda: None)
        succession.backoff.note_death(lived_s)
    assert succession.wait_s == pytest.approx(DELAY_S)
    now_s += DELAY_S / 4
    assert succession.wait_s == pytest.approx(DELAY_S * 3 / 4)
    now_s += DELAY_S
    assert succession.wait_s == 0
