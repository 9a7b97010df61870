# SPDX-License-Identifier: Apache-2.0
"""What each program may ask the kernel for, written down once more: what is added to a filter must be added here too.

Each call comes with arguments that do no harm when it is really made; *also* are those that would end the process or
send it to sleep. *never* are calls on the list with an argument that is not.
"""

import fcntl
import mmap
import re
import signal
import subprocess
import termios
from dataclasses import dataclass

Arguments = tuple[int, ...]

BAD_FD = 1 << 20
BAD_ADDRESS = 8
NUMBERS_END = 520
X32 = 0x40000000
SECCOMP_SET_MODE_FILTER = 1
MLOCK_ONFAULT = 1
F_COMMANDS = (*range(41), *range(1024, 1045))


def _numbers() -> dict[str, int]:
    """The kernel's numbers by name, from its header."""
    text = subprocess.run(
        ["cc", "-E", "-dM", "-"], input="#include <asm/unistd.h>", capture_output=True, text=True, check=True
    ).stdout
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}


SYS = _numbers()


@dataclass(frozen=True)
class Allowed:
    """The list of one program."""

    may: dict[str, list[Arguments]]
    also: frozenset[str]
    never: list[tuple[str, Arguments]]

    def outside(self) -> list[tuple[str, int, Arguments]]:
        """Every number of no call on the list, in the numbering of 64-bit and of x32 programs, and none at all."""
        names = {number: name for name, number in SYS.items()}
        allowed = {SYS[name] for name in self.may.keys() | self.also}
        plain = [number for number in range(NUMBERS_END) if number not in allowed]
        x32 = [X32 | number for number in (*allowed, *range(512, 548))]
        return [(names.get(number, "?"), number, ()) for number in (*plain, *x32, (1 << 32) - 1)]

    def wrong(self) -> list[tuple[str, int, Arguments]]:
        """The calls with arguments that are not on the list."""
        return [(name, SYS[name], arguments) for name, arguments in self.never]


