# SPDX-License-Identifier: Apache-2.0
"""A session between two messages, as bytes and descriptors, so that another process can go on with it.

Knows no file and no socket. A message counts when it was taken from the socket, and that is done last::

    look at the message, do what it asks for      nothing kept: who comes after us does it again, with the same numbers
    keep TAKING, take it from the socket          done; whether it was taken, the socket tells
    keep OWING, send the answer                   taken; whether it was answered, the socket nearly always tells
    keep IDLE

Content is JSON; descriptors are positions in a list: the socket, the peer's pidfd, then the device's.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from .backend import MemoryRegion, Peer
from .device_state import DeviceState
from .errors import ProtocolError
from .memory_table import MemoryTable
from .messages import PAYLOAD_BYTES_MAX, VringAddr
from .offer import Offer
from .protocol import HEADER_BYTES, QUEUE_SIZE_MAX, ProtocolFeature, Request, mask
from .ring_state import RingState

FORMAT = 1


class Step(Enum):
    """How far the conversation has come."""

    IDLE = "idle"
    TAKING = "taking"
    OWING = "owing"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the front-end waits for, if it does.

    *size_bytes* and *request* are of the message being taken; *digest* is its SHA-256 in hex, empty where an answer is
    owed: the front-end sends nothing before it has that.
    """

    step: Step = Step.IDLE
    request: Request | None = None
    size_bytes: int = 0
    digest: str = ""
    reply: bytes = b""


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A session that another process had; whoever gets it owns the descriptors."""

    socket_fd: int
    peer: Peer
    state: DeviceState
    conversation: Conversation

    def held_fds(self) -> set[int]:
        """Every descriptor that is part of it."""
        return self.state.held_fds() | {self.socket_fd, self.peer.pidfd}


def save(socket_fd: int, peer: Peer, state: DeviceState, conversation: Conversation) -> tuple[bytes, tuple[int, ...]]:
    """Write down a session; its content, and the descriptors that go with it."""
    fds = [socket_fd, peer.pidfd]

    def number(fd: int | None) -> int | None:
        if fd is None:
            return None
        if fd not in fds:
            fds.append(fd)
        return fds.index(fd)

    content = {
        "format": FORMAT,
        "peer": {"pid": peer.pid, "uid": peer.uid, "gid": peer.gid},
        "conversation": {
            "step": conversation.step.value,
            "request": conversation.request,
            "size_bytes": conversation.size_bytes,
            "digest": conversation.digest,
            "reply": conversation.reply.hex(),
        },
        "features": state.features,
        "protocol_features": state.protocol_features,
        "owned": state.owned,
        "status": state.status,
        "negotiated": state.negotiated,
        "enable_seen": state.enable_seen,
        "next_start_id": state.next_start_id,
        "backend_req_fd": number(state.backend_req_fd),
        "regions": [asdict(region) | {"fd": number(region.fd)} for region in state.table.regions],
        "rings": [
            _ring_facts(ring) | {name: number(getattr(ring, name)) for name in _FD_NAMES} for ring in state.rings
        ],
    }
    return json.dumps(content, separators=(",", ":")).encode(), tuple(fds)


def load(content: bytes, fds: Sequence[int], offer: Offer) -> SavedSession:
    """Read what ``save`` wrote.

    Raises:
        ProtocolError: it is of another version, damaged, or no session of a device like *offer*.
    """
    try:
        return _load(json.loads(content), fds, offer)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"saved session cannot be read: {type(error).__name__}") from error


_FD_NAMES = ("kick_fd", "call_fd", "err_fd")
_ADDR_NAMES = ("index", "flags", "desc_uva", "used_uva", "avail_uva")


def _ring_facts(ring: RingState) -> dict[str, Any]:
    return {
        "size": ring.size,
        "addr": asdict(ring.addr) if ring.addr else None,
        "base": ring.base,
        "start_id": ring.start_id,
        "kicked": ring.kicked,
        "enabled": ring.enabled,
        "refused": ring.refused,
        "running": ring.running,
    }


def _load(facts: dict[str, Any], fds: Sequence[int], offer: Offer) -> SavedSession:
    if facts["format"] != FORMAT:
        raise ProtocolError("saved session is of another version")

    def descriptor(value: Any) -> int | None:
        return None if value is None else fds[_number(value, len(fds))]

    state = DeviceState(offer, _number(facts["next_start_id"]))
    state.features = _number(facts["features"])
    state.protocol_features = _number(facts["protocol_features"])
    # With MQ it was told a number of rings; what counts is how many run.
    offered = offer.protocol_features | mask(ProtocolFeature.MQ)
    if state.features & ~offer.features or state.protocol_features & ~offered:
        raise ProtocolError("saved session uses what is not offered any more")
    state.owned, state.status = _flag(facts["owned"]), _number(facts["status"], 1 << 8)
    state.negotiated, state.enable_seen = _flag(facts["negotiated"]), _flag(facts["enable_seen"])
    state.backend_req_fd = descriptor(facts["backend_req_fd"])
    state.table = MemoryTable(
        MemoryRegion(
            gpa=_number(entry["gpa"]),
            size_bytes=_number(entry["size_bytes"]),
            uva=_number(entry["uva"]),
            mmap_offset=_number(entry["mmap_offset"]),
            fd=fds[_number(entry["fd"], len(fds))],
        )
        for entry in facts["regions"]
    )
    if len(state.table.regions) > offer.mem_slots_max:
        raise ValueError
    for ring, entry in zip(state.rings, facts["rings"], strict=False):
        _fill_ring(ring, entry)
        ring.kick_fd, ring.call_fd, ring.err_fd = (descriptor(entry[name]) for name in _FD_NAMES)
    if any(_flag(entry["running"]) for entry in facts["rings"][offer.queue_count :]):
        raise ProtocolError(f"saved session has more rings that run than the {offer.queue_count} that there may be")
    who = facts["peer"]
    peer = Peer(_number(who["pid"]), _number(who["uid"]), _number(who["gid"]), fds[1])
    return SavedSession(fds[0], peer, state, _conversation(facts["conversation"]))


def _fill_ring(ring: RingState, facts: dict[str, Any]) -> None:
    if facts["size"] is not None:
        ring.size = _number(facts["size"], QUEUE_SIZE_MAX + 1)
    if facts["addr"] is not None:
        ring.addr = VringAddr(**{name: _number(facts["addr"][name]) for name in _ADDR_NAMES})
    ring.base, ring.start_id = _number(facts["base"], 1 << 16), _number(facts["start_id"])
    ring.kicked, ring.enabled = _flag(facts["kicked"]), _flag(facts["enabled"])
    ring.refused, ring.resumes = _flag(facts["refused"]), _flag(facts["running"])


def _conversation(facts: dict[str, Any]) -> Conversation:
    return Conversation(
        Step(facts["step"]),
        None if facts["request"] is None else Request(_number(facts["request"])),
        _number(facts["size_bytes"], HEADER_BYTES + PAYLOAD_BYTES_MAX + 1),
        str(facts["digest"]),
        bytes.fromhex(facts["reply"]),
    )


def _number(value: Any, end: int = 1 << 64) -> int:
    if type(value) is not int or not 0 <= value < end:
        raise ValueError
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value
