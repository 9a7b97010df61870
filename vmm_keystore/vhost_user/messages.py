# SPDX-License-Identifier: Apache-2.0
"""Message codec: every payload with its exact sizes and descriptor counts, both ways where both ways exist.

Knows bytes only; what a message means in which state is ``machine.py``'s. Integers are the host's, as front-end and
back-end share one machine. Nothing in an error text comes from a payload.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from . import protocol
from .errors import ProtocolError
from .protocol import Request

_HEADER = struct.Struct("=III")
_U64 = struct.Struct("=Q")
_S64 = struct.Struct("=q")
_STATE = struct.Struct("=II")
_ADDR = struct.Struct("=IIQQQQ")
_COUNT = struct.Struct("=II")
_REGION = struct.Struct("=QQQQ")
_CONFIG = struct.Struct("=III")


@dataclass(frozen=True, slots=True)
class Header:
    """The 12 bytes in front of every message, already known to be a request of an acceptable size."""

    request: Request
    need_reply: bool
    size_bytes: int

    @classmethod
    def unpack(cls, buffer: bytes) -> "Header":
        """Decode and check a header.

        Raises:
            ProtocolError: version, flags, type or size are not those of a request a front-end may send.
        """
        number, flags, size_bytes = _HEADER.unpack(buffer)
        if flags & protocol.VERSION_MASK != protocol.VERSION or flags & ~(
            protocol.VERSION_MASK | protocol.FLAG_NEED_REPLY
        ):
            raise ProtocolError(f"message {number}: flags {flags:#x}")
        try:
            request = Request(number)
        except ValueError:
            raise ProtocolError(f"message {number} is not offered") from None
        if not _LAYOUTS[request].size_ok(size_bytes):
            raise ProtocolError(f"{request.name}: payload of {size_bytes} bytes")
        return cls(request, bool(flags & protocol.FLAG_NEED_REPLY), size_bytes)


@dataclass(frozen=True, slots=True)
class Empty:
    """No payload."""


@dataclass(frozen=True, slots=True)
class U64:
    """One number: features, status, session id."""

    value: int

    def pack(self) -> bytes:
        """Encode."""
        return _U64.pack(self.value)


@dataclass(frozen=True, slots=True)
class VringState:
    """A ring and a number: size, base or enable."""

    index: int
    num: int

    def pack(self) -> bytes:
        """Encode."""
        return _STATE.pack(self.index, self.num)


@dataclass(frozen=True, slots=True)
class VringAddr:
    """Where a ring lies in the front-end's address space; the log address is not looked at, logging is not offered."""

    index: int
    flags: int
    desc_uva: int
    used_uva: int
    avail_uva: int


@dataclass(frozen=True, slots=True)
class VringFile:
    """A ring and whether a descriptor came along."""

    index: int
    has_fd: bool


@dataclass(frozen=True, slots=True)
class RegionDescription:
    """One memory region as the front-end describes it, its descriptor apart."""

    gpa: int
    size_bytes: int
    uva: int
    mmap_offset: int


