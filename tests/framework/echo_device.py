# SPDX-License-Identifier: Apache-2.0
"""A device for tests of the vhost-user back-end: each request's readable bytes are written to its writable part.

Maps guest memory and serves honest rings in Python on the reactor's thread; with ``late`` set it completes calls only
when a test says so. It logs the calls it got, in order.
"""

import mmap
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from framework.split_ring import DESC, F_INDIRECT, F_NEXT, F_WRITE
from vmm_keystore.vhost_user.backend import Completion, MemoryRegion, RingFd, Session, Vring


@dataclass(slots=True)
class _Mapping:
    region: MemoryRegion
    map: mmap.mmap

    def find(self, address: int, size_bytes: int, start: int) -> memoryview | None:
        offset = address - start
        if not 0 <= offset <= self.region.size_bytes - size_bytes:
            return None
        offset += self.region.mmap_offset
        return memoryview(self.map)[offset : offset + size_bytes]


class EchoDevice:
    """The VringBackend of one session."""

    def __init__(self, session: Session, *, late: bool = False) -> None:
        self.session = session
        self.late = late
        self.log: list[str] = []
        self.closed: str | None = None
        self.fail_next: str | None = None
        self.pending: list[Callable[[], None]] = []
        self.rings: dict[int, Vring] = {}
        self._last_avail: dict[int, int] = {}
        self._maps: list[_Mapping] = []

    # -- calls of the back-end ---------------------------------------------------------------------------------------

    def set_mem_table(self, regions: Sequence[MemoryRegion], completion: Completion) -> None:
        """Map what is new, unmap what is gone."""

        def act() -> int:
            self._unmap()
            self._maps = [_Mapping(r, mmap.mmap(r.fd, r.mmap_offset + r.size_bytes)) for r in regions]
            return 0

        self._call(f"table {len(regions)}", act, completion)

    def start_ring(self, vring: Vring, completion: Completion) -> None:
        """Serve a ring, beginning with what is there."""

        def act() -> int:
            self.rings[vring.index] = vring
            self._last_avail[vring.index] = vring.base
            self.session.reactor.add_reader(vring.kick_fd, lambda: self._kicked(vring.index))
            self._serve(vring.index)
            return 0

        self._call(f"start {vring.index} base {vring.base}", act, completion)

    def stop_ring(self, index: int, completion: Completion) -> None:
        """Stop a ring."""

        def act() -> int:
            self.session.reactor.remove_reader(self.rings.pop(index).kick_fd)
            return self._last_avail[index]

        self._call(f"stop {index}", act, completion)

    def set_ring_fd(self, index: int, role: RingFd, fd: int | None, completion: Completion) -> None:
        """Replace a descriptor."""

        def act() -> int:
            vring = self.rings[index]
            if role is RingFd.KICK and fd is not None:
                self.session.reactor.remove_reader(vring.kick_fd)
                self.session.reactor.add_reader(fd, lambda: self._kicked(index))
                self.rings[index] = replace(vring, kick_fd=fd)
                self._serve(index)
            elif role is RingFd.CALL:
                self.rings[index] = replace(vring, call_fd=fd)
                self._signal(index)
            else:
                self.rings[index] = replace(vring, err_fd=fd)
            return 0

        self._call(f"{role.value} {index}", act, completion)

    def close(self, reason: str) -> None:
        """Let go of everything."""
        self.closed = reason
        for vring in self.rings.values():
            self.session.reactor.remove_reader(vring.kick_fd)
        self.rings.clear()
        self._unmap()

    def _unmap(self) -> None:
        while self._maps:
            self._maps.pop().map.close()

    def _call(self, name: str, act: Callable[[], int], completion: Completion) -> None:
        self.log.append(name)
        if self.fail_next is not None and name.startswith(self.fail_next):
            self.fail_next = None
            completion.failed("the test wants it")
            return

        def finish() -> None:
            completion.done(act())

        if self.late:
            self.pending.append(finish)
        else:
            finish()

    # -- rings -------------------------------------------------------------------------------------------------------

    def _kicked(self, index: int) -> None:
        os.read(self.rings[index].kick_fd, 8)
        self._serve(index)

    def _at_uva(self, uva: int, size_bytes: int) -> memoryview:
        found = (mapping.find(uva, size_bytes, mapping.region.uva) for mapping in self._maps)
        return next(view for view in found if view is not None)

    def _at_gpa(self, gpa: int, size_bytes: int) -> memoryview:
        found = (mapping.find(gpa, size_bytes, mapping.region.gpa) for mapping in self._maps)
        return next(view for view in found if view is not None)

    def _serve(self, index: int) -> None:
        vring = self.rings[index]
        with self._at_uva(vring.avail_uva, 6 + 2 * vring.size).cast("H") as avail:
            heads = []
            while self._last_avail[index] != avail[1]:
                heads.append(avail[2 + self._last_avail[index] % vring.size])
                self._last_avail[index] = (self._last_avail[index] + 1) & 0xFFFF
        for head in heads:
            self._use(vring, head, self._echo(vring, head))
        if heads:
            self._signal(index)

    def _use(self, vring: Vring, head: int, written_bytes: int) -> None:
        with self._at_uva(vring.used_uva, 6 + 8 * vring.size) as used:
            (used_idx,) = struct.unpack_from("<H", used, 2)
            struct.pack_into("<II", used, 4 + 8 * (used_idx % vring.size), head, written_bytes)
            struct.pack_into("<H", used, 2, (used_idx + 1) & 0xFFFF)

    def _echo(self, vring: Vring, head: int) -> int:
        readable = b""
        written_bytes = 0
        for gpa, size_bytes, flags, _ in self._chain(self._at_uva(vring.desc_uva, 16 * vring.size), head):
            with self._at_gpa(gpa, size_bytes) as view:
                if flags & F_WRITE:
                    piece = readable[written_bytes : written_bytes + size_bytes]
                    view[: len(piece)] = piece
                    written_bytes += len(piece)
                else:
                    readable += view
        return written_bytes

    def _chain(self, table: memoryview, head: int) -> list[tuple[int, int, int, int]]:
        chain = [DESC.unpack_from(table, 16 * head)]
        if chain[0][2] & F_INDIRECT:
            return self._chain(self._at_gpa(chain[0][0], chain[0][1]), 0)
        while chain[-1][2] & F_NEXT:
            chain.append(DESC.unpack_from(table, 16 * chain[-1][3]))
        return chain

    def _signal(self, index: int) -> None:
        call_fd = self.rings[index].call_fd
        if call_fd is not None:
            os.write(call_fd, struct.pack("<Q", 1))


class EchoFactory:
    """Makes echo devices and keeps them for the test to look at."""

    def __init__(self, *, late: bool = False) -> None:
        self.late = late
        self.devices: list[EchoDevice] = []

    def open_session(self, session: Session) -> EchoDevice:
        """A device for this front-end."""
        self.devices.append(EchoDevice(session, late=self.late))
        return self.devices[-1]
