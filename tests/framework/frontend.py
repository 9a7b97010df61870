# SPDX-License-Identifier: Apache-2.0
"""A vhost-user front-end for tests and benchmarks: connects, negotiates, shares guest RAM, starts and stops rings.

Speaks like one of three real ones (``QEMU_7_2``, ``QEMU_11_1``, ``UML``), or says whatever a test wants through
``send``. Has its own idea of the wire format, so that a mistake in a back-end's codec is not shared. Complete in
itself: knows neither keys nor the back-end under test.
"""

import array
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Self

from framework.guest_ram import GuestRam, RamRegion
from framework.split_ring import SplitRing


class Msg(IntEnum):
    """Message numbers; also some that a back-end under test may not know."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SET_BACKEND_REQ_FD = 21
    GET_CONFIG = 24
    SET_CONFIG = 25
    CREATE_CRYPTO_SESSION = 26
    CLOSE_CRYPTO_SESSION = 27
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40


NEED_REPLY = 8
P_MQ, P_REPLY_ACK, P_BACKEND_REQ, P_CONFIG, P_RESET_DEVICE, P_MEM_SLOTS, P_STATUS = 0, 3, 5, 9, 13, 15, 16
F_EVENT_IDX = 29
F_PROTOCOL_FEATURES = 30


@dataclass(frozen=True, slots=True)
class Profile:
    """How a real front-end behaves where they differ."""

    name: str
    protocol_features: int  # the bits it knows
    truthful_features: bool = False  # SET_FEATURES says what the guest negotiated
    is_uml: bool = False  # owner first, ENABLE sent, every message acknowledged, pipes for calls, uva = gpa
    resets_device: bool = False
    crypto_session_bytes: int = 632


QEMU_7_2 = Profile("qemu-7.2", (1 << 17) - 1 & ~(1 << P_CONFIG))
QEMU_11_1 = Profile("qemu-11.1", (1 << 20) - 1 & ~(1 << P_CONFIG), resets_device=True, crypto_session_bytes=1072)
UML = Profile("uml", 1 << P_REPLY_ACK | 1 << P_BACKEND_REQ | 1 << P_CONFIG, truthful_features=True, is_uml=True)
PROFILES = (QEMU_7_2, QEMU_11_1, UML)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as it came."""

    request: int
    flags: int
    payload: bytes

    @property
    def u64(self) -> int:
        """Its number."""
        return int(struct.unpack("<Q", self.payload)[0])


class BackEndRefusedError(Exception):
    """The back-end answered NEED_REPLY with an error."""


