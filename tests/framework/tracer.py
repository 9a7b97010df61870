# SPDX-License-Identifier: Apache-2.0
"""Makes another process do a system call of our choice, as a debugger does: ptrace(2), for x86-64 and root.

The tracee must be asleep in a system call: the instruction behind which it sleeps is the one that is used again.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

PTRACE_POKETEXT, PTRACE_GETREGS, PTRACE_SETREGS = 4, 12, 13
PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SYSCALL = 16, 17, 24
PTRACE_GETREGSET, NT_X86_XSTATE = 0x4204, 0x202
XSTATE_BYTES_MAX = 16384
WALL = 0x40000000
SYSCALL_BYTES = 2
NO_CALL = (1 << 64) - 1
INTERRUPTED = range(-516, -511)  # ERESTARTSYS to ERESTART_RESTARTBLOCK: what a sleeper has as its result
HARMLESS, HARMLESS_ARGUMENT = 3, 1 << 20  # close of no descriptor: every program of ours may do that
INT_80 = 0x80CD

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Registers(ctypes.Structure):
    """struct user_regs_struct of sys/user.h."""

    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in [
            "r15",
            "r14",
            "r13",
            "r12",
            "rbp",
            "rbx",
            "r11",
            "r10",
            "r9",
            "r8",
            "rax",
            "rcx",
            "rdx",
            "rsi",
            "rdi",
            "orig_rax",
            "rip",
            "cs",
            "eflags",
            "rsp",
            "ss",
            "fs_base",
            "gs_base",
            "ds",
            "es",
            "fs",
            "gs",
        ]
    ]


class IoVector(ctypes.Structure):
    """struct iovec of sys/uio.h."""

    _fields_ = [("base", ctypes.c_void_p), ("size_bytes", ctypes.c_size_t)]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a call: it returned *value*, or its process was ended by *signal_number*."""

    value: int = 0
    signal_number: int = 0


class _EndedError(Exception):
    """The tracee is gone."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Tracee:
    """A stopped thread; a context manager that lets it go on as if nothing had been."""

    def __init__(self, tid: int) -> None:
        self._tid = tid
        self._alive = True
        while True:
            _ptrace(PTRACE_ATTACH, tid)
            self._wait()
            self._saved = self._registers()
            if ctypes.c_longlong(self._saved.rax).value in INTERRUPTED:
                break
            # It was on its way to sleep.
            _ptrace(PTRACE_DETACH, tid)
            os.sched_yield()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if not self._alive:
            return
        _ptrace(PTRACE_SETREGS, self._tid, data=ctypes.addressof(self._saved))
        _ptrace(PTRACE_DETACH, self._tid)

    def call(self, number: int, arguments: Sequence[int] = ()) -> Result:
        """Make it do one system call."""
        registers = Registers.from_buffer_copy(self._saved)
        registers.rip -= SYSCALL_BYTES
        registers.rax, registers.orig_rax = number, NO_CALL
        values = [value & NO_CALL for value in (*arguments, *[0] * 6)]
        registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9 = values[:6]
        return self._step(registers)

    def vector_registers(self) -> bytes:
        """Everything that XSAVE keeps of it: x87, SSE, AVX, AVX-512."""
        content = ctypes.create_string_buffer(XSTATE_BYTES_MAX)
        place = IoVector(ctypes.addressof(content), len(content))
        _ptrace(PTRACE_GETREGSET, self._tid, NT_X86_XSTATE, ctypes.addressof(place))
        return content.raw[: place.size_bytes]

    def call_i386(self, number: int) -> Result:
        """The same by ``int 0x80``, in the numbering of 32-bit programs; the code stays changed."""
        registers = Registers.from_buffer_copy(self._saved)
        registers.rip -= SYSCALL_BYTES
        registers.rax, registers.orig_rax = number, NO_CALL
        _ptrace(PTRACE_POKETEXT, self._tid, registers.rip, INT_80)
        return self._step(registers)

    def _step(self, registers: Registers) -> Result:
        """Run the call, then another one: a filter's signal ends a thread only on its way back from the call."""
        after = Registers.from_buffer_copy(self._saved)
        after.rip -= SYSCALL_BYTES
        after.rax, after.orig_rax, after.rdi = HARMLESS, NO_CALL, HARMLESS_ARGUMENT
        try:
            self._run(registers)
            value = ctypes.c_longlong(self._registers().rax).value
            self._run(after)
        except _EndedError as ended:
            self._alive = False
            return Result(signal_number=ended.signal_number)
        return Result(value=value)

    def _run(self, registers: Registers) -> None:
        _ptrace(PTRACE_SETREGS, self._tid, data=ctypes.addressof(registers))
        for _ in ("entry", "end"):
            _ptrace(PTRACE_SYSCALL, self._tid)
            status = self._wait()
            if os.WIFSTOPPED(status) and os.WSTOPSIG(status) != signal.SIGTRAP:
                # The call brought a signal; let it have it.
                _ptrace(PTRACE_SYSCALL, self._tid, data=os.WSTOPSIG(status))
                status = self._wait()
            if not os.WIFSTOPPED(status):
                raise _EndedError(os.WTERMSIG(status))

    def _registers(self) -> Registers:
        registers = Registers()
        _ptrace(PTRACE_GETREGS, self._tid, data=ctypes.addressof(registers))
        return registers

    def _wait(self) -> int:
        return os.waitpid(self._tid, WALL)[1]


def _ptrace(request: int, tid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, tid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace({request}): {os.strerror(number)}")