@dataclass(frozen=True, slots=True)
class MemTable:
    """All regions at once."""

    regions: tuple[RegionDescription, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """A piece of the device's config space."""

    offset: int
    flags: int
    data: bytes

    def pack(self) -> bytes:
        """Encode."""
        return _CONFIG.pack(self.offset, len(self.data), self.flags) + self.data


@dataclass(frozen=True, slots=True)
class CryptoSession:
    """A request for a session with a raw guest key. The key is dropped on arrival, the size tells the layout."""

    size_bytes: int

    def pack_refusal(self) -> bytes:
        """The answer in full size: session id -1, all else zero, so that no key travels back."""
        reply = bytearray(self.size_bytes)
        _S64.pack_into(reply, protocol.CRYPTO_SESSION_ID_OFFSETS[self.size_bytes], -1)
        return bytes(reply)


Payload = Empty | U64 | VringState | VringAddr | VringFile | RegionDescription | MemTable | Config | CryptoSession


def _unpack_vring_file(data: bytes) -> VringFile:
    (value,) = _U64.unpack(data)
    if value & ~(protocol.VRING_INDEX_MASK | protocol.VRING_NO_FD_MASK):
        raise ProtocolError("ring descriptor message with unknown bits")
    return VringFile(value & protocol.VRING_INDEX_MASK, not value & protocol.VRING_NO_FD_MASK)


def _unpack_mem_table(data: bytes) -> MemTable:
    count, _padding = _COUNT.unpack_from(data)
    # User-mode Linux always sends room for two regions: bytes behind the last announced one are not looked at.
    if not 0 < count <= protocol.MEM_TABLE_REGIONS_MAX or _COUNT.size + count * _REGION.size > len(data):
        raise ProtocolError(f"SET_MEM_TABLE: {count} regions")
    offsets = range(_COUNT.size, _COUNT.size + count * _REGION.size, _REGION.size)
    return MemTable(tuple(RegionDescription(*_REGION.unpack_from(data, offset)) for offset in offsets))


def _unpack_config(data: bytes) -> Config:
    offset, size_bytes, flags = _CONFIG.unpack_from(data)
    content = data[_CONFIG.size :]
    if size_bytes != len(content):
        raise ProtocolError("config message whose size contradicts its payload")
    return Config(offset, flags, content)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a message type looks on the wire: payload sizes, how to decode, and how many descriptors it may carry."""

    sizes: frozenset[int]
    unpack: Callable[[bytes], Payload]
    fds_max: int = 0

    def size_ok(self, size_bytes: int) -> bool:
        return size_bytes in self.sizes


def _sizes(*sizes: int) -> frozenset[int]:
    return frozenset(sizes)


_EMPTY = _Layout(_sizes(0), lambda _: Empty())
_NUMBER = _Layout(_sizes(_U64.size), lambda data: U64(*_U64.unpack(data)))
_VRING_STATE = _Layout(_sizes(_STATE.size), lambda data: VringState(*_STATE.unpack(data)))
_VRING_ADDR = _Layout(_sizes(_ADDR.size), lambda data: VringAddr(*_ADDR.unpack(data)[:5]))
_VRING_FILE = _Layout(_sizes(_U64.size), _unpack_vring_file, fds_max=1)
_MEM_TABLE = _Layout(
    frozenset(_COUNT.size + count * _REGION.size for count in range(1, protocol.MEM_TABLE_REGIONS_MAX + 1)),
    _unpack_mem_table,
    fds_max=protocol.MEM_TABLE_REGIONS_MAX,
)
_MEM_REG = _Layout(
    _sizes(_U64.size + _REGION.size),
    lambda data: RegionDescription(*_REGION.unpack_from(data, _U64.size)),
    fds_max=1,
)
_CONFIG_SPACE = _Layout(
    frozenset(range(_CONFIG.size + 1, _CONFIG.size + protocol.CONFIG_BYTES_MAX + 1)), _unpack_config
)

_LAYOUTS = {
    Request.GET_FEATURES: _EMPTY,
    Request.SET_FEATURES: _NUMBER,
    Request.SET_OWNER: _EMPTY,
    Request.RESET_OWNER: _EMPTY,
    Request.SET_MEM_TABLE: _MEM_TABLE,
    Request.SET_VRING_NUM: _VRING_STATE,
    Request.SET_VRING_ADDR: _VRING_ADDR,
    Request.SET_VRING_BASE: _VRING_STATE,
    Request.GET_VRING_BASE: _VRING_STATE,
    Request.SET_VRING_KICK: _VRING_FILE,
    Request.SET_VRING_CALL: _VRING_FILE,
    Request.SET_VRING_ERR: _VRING_FILE,
    Request.GET_PROTOCOL_FEATURES: _EMPTY,
    Request.SET_PROTOCOL_FEATURES: _NUMBER,
    Request.GET_QUEUE_NUM: _EMPTY,
    Request.SET_VRING_ENABLE: _VRING_STATE,
    Request.SET_BACKEND_REQ_FD: _Layout(_sizes(0), lambda _: Empty(), fds_max=1),
    Request.GET_CONFIG: _CONFIG_SPACE,
    Request.SET_CONFIG: _CONFIG_SPACE,
    Request.CREATE_CRYPTO_SESSION: _Layout(
        frozenset(protocol.CRYPTO_SESSION_ID_OFFSETS), lambda data: CryptoSession(len(data))
    ),
    Request.CLOSE_CRYPTO_SESSION: _NUMBER,
    Request.RESET_DEVICE: _EMPTY,
    Request.GET_MAX_MEM_SLOTS: _EMPTY,
    Request.ADD_MEM_REG: _MEM_REG,
    Request.REM_MEM_REG: _MEM_REG,
    Request.SET_STATUS: _NUMBER,
    Request.GET_STATUS: _EMPTY,
}

PAYLOAD_BYTES_MAX = max(max(layout.sizes) for layout in _LAYOUTS.values())
FDS_MAX = max(layout.fds_max for layout in _LAYOUTS.values())


def fds_max(request: Request) -> int:
    """How many descriptors a message of this type may carry at most."""
    return _LAYOUTS[request].fds_max


def fds_announced(request: Request, payload: Payload) -> int:
    """How many descriptors come with a message that is what it says; those of REM_MEM_REG nobody needs."""
    match payload:
        case VringFile(has_fd=has_fd):
            return int(has_fd)
        case MemTable(regions=regions):
            return len(regions)
    return int(request in {Request.ADD_MEM_REG, Request.SET_BACKEND_REQ_FD})


def unpack_payload(request: Request, data: bytes) -> Payload:
    """Decode the payload of a message whose size its header has been accepted with.

    Raises:
        ProtocolError: the payload contradicts itself.
    """
    return _LAYOUTS[request].unpack(data)


def pack_reply(request: Request, payload: bytes) -> bytes:
    """A reply to *request* with its header."""
    return _HEADER.pack(request, protocol.VERSION | protocol.FLAG_REPLY, len(payload)) + payload