class FrontEnd:
    """One connection; a context manager that closes it. Guest RAM and rings belong to the caller."""

    def __init__(self, sock: socket.socket, ram: GuestRam, profile: Profile = QEMU_7_2) -> None:
        sock.settimeout(10)
        self.sock = sock
        self.ram = ram
        self.profile = profile
        self.features = 0
        self.protocol_features = 0
        self._backend_req: list[int] = []
        self._started = False

    @classmethod
    def connect(cls, path: Path | str, ram: GuestRam, profile: Profile = QEMU_7_2) -> Self:
        """Connect to a back-end's socket; says nothing yet."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            raise
        return cls(sock, ram, profile)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
        while self._backend_req:
            os.close(self._backend_req.pop())

    # -- raw ---------------------------------------------------------------------------------------------------------

    def send(self, request: int, payload: bytes = b"", fds: Sequence[int] = (), *, flags: int = 1) -> None:
        """Send a message, whatever it says."""
        self.send_raw(struct.pack("<III", request, flags, len(payload)) + payload, fds)

    def send_raw(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send bytes that need not be a message."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
        sent = self.sock.sendmsg([data], ancillary)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def receive(self) -> Answer:
        """Receive one reply.

        Raises:
            ConnectionError: the back-end has hung up.
        """
        request, flags, size_bytes = struct.unpack("<III", self._receive_exactly(12))
        return Answer(request, flags, self._receive_exactly(size_bytes))

    def _receive_exactly(self, size_bytes: int) -> bytes:
        data = b""
        while len(data) < size_bytes:
            more = self.sock.recv(size_bytes - len(data))
            if not more:
                raise ConnectionResetError("back-end hung up")
            data += more
        return data

    def hung_up(self) -> bool:
        """Whether the back-end hangs up now, without another reply."""
        try:
            return not self.sock.recv(1)
        except ConnectionError:
            return True

    # -- messages ----------------------------------------------------------------------------------------------------

    def ask(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> Answer:
        """Send a message that answers by itself."""
        self.send(request, payload, fds)
        answer = self.receive()
        if (answer.request, answer.flags) != (request, 5):
            raise AssertionError(f"{answer} to message {request}")
        return answer

    def tell(self, request: int, payload: bytes = b"", fds: Sequence[int] = (), *, ack: bool = False) -> None:
        """Send a message that does not, with NEED_REPLY where the profile does so.

        Raises:
            BackEndRefusedError: the acknowledgement says so.
        """
        ack = (ack or self.profile.is_uml) and bool(self.protocol_features & 1 << P_REPLY_ACK)
        self.send(request, payload, fds, flags=1 | (NEED_REPLY if ack else 0))
        if ack:
            answer = self.receive()
            if (answer.request, answer.flags, len(answer.payload)) != (request, 5, 8):
                raise AssertionError(f"{answer} to message {request}")
            if answer.u64:
                raise BackEndRefusedError(f"message {request}: {answer.u64}")

    def tell_u64(self, request: int, value: int, fds: Sequence[int] = (), *, ack: bool = False) -> None:
        """A message with one number."""
        self.tell(request, struct.pack("<Q", value), fds, ack=ack)

    def tell_ring(self, request: int, index: int, value: int, *, ack: bool = False) -> None:
        """A message with ring index and number."""
        self.tell(request, struct.pack("<II", index, value), ack=ack)

    def has(self, bit: int) -> bool:
        """Whether a protocol feature is negotiated."""
        return bool(self.protocol_features & 1 << bit)

    # -- what real front-ends do -------------------------------------------------------------------------------------

    def negotiate(self) -> None:
        """All messages up to the device's existence."""
        if self.profile.is_uml:
            self.tell(Msg.SET_OWNER)
            self.features = self.ask(Msg.GET_FEATURES).u64
            self._negotiate_protocol()
            self._set_backend_req_fd()
            self.tell_u64(Msg.SET_FEATURES, self.features)
            return
        self.features = self.ask(Msg.GET_FEATURES).u64
        self._negotiate_protocol()
        if self.has(P_MQ):
            self.ask(Msg.GET_QUEUE_NUM)
        if self.has(P_MEM_SLOTS):
            self.ask(Msg.GET_MAX_MEM_SLOTS)
        self._set_backend_req_fd()
        self.tell(Msg.SET_OWNER)
        self.ask(Msg.GET_FEATURES)
        if self.profile.resets_device and self.has(P_RESET_DEVICE):  # firmware and driver probe the device
            self.tell(Msg.RESET_DEVICE)

    def _negotiate_protocol(self) -> None:
        if self.features & 1 << F_PROTOCOL_FEATURES:
            offered = self.ask(Msg.GET_PROTOCOL_FEATURES).u64
            self.protocol_features = offered & self.profile.protocol_features
            self.tell_u64(Msg.SET_PROTOCOL_FEATURES, self.protocol_features)

    def _set_backend_req_fd(self) -> None:
        if not self.has(P_BACKEND_REQ):
            return
        if self.profile.is_uml:
            ours, theirs = os.pipe2(os.O_CLOEXEC)
        else:
            ours, theirs = (end.detach() for end in socket.socketpair())
        self._backend_req.append(ours)
        try:
            self.tell(Msg.SET_BACKEND_REQ_FD, fds=[theirs], ack=True)
        finally:
            os.close(theirs)

    def share_memory(self) -> None:
        """Send the memory table the way the profile does."""
        regions = self.ram.regions
        if self.has(P_MEM_SLOTS):
            for region in regions:
                self.tell(Msg.ADD_MEM_REG, bytes(8) + _pack_region(region), [self.ram.fd], ack=True)
            return
        self.set_mem_table(regions)

    def set_mem_table(self, regions: Sequence[RamRegion]) -> None:
        """SET_MEM_TABLE; user-mode Linux always sends room for two regions."""
        payload = struct.pack("<II", len(regions), 0) + b"".join(_pack_region(region) for region in regions)
        if self.profile.is_uml:
            payload = payload.ljust(72, b"\0")
        self.tell(Msg.SET_MEM_TABLE, payload, [self.ram.fd] * len(regions), ack=True)

    def set_call(self, ring: SplitRing) -> None:
        """SET_VRING_CALL."""
        self.tell_u64(Msg.SET_VRING_CALL, ring.index, [ring.call_fd])

    def set_kick(self, ring: SplitRing, *, ack: bool = False) -> None:
        """SET_VRING_KICK."""
        self.tell_u64(Msg.SET_VRING_KICK, ring.index, [ring.kick_fd], ack=ack)

    def set_addr(self, ring: SplitRing, *, ack: bool = False) -> None:
        """SET_VRING_ADDR."""
        uvas = [self.ram.uva(gpa) for gpa in (ring.desc_gpa, ring.used_gpa, ring.avail_gpa)]
        log = 2**64 - 1 if self.profile.is_uml else 0
        self.tell(Msg.SET_VRING_ADDR, struct.pack("<IIQQQQ", ring.index, 0, *uvas, log), ack=ack)

    def add_status(self, bits: int) -> None:
        """What QEMU does where STATUS is negotiated: read, then write back with more bits."""
        if self.has(P_STATUS):
            status = self.ask(Msg.GET_STATUS).u64
            if status & bits != bits:
                self.tell_u64(Msg.SET_STATUS, status | bits)

    def start(self, *rings: SplitRing, base: int = 0) -> None:
        """The guest's driver is ready: share memory where that has not been done, set the rings up, let them run."""
        if self.profile.is_uml:
            self._start_uml(rings)
            return
        if not self._started:  # at creation already
            for ring in rings:
                self.set_call(ring)
                self.tell_u64(Msg.SET_VRING_ERR, ring.index, [ring.err_fd])
        self.tell_u64(Msg.SET_FEATURES, 1 << F_PROTOCOL_FEATURES)
        self.add_status(8)
        if not self._started:
            self.share_memory()
        self._started = True
        for ring in rings:
            self.start_ring(ring, base)
        self.ask(Msg.GET_FEATURES)  # what went before is done once this is answered

    def start_ring(self, ring: SplitRing, base: int = 0) -> None:
        """One ring's share of ``start`` as QEMU sends it."""
        self.tell_ring(Msg.SET_VRING_NUM, ring.index, ring.size)
        self.tell_ring(Msg.SET_VRING_BASE, ring.index, base)
        self.set_addr(ring)
        self.set_kick(ring)
        self.set_call(ring)

    def _start_uml(self, rings: Sequence[SplitRing]) -> None:
        self.set_mem_table(self.ram.regions)
        for ring in rings:
            self.set_call(ring)
            self.tell_ring(Msg.SET_VRING_NUM, ring.index, ring.size)
            self.tell_ring(Msg.SET_VRING_BASE, ring.index, 0)
            self.set_addr(ring)
        for ring in rings:
            self.set_kick(ring)
            self.tell_ring(Msg.SET_VRING_ENABLE, ring.index, 1)

    def stop_ring(self, ring: SplitRing) -> int:
        """GET_VRING_BASE: the ring stops; its base."""
        index, base = struct.unpack("<II", self.ask(Msg.GET_VRING_BASE, struct.pack("<II", ring.index, 0)).payload)
        if index != ring.index:
            raise AssertionError(f"base of ring {index}")
        return int(base)

    def stop(self, *rings: SplitRing) -> None:
        """The guest's driver has gone."""
        if self.profile.is_uml:
            for ring in reversed(rings):
                self.tell_ring(Msg.SET_VRING_ENABLE, ring.index, 0)
            self.ask(Msg.GET_FEATURES)
            return
        for ring in rings:
            self.stop_ring(ring)
        if self.profile.resets_device and self.has(P_RESET_DEVICE):
            self.tell(Msg.RESET_DEVICE)
        self.ask(Msg.GET_FEATURES)


def _pack_region(region: RamRegion) -> bytes:
    return struct.pack("<QQQQ", region.gpa, region.size_bytes, region.uva, region.mmap_offset)