MEMORY: dict[str, list[Arguments]] = {
    "mmap": [(0, 0, mmap.PROT_READ | mmap.PROT_WRITE)],
    "mprotect": [(1, 0, mmap.PROT_READ)],
    "munmap": [(1, 0)],
    "mremap": [(1, 0)],
    "brk": [()],
    "madvise": [(1, 0, mmap.MADV_DONTNEED), (1, 0, mmap.MADV_DONTDUMP), (1, 0, mmap.MADV_DONTFORK)],
    "mlock2": [(0, 0, MLOCK_ONFAULT)],
}
MEMORY_NEVER: list[tuple[str, Arguments]] = [
    ("mmap", (0, 4096, mmap.PROT_EXEC)),
    ("mmap", (0, 4096, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
    ("mprotect", (0, 0, mmap.PROT_READ | mmap.PROT_EXEC)),
    *[("madvise", (0, 0, advice)) for advice in (*range(26), 100, 101) if advice not in {4, 10, 16}],
    ("mlock2", (0, 0, 0)),
]
CRYPTO: dict[str, list[Arguments]] = {
    "getrandom": [(0, 0, 0)],
    "getpid": [()],
    "clock_gettime": [(99,)],
    "gettimeofday": [()],
    "time": [()],
    "futex": [(BAD_ADDRESS, 1, 1)],
    "rt_sigprocmask": [(0, 0, 0, 99)],
}
PAGES: dict[str, list[Arguments]] = {
    "memfd_secret": [(99,)],
    "memfd_create": [(BAD_ADDRESS,)],
    "ftruncate": [(BAD_FD,)],
}
MESSAGES: dict[str, list[Arguments]] = {
    "recvmsg": [(BAD_FD,)],
    "sendmsg": [(BAD_FD,)],
    "close": [(BAD_FD,)],
    "fstat": [(BAD_FD,)],
}
SLEEP_OR_END = frozenset({"exit_group", "restart_syscall"})


def _fcntl(*commands: int) -> tuple[list[Arguments], list[tuple[str, Arguments]]]:
    return [(BAD_FD, command) for command in commands], [
        ("fcntl", (0, command)) for command in F_COMMANDS if command not in commands
    ]


_worker_fcntl, _worker_not_fcntl = _fcntl(fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_GET_SEALS)
WORKER = Allowed(
    may=MEMORY
    | CRYPTO
    | MESSAGES
    | {
        "poll": [(0, 0, 0)],
        "read": [(BAD_FD, 0, 0)],
        "write": [(BAD_FD, 0, 0)],
        "fstatfs": [(BAD_FD,)],
        "pread64": [(BAD_FD,)],
        "fcntl": _worker_fcntl,
        "rt_sigaction": [(signal.SIGBUS, 0, 0, 99)],
    },
    also=SLEEP_OR_END | {"rt_sigreturn"},
    never=MEMORY_NEVER
    + _worker_not_fcntl
    + [("rt_sigaction", (number, 0, 0, 8)) for number in range(65) if number != signal.SIGBUS],
)

_custodian_fcntl, _custodian_not_fcntl = _fcntl(fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_ADD_SEALS)
CUSTODIAN = Allowed(
    may=MEMORY
    | CRYPTO
    | PAGES
    | MESSAGES
    | {
        "getsockopt": [(BAD_FD, 1, 3)],
        "fcntl": _custodian_fcntl,
        "write": [(2, 0, 0)],
        "pread64": [(BAD_FD,)],
        "pwrite64": [(BAD_FD,)],
        "fsync": [(BAD_FD,)],
    },
    also=SLEEP_OR_END,
    never=MEMORY_NEVER
    + _custodian_not_fcntl
    + [("getsockopt", (3, 1, name)) for name in range(80) if name != 3]
    + [("write", (fd, 0, 0)) for fd in (0, 1, 3, 4)],
)

HOLDER = Allowed(
    may={
        "poll": [(0, 0, 0)],
        "accept4": [(BAD_FD,)],
        "recvmsg": [(BAD_FD,)],
        "sendmsg": [(BAD_FD,)],
        "close": [(BAD_FD,)],
    },
    also=SLEEP_OR_END,
    never=[],
)

O_CREAT, O_TRUNC, O_APPEND = 0o100, 0o1000, 0o2000
_import_fcntl, _import_not_fcntl = _fcntl(fcntl.F_ADD_SEALS)
IMPORT = Allowed(
    may=MEMORY
    | CRYPTO
    | PAGES
    | {
        "openat": [(BAD_FD, BAD_ADDRESS, 0)],
        "read": [(BAD_FD, 0, 0)],
        "write": [(BAD_FD, 0, 0)],
        "close": [(BAD_FD,)],
        "fstat": [(BAD_FD,)],
        "ioctl": [(BAD_FD, termios.TCGETS), (BAD_FD, termios.TCSETSF)],
        "fcntl": _import_fcntl,
    },
    also=SLEEP_OR_END,
    never=MEMORY_NEVER
    + _import_not_fcntl
    + [("openat", (0, 0, flag)) for flag in (O_CREAT, O_TRUNC, O_APPEND, 1 | O_CREAT)]
    + [("ioctl", (0, request)) for request in (termios.TIOCSTI, termios.TCSETS, termios.TCSETSW, termios.FIONREAD)],
)

TPM = Allowed(
    may=MEMORY
    | CRYPTO
    | PAGES
    | {
        "read": [(BAD_FD, 0, 0)],
        "write": [(BAD_FD, 0, 0)],
        "close": [(BAD_FD,)],
        "fcntl": _import_fcntl,
    },
    also=SLEEP_OR_END,
    never=MEMORY_NEVER + _import_not_fcntl,
)

RECOVERY = Allowed(
    may=TPM.may
    | {
        "pwrite64": [(BAD_FD,)],
        "fstat": [(BAD_FD,)],
        "fsync": [(BAD_FD,)],
    },
    also=SLEEP_OR_END,
    never=TPM.never,
)
