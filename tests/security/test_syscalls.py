# SPDX-License-Identifier: Apache-2.0
"""Every system call outside the list kills, in the real processes: a debugger makes them call.

The list of what is allowed is written down here once more, by number: what is added to the filter must be added here,
and be seen.
"""

import errno
import fcntl
import mmap
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from framework.tracer import Result, Tracee
from protocol.worker_rig import WorkerRig, Zygote

NONE = -1
BAD_FD = 1 << 20
BAD_ADDRESS = 8
NUMBERS_END = 520
X32 = 0x40000000
KILLED = Result(signal_number=signal.SIGSYS)
# Calls of the kernel's own probe trampolines (uretprobe, uprobe): from Linux 6.14 on no filter is asked about them, and
# they do nothing for anybody else.
PROBE_CALLS = {
    335: {KILLED, Result(signal_number=signal.SIGILL)},
    336: {KILLED, Result(signal_number=signal.SIGILL), Result(value=-errno.ENXIO)},
}

Arguments = tuple[int, ...]


def numbers() -> dict[str, int]:
    """The kernel's numbers by name, from its header."""
    text = subprocess.run(
        ["cc", "-E", "-dM", "-"], input="#include <asm/unistd.h>", capture_output=True, text=True, check=True
    ).stdout
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}


SYS = numbers()

# Each with arguments that do no harm.
WORKER_MAY: dict[str, list[Arguments]] = {
    "poll": [(0, 0, 0)],
    "read": [(BAD_FD, 0, 0)],
    "write": [(BAD_FD, 0, 0)],
    "futex": [(BAD_ADDRESS, 1, 1)],
    "recvmsg": [(BAD_FD,)],
    "sendmsg": [(BAD_FD,)],
    "close": [(BAD_FD,)],
    "fstat": [(BAD_FD,)],
    "fstatfs": [(BAD_FD,)],
    "pread64": [(BAD_FD,)],
    "fcntl": [(BAD_FD, fcntl.F_GETFL), (BAD_FD, fcntl.F_SETFL), (BAD_FD, fcntl.F_GET_SEALS)],
    "mmap": [(0, 0, mmap.PROT_READ | mmap.PROT_WRITE)],
    "mprotect": [(1, 0, mmap.PROT_READ)],
    "munmap": [(1, 0)],
    "mremap": [(1, 0)],
    "brk": [()],
    "madvise": [(1, 0, mmap.MADV_DONTNEED), (1, 0, mmap.MADV_DONTDUMP), (1, 0, mmap.MADV_DONTFORK)],
    "mlock2": [(0, 0, 1)],
    "getrandom": [(0, 0, 0)],
    "getpid": [()],
    "clock_gettime": [(99,)],
    "gettimeofday": [()],
    "time": [()],
    "rt_sigaction": [(signal.SIGBUS, 0, 0, 99)],
    "rt_sigprocmask": [(0, 0, 0, 99)],
}
WORKER_ALSO = {"exit_group", "rt_sigreturn", "restart_syscall"}  # end it, or send it to sleep
WORKER_MAY_NOT: list[tuple[str, Arguments]] = [
    ("mmap", (0, 4096, mmap.PROT_EXEC)),
    ("mmap", (0, 4096, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
    ("mprotect", (0, 0, mmap.PROT_READ | mmap.PROT_EXEC)),
    *[("fcntl", (0, command)) for command in (*range(3), *range(5, 41), *range(1024, 1034), *range(1035, 1045))],
    *[("madvise", (0, 0, advice)) for advice in range(26) if advice not in {4, 10, 16}],
    ("madvise", (0, 0, 100)),
    ("madvise", (0, 0, 101)),
    ("mlock2", (0, 0, 0)),
    *[("rt_sigaction", (number, 0, 0, 8)) for number in range(65) if number != signal.SIGBUS],
]


def outside(may: set[str]) -> list[tuple[str, int, Arguments]]:
    """Every number of no call on the list, those of other architectures included."""
    names = {number: name for name, number in SYS.items()}
    allowed = {SYS[name] for name in may}
    plain = [number for number in range(NUMBERS_END) if number not in allowed]
    x32 = [X32 | number for number in (*range(NUMBERS_END), 520, 547)]
    return [(names.get(number, "?"), number, ()) for number in (*plain, *x32, (1 << 32) - 1)]


def survivors(
    spawn: Callable[[], tuple[ExitStack, int]], tries: list[tuple[str, int, Arguments]]
) -> list[tuple[str, int, Arguments, Result]]:
    """Make a fresh process try each; those that were not killed."""
    lived = []
    for name, number, arguments in tries:
        stack, pid = spawn()
        with stack:
            with Tracee(pid) as tracee:
                result = tracee.call(number, arguments)
            if result not in PROBE_CALLS.get(number, {KILLED}):
                lived.append((name, number, arguments, result))
    return lived


@pytest.fixture
def spawn_worker(zygote: Zygote) -> Callable[[], tuple[ExitStack, int]]:
    def spawn() -> tuple[ExitStack, int]:
        stack = ExitStack()
        rig = stack.enter_context(WorkerRig(zygote))
        return stack, rig.pid

    return spawn


@pytest.mark.timeout(600)
def test_every_call_outside_the_list_kills_a_worker(spawn_worker: Callable[[], tuple[ExitStack, int]]) -> None:
    """One worker per number: 64-bit, x32, and numbers that no kernel has."""
    tries = outside(WORKER_MAY.keys() | WORKER_ALSO)
    assert survivors(spawn_worker, tries) == []
    print(f"worker: {len(tries)} system calls outside the list tried, none let through")


def test_every_wrong_argument_kills_a_worker(spawn_worker: Callable[[], tuple[ExitStack, int]]) -> None:
    """A call on the list with an argument that is not: memory that can be executed, descriptors duplicated."""
    tries = [(name, SYS[name], arguments) for name, arguments in WORKER_MAY_NOT]
    assert survivors(spawn_worker, tries) == []


def test_foreign_numbering_kills_a_worker(zygote: Zygote) -> None:
    """Calls of 32-bit programs have other numbers: 20 is their getpid."""
    with WorkerRig(zygote) as rig, Tracee(rig.pid) as tracee:
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


def test_calls_on_the_list_pass(zygote: Zygote) -> None:
    """The control: what a worker needs it may do, so the others do not die of the debugger."""
    with WorkerRig(zygote) as rig:
        with Tracee(rig.pid) as tracee:
            results = {
                (name, args): tracee.call(SYS[name], args) for name, calls in WORKER_MAY.items() for args in calls
            }
        assert [call for call, result in results.items() if result.signal_number] == []
        assert results["getpid", ()].value == rig.pid
        assert results["read", (BAD_FD, 0, 0)].value == -errno.EBADF
        assert rig.alive
