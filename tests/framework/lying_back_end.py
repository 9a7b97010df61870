# SPDX-License-Identifier: Apache-2.0
"""A vhost-user back-end for one front-end, which answers ``info`` as a vault does and then lies as a test wants.

Has its own idea of messages and rings, as ``frontend`` has. Serves on a thread of its own until it is closed.
"""

import array
import mmap
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from framework.frontend import F_EVENT_IDX, F_PROTOCOL_FEATURES, NEED_REPLY, P_REPLY_ACK, Msg
from vmm_keystore._vks import ffi, lib

FEATURES = 1 << 32 | 1 << F_EVENT_IDX | 1 << F_PROTOCOL_FEATURES
DESC = struct.Struct("<QIHH")
HEAD_BYTES, RESULT_BYTES = lib.VKS_HEAD_BYTES, lib.VKS_RESULT_BYTES
F_NEXT = 1


class Ring:
    """The ring and the memory of the front-end, mapped; writes whatever it is told to."""

    def __init__(self, memory: mmap.mmap, gpa: int, uva: int, size: int, addresses: tuple[int, int, int]) -> None:
        self.memory = memory
        self.size = size
        self._gpa = gpa
        self._desc, self._used, self._avail = (address - uva for address in addresses)
        self.last_avail = 0
        self.used_idx = 0

    def available(self) -> bool:
        """Whether a request waits."""
        return bool((self._word(self._avail + 2) - self.last_avail) & 0xFFFF)

    def want_kick(self) -> None:
        """Ask to be told of the next one."""
        struct.pack_into("<H", self.memory, self._used + 4 + 8 * self.size, self.last_avail & 0xFFFF)

    def take(self) -> int:
        """The head of the next request."""
        head = self._word(self._avail + 4 + 2 * (self.last_avail % self.size))
        self.last_avail += 1
        return head

    def parts(self, head: int) -> tuple[int, int, int, int]:
        """Where in memory a chain of two descriptors lies: readable offset and size, writable offset and size."""
        gpa, size, flags, following = DESC.unpack_from(self.memory, self._desc + 16 * head)
        writable_gpa, writable_size, _, _ = DESC.unpack_from(self.memory, self._desc + 16 * following)
        if not flags & F_NEXT:
            raise AssertionError("a chain of one descriptor")
        return gpa - self._gpa, size, writable_gpa - self._gpa, writable_size

    def put(self, number: int, used_bytes: int) -> None:
        """Write a used element, of whatever head."""
        at = self._used + 4 + 8 * (self.used_idx % self.size)
        struct.pack_into("<II", self.memory, at, number & 0xFFFFFFFF, used_bytes & 0xFFFFFFFF)

    def publish(self, by: int = 1) -> None:
        """Move used.idx, however far."""
        self.used_idx = (self.used_idx + by) & 0xFFFF
        # In one store: struct makes several, and what a front-end sees in between is an index to it.
        with memoryview(self.memory) as whole, whole.cast("H") as words:
            words[(self._used + 2) // 2] = self.used_idx

    def _word(self, at: int) -> int:
        return int(struct.unpack_from("<H", self.memory, at)[0])


class LyingBackEnd:
    """Listens at *path*; *lie* is called with the ring and a head for every request but ``info``."""

    def __init__(
        self,
        path: Path,
        lie: Callable[["LyingBackEnd", Ring, int], None],
        *,
        answers: Callable[[int, bytes], bytes | None] | None = None,
    ) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._lie = lie
        self._answers = answers
        self._numbers: dict[int, int] = {}
        self._addresses = (0, 0, 0)
        self._region = (0, 0, 0)
        self._fds: dict[int, int] = {}
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._workers: list[threading.Thread] = []
        self.sock: socket.socket | None = None
        self.seen_flags: list[int] = []
        self._thread = threading.Thread(target=self._run, name="lying-back-end", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        self._thread.join()
        os.eventfd_write(self._stop_fd, 1)
        for worker in self._workers:
            worker.join()
        for fd in self._fds.values():
            os.close(fd)
        self._listener.close()
        os.close(self._stop_fd)

    def hang_up(self) -> None:
        """End the connection."""
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def signal(self, request: Msg = Msg.SET_VRING_CALL) -> None:
        """Signal call, or err."""
        os.eventfd_write(self._fds[request], 1)

    def answer(self, ring: Ring, head: int, output: bytes, *, status: int = 0, output_bytes: int | None = None) -> int:
        """Write an answer; the used length of an honest one."""
        _, _, at, size = ring.parts(head)
        ring.memory[at : at + len(output)] = output
        result: Any = ffi.new("struct vks_result *")
        result.output_bytes = len(output) if output_bytes is None else output_bytes
        tail = at + size - 1 - RESULT_BYTES
        ring.memory[tail : tail + RESULT_BYTES] = bytes(ffi.buffer(result))
        ring.memory[at + size - 1] = status
        return size

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                self.sock, _ = self._listener.accept()
                with self.sock, suppress(OSError, EOFError):
                    self._serve(self.sock)

    def _serve(self, sock: socket.socket) -> None:
        while True:
            request, flags, payload = self._receive(sock)
            answer = self._answers(request, payload) if self._answers else None
            if answer is None:
                answer = self._answer(request, flags, payload)
            if answer:
                sock.sendall(struct.pack("<III", request, 5, len(answer)) + answer)
            if request == Msg.SET_VRING_ENABLE:
                kick_fd = os.dup(self._fds[Msg.SET_VRING_KICK])
                self._workers.append(threading.Thread(target=self._work, args=(self._ring(), kick_fd), daemon=True))
                self._workers[-1].start()

    def _receive(self, sock: socket.socket) -> tuple[int, int, bytes]:
        data, ancillary, _, _ = sock.recvmsg(12, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        if len(data) < 12:
            raise EOFError
        request, flags, size = struct.unpack("<III", data)
        for _level, _kind, content in ancillary:
            if request in self._fds:
                os.close(self._fds[request])
            self._fds[request] = array.array("i", content)[0]
        return request, flags, sock.recv(size, socket.MSG_WAITALL) if size else b""

    def _answer(self, request: int, flags: int, payload: bytes) -> bytes:
        if request == Msg.SET_VRING_NUM:
            self._numbers[request] = struct.unpack("<II", payload)[1]
        elif request == Msg.SET_VRING_ADDR:
            self._addresses = struct.unpack("<QQQ", payload[8:32])
        elif request == Msg.SET_MEM_TABLE:
            self._region = struct.unpack("<QQQ", payload[8:32])
        numbers = {Msg.GET_FEATURES: FEATURES, Msg.GET_PROTOCOL_FEATURES: 1 << P_REPLY_ACK}
        if request in numbers:
            return struct.pack("<Q", numbers[Msg(request)])
        return bytes(8) if flags & NEED_REPLY else b""

    def _ring(self) -> Ring:
        gpa, size, uva = self._region
        memory = mmap.mmap(self._fds[Msg.SET_MEM_TABLE], size)
        return Ring(memory, gpa, uva, self._numbers[Msg.SET_VRING_NUM], self._addresses)

    def _work(self, ring: Ring, kick_fd: int) -> None:
        poll = select.poll()
        poll.register(kick_fd, select.POLLIN)
        poll.register(self._stop_fd, select.POLLIN)
        while all(fd == kick_fd for fd, _ in poll.poll()):
            os.eventfd_read(kick_fd)
            ring.want_kick()
            while ring.available():
                self._serve_one(ring, ring.take())
                ring.want_kick()
        os.close(kick_fd)
        ring.memory.close()

    def _serve_one(self, ring: Ring, head: int) -> None:
        at, _, _, _ = ring.parts(head)
        request: Any = ffi.from_buffer("struct vks_request_head *", ring.memory[at : at + HEAD_BYTES])
        self.seen_flags.append(request.flags)
        if request.opcode & 0xFF == lib.VKS_OP_INFO:
            ring.put(head, self.answer(ring, head, bytes(ffi.sizeof("struct vks_info"))))
            ring.publish()
            self.signal()
        else:
            self._lie(self, ring, head)
