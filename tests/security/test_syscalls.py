# SPDX-License-Identifier: Apache-2.0
"""Every system call outside a program's list kills it: a debugger makes the real processes call."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from framework.tracer import Result, Tracee
from protocol.worker_rig import WorkerRig, Zygote, receive, send
from security.allowed_calls import (
    CUSTODIAN,
    HOLDER,
    IMPORT,
    RECOVERY,
    SYS,
    TPM,
    WORKER,
    Allowed,
    Arguments,
)

from vmm_keystore._vks import lib
from vmm_keystore.workers.ipc import pack_message
from vmm_keystore.workers.programs import Process, program_path, spawn, start_program

KILLED = Result(signal_number=signal.SIGSYS)
# Calls of the kernel's own probe trampolines (uretprobe, uprobe): from Linux 6.14 on no filter is asked about them, and
# they do nothing for anybody else.
PROBE_CALLS = {
    335: {KILLED, Result(signal_number=signal.SIGILL)},
    336: {KILLED, Result(signal_number=signal.SIGILL), Result(value=-errno.ENXIO)},
}

SECCOMP_MODE_FILTER = 2

Spawn = Callable[[], AbstractContextManager[int]]


@contextmanager
def ended(process: Process, control: socket.socket | None = None) -> Iterator[int]:
    """A child of ours that the debugger may have reaped already."""
    try:
        yield process.pid
    finally:
        process.kill()
        if control:
            control.close()
        os.close(process.pidfd)
        try:
            os.waitpid(process.pid, 0)
        except ChildProcessError:
            process.ended.set()


@contextmanager
def custodian() -> Iterator[int]:
    """A custodian that has answered: it is sealed."""
    process, control = start_program("vks-custodian")
    control.settimeout(10)
    with ended(process, control) as pid:
        send(control, pack_message(lib.VKS_CUSTODIAN_STATUS, 1))
        assert receive(control).error == 0
        yield pid


@contextmanager
def importer() -> Iterator[int]:
    """An import that waits for the key on its standard input."""
    command: list[str | Path] = [program_path("vks-import"), "--offer", "00" * 48, "--type", "aes-256", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        while not Path(f"/proc/{child.pid}/syscall").read_text().startswith("0 0x0 "):
            os.sched_yield()
        with ended(Process(child.pid, os.pidfd_open(child.pid))) as pid:
            yield pid


@contextmanager
def tpm() -> Iterator[int]:
    """One that waits for an answer of its TPM."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command: list[str | Path] = [program_path("vks-tpm"), "seal", "00" * 48, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
            ours.recv(1)
            while not Path(f"/proc/{child.pid}/syscall").read_text().startswith(f"0 {theirs.fileno():#x} "):
                os.sched_yield()
            with ended(Process(child.pid, os.pidfd_open(child.pid))) as pid:
                yield pid


@contextmanager
def recovery() -> Iterator[int]:
    """One that waits for the KEK."""
    command: list[str | Path] = [program_path("vks-recovery"), "split", "2", "1", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        while not Path(f"/proc/{child.pid}/syscall").read_text().startswith("0 0x0 "):
            os.sched_yield()
        with ended(Process(child.pid, os.pidfd_open(child.pid))) as pid:
            yield pid


@contextmanager
def holder(path: Path) -> Iterator[int]:
    """A holder that waits for keystored: it is sealed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        process = spawn("vks-holder", listening, os.geteuid())
    with ended(process) as pid:
        while f"\nSeccomp:\t{SECCOMP_MODE_FILTER}\n" not in Path(f"/proc/{pid}/status").read_text():
            os.sched_yield()
        yield pid
    path.unlink()


@pytest.fixture(params=["worker", "custodian", "import", "tpm", "recovery", "holder"])
def program(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> tuple[str, Allowed, Spawn]:
    """Name, list, and how to start one."""

    @contextmanager
    def worker() -> Iterator[int]:
        with WorkerRig(zygote) as rig:
            yield rig.pid

    programs: dict[str, tuple[Allowed, Spawn]] = {
        "worker": (WORKER, worker),
        "custodian": (CUSTODIAN, custodian),
        "import": (IMPORT, importer),
        "tpm": (TPM, tpm),
        "recovery": (RECOVERY, recovery),
        "holder": (HOLDER, lambda: holder(tmp_path / "h")),
    }
    return (request.param, *programs[request.param])


def let_through(begin: Spawn, tries: list[tuple[str, int, Arguments]]) -> list[tuple[str, int, Arguments, Result]]:
    """Make a fresh process try each; those for which it was not killed."""
    through = []
    for name, number, arguments in tries:
        with begin() as pid, Tracee(pid) as tracee:
            result = tracee.call(number, arguments)
        if result not in PROBE_CALLS.get(number, {KILLED}):
            through.append((name, number, arguments, result))
    return through


@pytest.mark.timeout(600)
def test_every_call_outside_the_list_kills(program: tuple[str, Allowed, Spawn]) -> None:
    """One process per number."""
    name, allowed, begin = program
    tries = allowed.outside()
    assert let_through(begin, tries) == []
    sys.stderr.write(f"{name}: {len(tries)} system calls outside the list tried, none let through\n")


@pytest.mark.timeout(300)
def test_every_wrong_argument_kills(program: tuple[str, Allowed, Spawn]) -> None:
    """Memory that can be executed, memory that shows up in dumps again, files created, descriptors duplicated."""
    name, allowed, begin = program
    tries = allowed.wrong()
    assert let_through(begin, tries) == []
    sys.stderr.write(f"{name}: {len(tries)} wrong arguments tried, none let through\n")


def test_calls_on_the_list_pass(program: tuple[str, Allowed, Spawn]) -> None:
    """The control: what a program needs it may do, so the others do not die of the debugger."""
    _name, allowed, begin = program
    with begin() as pid, Tracee(pid) as tracee:
        results = {(name, args): tracee.call(SYS[name], args) for name, calls in allowed.may.items() for args in calls}
        assert [call for call, result in results.items() if result.signal_number] == []
        assert results.get(("getpid", ()), Result(value=pid)).value == pid


def test_foreign_numbering_kills(program: tuple[str, Allowed, Spawn]) -> None:
    """Calls of 32-bit programs have other numbers: 20 is their getpid."""
    _name, _allowed, begin = program
    with begin() as pid, Tracee(pid) as tracee:
        assert tracee.call_i386(20) == KILLED


def test_both_lanes_are_sealed(zygote: Zygote) -> None:
    """The second thread was there before the filter, and has it too."""
    with WorkerRig(zygote) as rig:
        tids = [int(path.name) for path in Path(f"/proc/{rig.pid}/task").iterdir()]
        assert len(tids) == 2
        for tid in tids:
            assert "\nSeccomp:\t2\nSeccomp_filters:\t1\n" in Path(f"/proc/{rig.pid}/task/{tid}/status").read_text()
        with Tracee(max(tids)) as tracee:
            assert tracee.call(SYS["openat"]) == KILLED


def test_stopped_and_continued_worker_goes_on(zygote: Zygote) -> None:
    """What the kernel itself calls to go on waiting is on the list."""
    with WorkerRig(zygote) as rig:
        for _ in range(20):
            signal.pidfd_send_signal(rig.pidfd, signal.SIGSTOP)
            signal.pidfd_send_signal(rig.pidfd, signal.SIGCONT)
        rig.publish()
        assert rig.alive
