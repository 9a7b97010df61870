# SPDX-License-Identifier: Apache-2.0
"""Programs that must always run: restarted when they end, ended when keystored wants it."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmm_keystore.workers import programs
from vmm_keystore.workers.connection import Connection
from vmm_keystore.workers.errors import ProgramLostError, ProgramMissingError
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.supervised import SupervisedProgram

PATIENCE_S = 5.0


class Prepared:
    """Counts how often a program was told what it must know."""

    def __init__(self) -> None:
        self.count = 0
        self.fail = False
        self.changed = threading.Condition()

    def __call__(self, _connection: Connection) -> None:
        """Be told."""
        with self.changed:
            self.count += 1
            self.changed.notify_all()
        if self.fail:
            raise ProgramLostError("told to fail")

    def wait(self, count: int) -> None:
        """Wait for the *count*-th start."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.count >= count, PATIENCE_S)


@pytest.fixture
def libexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs for this test: ``obedient`` ends when its control socket closes, ``stubborn`` does not."""
    for name, body in (("obedient", "exec cat <&3 >/dev/null"), ("stubborn", "exec sleep 600")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nPATH=/bin:/usr/bin\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setattr(programs, "LIBEXEC", tmp_path)
    return tmp_path


@pytest.fixture
def prepared() -> Prepared:
    return Prepared()


@pytest.fixture
def program(loop: Loop, libexec: Path, prepared: Prepared) -> Iterator[SupervisedProgram]:
    assert libexec.is_dir()
    running = SupervisedProgram(loop, "obedient", {}, prepared)
    running.start()
    yield running
    running.stop()


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_killed_program_is_replaced_and_told_again(program: SupervisedProgram, prepared: Prepared) -> None:
    """SIGKILL costs a restart; the successor is prepared before anybody may ask it."""
    for count in (2, 3):
        connection, pid = program.connection(), program.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        prepared.wait(count)
        with pytest.raises(ProgramLostError):
            connection.post(1).result(PATIENCE_S)
        assert program.connection(PATIENCE_S) is not connection
        assert program.pid != pid
        assert gone(pid)


def test_lost_connection_is_not_given_away(program: SupervisedProgram) -> None:
    """Who asks between the loss of a connection and the program's end gets the successor's."""
    lost = program.connection()
    lost.close("lost")
    assert program.connection() is not lost


def test_stop_ends_an_obedient_program(program: SupervisedProgram) -> None:
    """Closing the control socket is enough, and nobody starts it again."""
    pid = program.pid
    assert pid is not None
    program.stop()
    assert gone(pid)
    assert program.pid is None
    with pytest.raises(ProgramLostError):
        program.connection(0)


def test_stop_kills_a_stubborn_program(loop: Loop, libexec: Path) -> None:
    """A program that does not end is killed."""
    assert libexec.is_dir()
    running = SupervisedProgram(loop, "stubborn", {})
    running.start()
    pid = running.pid
    assert pid is not None
    running.stop()
    assert gone(pid)


def test_program_that_cannot_be_prepared_leaves_nothing(loop: Loop, libexec: Path, prepared: Prepared) -> None:
    """A failed start is the caller's to report; no process stays behind."""
    assert libexec.is_dir()
    prepared.fail = True
    running = SupervisedProgram(loop, "stubborn", {}, prepared)
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    before = children.read_text()
    with pytest.raises(ProgramLostError, match="told to fail"):
        running.start()
    assert children.read_text() == before


def test_missing_program_says_where(loop: Loop, libexec: Path) -> None:
    """An incomplete installation is named as such."""
    with pytest.raises(ProgramMissingError, match=str(libexec / "absent")):
        SupervisedProgram(loop, "absent", {}).start()
