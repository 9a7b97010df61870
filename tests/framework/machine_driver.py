# SPDX-License-Identifier: Apache-2.0
"""A front-end and a device around the bare state machine: no socket, descriptors are numbers, calls end at once.

The device is a model that knows what may follow what; it fails the test when the machine asks for nonsense. Like a
connection it closes every descriptor the machine no longer holds, and takes note.
"""

import struct
from dataclasses import dataclass, field

from vmm_keystore.vhost_user.backend import RingFd, Vring
from vmm_keystore.vhost_user.device_state import DeviceState
from vmm_keystore.vhost_user.effects import (
    Call,
    CallResult,
    Effect,
    Reply,
    RingFault,
    SetMemTable,
    SetRingFd,
    StartRing,
    StopRing,
)
from vmm_keystore.vhost_user.machine import BackEndMachine
from vmm_keystore.vhost_user.offer import Offer
from vmm_keystore.vhost_user.protocol import Request

UVA = 0x7000_0000_0000


def u64(value: int) -> bytes:
    """A payload with one number."""
    return struct.pack("=Q", value)


def state(index: int, num: int) -> bytes:
    """A payload with ring index and number."""
    return struct.pack("=II", index, num)


def addr(
    index: int = 0, *, desc: int = UVA, used: int = UVA + 0x2000, avail: int = UVA + 0x1000, flags: int = 0
) -> bytes:
    """A payload with ring addresses."""
    return struct.pack("=IIQQQQ", index, flags, desc, used, avail, 0)


def region(gpa: int = 0, size: int = 0x10000, uva: int = UVA, offset: int = 0) -> bytes:
    """A region's description."""
    return struct.pack("=QQQQ", gpa, size, uva, offset)


def table(*regions: bytes) -> bytes:
    """A payload of SET_MEM_TABLE."""
    return struct.pack("=II", len(regions), 0) + b"".join(regions)


@dataclass
class MachineDriver:
    """Sends whole messages to a machine and carries out its calls on the model."""

    offer: Offer = field(default_factory=Offer)
    log: list[str] = field(default_factory=list)
    fail: set[type] = field(default_factory=set)
    open_fds: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.machine = BackEndMachine(DeviceState(self.offer, 1))
        self.running: dict[int, Vring] = {}
        self.base: dict[int, int] = {}
        self.regions: tuple[object, ...] = ()
        self._next_fd = 100

    def fd(self) -> int:
        """A descriptor nobody has seen before, as the kernel would hand it out."""
        self._next_fd += 1
        self.open_fds.add(self._next_fd)
        return self._next_fd

    def send(self, request: int, payload: bytes = b"", fds: int = 0, *, flags: int = 1) -> bytes | None:
        """One message with *fds* new descriptors; the payload of the reply, None without one."""
        data = struct.pack("=III", request, flags, len(payload)) + payload
        numbers = [self.fd() for _ in range(fds)]
        replies: list[bytes] = []
        while data:
            size = min(len(data), self.machine.bytes_wanted)
            self._carry_out(self.machine.receive(data[:size], numbers), replies)
            data, numbers = data[size:], []
        if len(replies) > 1:
            raise AssertionError("several replies to one message")
        if not replies:
            return None
        number, reply_flags, reply_bytes = struct.unpack_from("=III", replies[0])
        if (number, reply_flags, reply_bytes) != (request, 5, len(replies[0]) - 12):
            raise AssertionError(f"reply {replies[0]!r} to message {request}")
        return replies[0][12:]

    def ack(self, request: int, payload: bytes = b"", fds: int = 0) -> int:
        """One message with NEED_REPLY; the acknowledgement."""
        reply = self.send(request, payload, fds, flags=1 | 8)
        if reply is None:
            raise AssertionError("no acknowledgement")
        return int(struct.unpack("=Q", reply)[0])

    def number(self, request: int) -> int:
        """One message that asks for a number."""
        reply = self.send(request)
        if reply is None:
            raise AssertionError("no reply")
        return int(struct.unpack("=Q", reply)[0])

    def negotiate(self) -> "MachineDriver":
        """Take everything offered, become the owner."""
        self.send(Request.SET_PROTOCOL_FEATURES, u64(self.offer.protocol_features))
        self.send(Request.SET_OWNER)
        return self

    def configure(self, index: int = 0, size: int = 64) -> "MachineDriver":
        """Memory, size, base and addresses of a ring; not started yet."""
        self.send(Request.SET_MEM_TABLE, table(region()), 1)
        self.send(Request.SET_VRING_NUM, state(index, size))
        self.send(Request.SET_VRING_BASE, state(index, 0))
        self.send(Request.SET_VRING_ADDR, addr(index))
        return self

    def run(self, index: int = 0) -> "MachineDriver":
        """A ring that is running."""
        self.negotiate().configure(index).send(Request.SET_VRING_KICK, u64(index), 1)
        if index not in self.running:
            raise AssertionError("the ring does not run")
        return self

    def _carry_out(self, effects: list[Effect], replies: list[bytes]) -> None:
        while True:
            call: Call | None = None
            for effect in effects:
                if isinstance(effect, Reply):
                    replies.append(effect.data)
                elif isinstance(effect, RingFault):
                    self.log.append(f"fault {effect.index}: {effect.reason}")
                else:
                    call = effect
            if self.machine.held_fds() - self.open_fds:
                raise AssertionError("holds a descriptor that is closed")
            self.open_fds &= self.machine.held_fds()
            if call is None:
                return
            if self.machine.bytes_wanted:
                raise AssertionError("reads on during a call")
            effects = self.machine.complete(self._act(call))

    def _act(self, call: Call) -> CallResult:
        ok = type(call) not in self.fail
        match call:
            case SetMemTable(regions=regions):
                self.log.append(f"table {len(regions)}")
                self.regions = regions if ok else ()
                self._expect_open(*(r.fd for r in regions))
            case StartRing(vring=vring):
                self.log.append(f"start {vring.index} base {vring.base}")
                if vring.index in self.running:
                    raise AssertionError("started a running ring")
                self._expect_open(vring.kick_fd, vring.call_fd, vring.err_fd)
                self._expect_covered(vring)
                if ok:
                    self.running[vring.index] = vring
                self.base.setdefault(vring.index, vring.base)
            case StopRing(index=index):
                self.log.append(f"stop {index}")
                del self.running[index]
                return CallResult(ok=ok, base=self.base.pop(index, 0))
            case SetRingFd(index=index, role=role, fd=fd):
                self.log.append(f"{role.value} {index} {'none' if fd is None else 'fd'}")
                if index not in self.running or (role is RingFd.KICK and fd is None):
                    raise AssertionError(f"replaced {role.value} of ring {index}")
                self._expect_open(fd)
        return CallResult(ok=ok)

    def _expect_open(self, *fds: int | None) -> None:
        if any(fd is not None and fd not in self.open_fds for fd in fds):
            raise AssertionError("a call with a closed descriptor")

    def _expect_covered(self, vring: Vring) -> None:
        for uva, size_bytes in (
            (vring.desc_uva, 16 * vring.size),
            (vring.avail_uva, 6 + 2 * vring.size),
            (vring.used_uva, 6 + 8 * vring.size),
        ):
            if not self.machine.state.table.covers(uva, size_bytes):
                raise AssertionError("started a ring outside of the table")
