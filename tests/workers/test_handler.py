# SPDX-License-Identifier: Apache-2.0
"""vks-handler itself: what is no order runs nothing, and whoever has the other end of its socket ends what it runs."""

import os
import select
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from framework.patience import wait_for
from workers.test_deaths import alive

from vmm_keystore._vks import lib
from vmm_keystore.policy.event import Event, EventKind
from vmm_keystore.service.ports import DeliveryError, DeliveryStoppedError
from vmm_keystore.workers.activated import ActivatedPrograms
from vmm_keystore.workers.handler import PROGRAM, HandlerPrograms
from vmm_keystore.workers.ipc import HEAD_BYTES, pack, pack_message
from vmm_keystore.workers.programs import Process, start_program

Running = tuple[Process, socket.socket]
WAIT_S = 20.0
EVENT = Event("0af", 0, EventKind.TEST, "a test", {}, {})


class Script:
    """A program that starts another one, notes both, says something, and does not end."""

    def __init__(self, folder: Path) -> None:
        """Lie in *folder*; everybody may run it, as whatever user."""
        folder.chmod(0o755)
        self._notes = folder / "notes"
        self._notes.touch()
        self._notes.chmod(0o666)
        path = folder / "program"
        path.write_text(f"#!/bin/sh\nsleep 1000 &\necho said\necho $$ $! >>{self._notes}\nexec sleep 1000\n")
        path.chmod(0o755)
        self.path = os.fsencode(path)

    @property
    def pids(self) -> list[int]:
        """The two; none while it was not run."""
        return [int(word) for word in self._notes.read_text().split()]


@contextmanager
def handler() -> Iterator[Running]:
    """Start a vks-handler, which is told nothing yet."""
    process, control = start_program(PROGRAM, arguments=["/nowhere"])
    control.settimeout(WAIT_S)
    yield process, control
    control.close()
    assert has_ended(process)
    process.close(reap=True)


@pytest.fixture
def script() -> Iterator[Script]:
    """Give a program."""
    with tempfile.TemporaryDirectory() as folder:
        yield Script(Path(folder))


def has_ended(process: Process) -> bool:
    return bool(select.select([process.pidfd], [], [], WAIT_S)[0])


def order(program: bytes, event_id: bytes = b"0af", kind: bytes = b"test", line: bytes = b"{}\n") -> bytes:
    """A whole order."""
    parts = {"program_bytes": program, "id_bytes": event_id, "kind_bytes": kind, "line_bytes": line}
    body = pack("vks_handler_run", {name: len(part) for name, part in parts.items()}) + b"".join(parts.values())
    return pack_message(lib.VKS_HANDLER_RUN, 1, body)


def with_word(packet: bytes, offset: int, value: int) -> bytes:
    """The packet with another number at an offset."""
    return packet[:offset] + value.to_bytes(4, "little") + packet[offset + 4 :]


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no message": (lambda _path: b"x", "Protocol error"),
    "cut short": (lambda path: order(path)[:-1], "Protocol error"),
    "no more than its head": (lambda path: with_word(order(path)[:HEAD_BYTES], 4, HEAD_BYTES), "Protocol error"),
    "byte behind it": (lambda path: order(path) + b"x", "Protocol error"),
    "longer than a message may be": (lambda path: order(path) + bytes(lib.VKS_IPC_BYTES_MAX), "Protocol error"),
    "another type": (lambda _path: pack_message(lib.VKS_CUSTODIAN_STATUS, 1), "it is no order to run a program"),
    "unknown type": (lambda path: with_word(order(path), 0, 0x899), "Protocol error"),
    "wrong length": (lambda path: with_word(order(path), HEAD_BYTES, 5), "its lengths do not add up"),
    "wrapping length": (lambda path: with_word(order(path), HEAD_BYTES, 0xFFFFFFFF), "its lengths do not add up"),
    "zero in the path": (lambda path: order(path + b"\0x"), "the program is no absolute path"),
    "relative path": (lambda path: order(path[1:]), "the program is no absolute path"),
    "one more variable": (lambda path: order(path, b"a\0LD_PRELOAD=x"), "the event's id is no word"),
    "kind that is no word": (lambda path: order(path, kind=b"a b"), "the event's kind is no word"),
    "no newline": (lambda path: order(path, line=b"{}"), "the event is no line of text"),
    "zero in the event": (lambda path: order(path, line=b"{\0}\n"), "the event is no line of text"),
}


@pytest.mark.parametrize("which", SPOILT)
def test_spoilt_orders(capfd: pytest.CaptureFixture[str], script: Script, which: str) -> None:
    """It says what is wrong and ends; nobody is answered, and nothing was run."""
    with handler() as (process, control):
        spoil, reason = SPOILT[which]
        control.send(spoil(script.path))
        assert has_ended(process)
        assert control.recv(100) == b""
        assert capfd.readouterr().err == f"vks-handler: message: {reason}\n"
        assert script.pids == []


