# SPDX-License-Identifier: Apache-2.0
"""systemd is told that keystored is alive as long as every loop of it answers, and not a moment longer."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmm_keystore.vhost_user.reactor import SelectorReactor
from vmm_keystore.watchdog import Watchdog, watchdog_period_s
from vmm_keystore.workers.loop import Loop

PERIOD_S = 0.5


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd hears."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


@pytest.fixture
def loops() -> Iterator[dict[str, Loop]]:
    running = {name: Loop(name) for name in ("one", "two")}
    for loop in running.values():
        loop.start()
    yield running
    for loop in running.values():
        loop.stop()


def test_loops_that_answer(systemd: socket.socket, loops: dict[str, Loop]) -> None:
    """Each beat is heard."""
    watchdog = Watchdog({name: loop.call_soon for name, loop in loops.items()}, PERIOD_S)
    for _ in range(3):
        assert watchdog.beat()
        assert systemd.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("name", ["one", "two"])
def test_loop_that_hangs(
    systemd: socket.socket, loops: dict[str, Loop], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is heard, and the log names it; when it answers again all is well."""
    watchdog = Watchdog({each: loop.call_soon for each, loop in loops.items()}, PERIOD_S)
    go_on = threading.Event()

    def hang() -> None:
        go_on.wait(60)

    loops[name].call_soon(hang)
    assert not watchdog.beat()
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    assert caplog.messages == [f"no answer from: {name}"]
    go_on.set()
    while not watchdog.beat():
        pass
    assert systemd.recv(100) == b"WATCHDOG=1"


def test_loop_that_has_ended(systemd: socket.socket) -> None:
    """It does not answer either."""
    reactor = SelectorReactor()
    assert not Watchdog({"gone": reactor.call_soon}, 0.01).beat()
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    reactor.close()


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": ""}, None),
    ],
)
def test_period(environment: dict[str, str], period_s: float | None) -> None:
    """Half of what systemd allows, if it means us (sd_watchdog_enabled(3))."""
    assert watchdog_period_s(environment) == period_s
