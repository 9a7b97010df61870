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
from .messages import VringAddr
from .offer import Offer
from .protocol import Request
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
    if facts["format"] != FORMAT or len(facts["rings"]) != offer.queue_count:
        raise ProtocolError("saved session is of another version")

    def descriptor(number: int | None) -> int | None:
        if number is not None and number < 0:
            raise IndexError
        return None if number is None else fds[number]

    state = DeviceState(offer, int(facts["next_start_id"]))
    state.features = int(facts["features"])
    state.protocol_features = int(facts["protocol_features"])
    if state.features & ~offer.features or state.protocol_features & ~offer.protocol_features:
        raise ProtocolError("saved session uses what is not offered any more")
    state.owned, state.status = bool(facts["owned"]), int(facts["status"])
    state.negotiated, state.enable_seen = bool(facts["negotiated"]), bool(facts["enable_seen"])
    state.backend_req_fd = descriptor(facts["backend_req_fd"])
    regions = [MemoryRegion(**entry | {"fd": fds[entry["fd"]]}) for entry in facts["regions"]]
    state.table = MemoryTable(regions)
    for ring, entry in zip(state.rings, facts["rings"], strict=True):
        _fill_ring(ring, entry | {name: descriptor(entry[name]) for name in _FD_NAMES})
    said = facts["conversation"]
    conversation = Conversation(
        Step(said["step"]),
        None if said["request"] is None else Request(said["request"]),
        int(said["size_bytes"]),
        str(said["digest"]),
        bytes.fromhex(said["reply"]),
    )
    who = facts["peer"]
    return SavedSession(fds[0], Peer(int(who["pid"]), int(who["uid"]), int(who["gid"]), fds[1]), state, conversation)


def _fill_ring(ring: RingState, facts: dict[str, Any]) -> None:
    ring.size = facts["size"]
    ring.addr = VringAddr(**facts["addr"]) if facts["addr"] else None
    ring.base, ring.start_id = int(facts["base"]), int(facts["start_id"])
    ring.kick_fd, ring.call_fd, ring.err_fd = facts["kick_fd"], facts["call_fd"], facts["err_fd"]
    ring.kicked, ring.enabled, ring.refused = bool(facts["kicked"]), bool(facts["enabled"]), bool(facts["refused"])
    ring.resumes = bool(facts["running"])