def test_descriptors_are_refused(capfd: pytest.CaptureFixture[str], script: Script) -> None:
    """An order comes without any."""
    with handler() as (process, control):
        socket.send_fds(control, [order(script.path)], [0])
        assert has_ended(process)
        assert capfd.readouterr().err == "vks-handler: message: Protocol error\n"


@pytest.mark.parametrize("how", ["close", "shutdown", "second order"])
def test_other_end_ends_it(script: Script, how: str) -> None:
    """What was started dies too; who only shut down its sending end is told what the program had said."""
    with handler() as (process, control):
        control.send(order(script.path))
        pids = wait_for(lambda: script.pids)
        assert len(pids) == 2
        if how == "close":
            control.close()
        elif how == "shutdown":
            control.shutdown(socket.SHUT_WR)
        else:
            control.send(order(b"/bin/true"))
        assert has_ended(process)
        wait_for(lambda: not any(map(alive, pids)))
        if how == "shutdown":
            packet = control.recv(lib.VKS_IPC_BYTES_MAX)
            said = b"said\n"
            assert packet[HEAD_BYTES:] == pack("vks_handler_ended", {"status": -9, "said_bytes": len(said)}) + said
            assert control.recv(100) == b""


def test_who_asks_nothing() -> None:
    """Its end is no failure."""
    with handler() as (process, control):
        control.close()
        assert has_ended(process)


def test_output_is_bounded() -> None:
    """The answer is a message, however much the program says; and says nothing of a later part."""
    with handler() as (_process, control):
        control.send(order(b"/bin/cat", line=b"x" * 40000 + b"\n"))
        packet = control.recv(lib.VKS_IPC_BYTES_MAX)
        said = b"x" * lib.VKS_HANDLER_SAID_BYTES_MAX
        assert packet[HEAD_BYTES:] == pack("vks_handler_ended", {"status": 0, "said_bytes": len(said)}) + said


def test_no_user_and_nothing_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    """Where keystored names nothing to hide, a program has a user of its own or is not run."""
    process, control = start_program(PROGRAM)
    control.settimeout(WAIT_S)
    with control:
        control.send(order(b"/usr/bin/id", line=b"{}\n"))
        said = control.recv(lib.VKS_IPC_BYTES_MAX)[HEAD_BYTES + 8 :].decode()
    assert has_ended(process)
    process.close(reap=True)
    assert capfd.readouterr().err == ""
    if os.geteuid() == 0:
        assert f"uid={os.geteuid()}(" not in said
        assert "uid=" in said
    else:
        assert said == "cannot become a user of its own: Operation not permitted\n"


def test_program_dies_with_it(script: Script) -> None:
    """A vks-handler that is killed leaves no program that nobody looks after; what that started is for systemd."""
    with handler() as (process, control):
        control.send(order(script.path))
        pids = wait_for(lambda: script.pids)
        process.kill()
        wait_for(lambda: not alive(pids[0]))
        os.kill(pids[1], signal.SIGKILL)


@pytest.fixture
def stop_fd() -> Iterator[int]:
    """Readable once keystored stops."""
    fd = os.eventfd(0)
    yield fd
    os.close(fd)


def test_nobody_starts_it(tmp_path: Path, stop_fd: int) -> None:
    """That is a failed attempt, and none where keystored and systemd stop together."""
    programs = HandlerPrograms(lambda: ActivatedPrograms(tmp_path).take(PROGRAM))
    with pytest.raises(DeliveryError, match=f"cannot start it: systemd does not start {PROGRAM} at {tmp_path}"):
        programs.run(Path("/bin/true"), EVENT, WAIT_S, stop_fd)
    os.eventfd_write(stop_fd, 1)
    with pytest.raises(DeliveryStoppedError):
        programs.run(Path("/bin/true"), EVENT, WAIT_S, stop_fd)


def test_one_that_hangs(stop_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed like the program would have been, and nothing is left of it."""
    monkeypatch.setattr("vmm_keystore.workers.handler.END_WAIT_S", 0.2)
    pids = []

    def start() -> Running:
        process, control = start_program(PROGRAM, arguments=["/nowhere"])
        os.kill(process.pid, signal.SIGSTOP)
        pids.append(process.pid)
        return process, control

    with pytest.raises(DeliveryError, match=r"it did not end within 0\.1 s and was killed$"):
        HandlerPrograms(start).run(Path("/bin/true"), EVENT, 0.1, stop_fd)
    assert not Path(f"/proc/{pids[0]}").exists()


def test_one_that_dies(stop_fd: int) -> None:
    """The attempt has failed."""

    def start() -> Running:
        process, control = start_program(PROGRAM, arguments=["/nowhere"])
        process.kill()
        return process, control

    with pytest.raises(DeliveryError, match=f"^{PROGRAM}"):
        HandlerPrograms(start).run(Path("/bin/true"), EVENT, WAIT_S, stop_fd)
