# SPDX-License-Identifier: Apache-2.0
"""What the front-end wants: every message that changes something, applied to the desired state.

Knows nothing of the device's progress beyond whether a ring runs; ``machine.py`` brings the device here. A handler
returns what NEED_REPLY is told: True for success. It raises ProtocolError for what no honest front-end sends.
"""

from collections.abc import Callable, Sequence
from typing import Any

from . import protocol
from .backend import MemoryRegion, RingFd
from .errors import ProtocolError
from .memory_table import MemoryTable
from .messages import U64, Empty, MemTable, RegionDescription, VringAddr, VringFile, VringState
from .offer import Offer
from .protocol import ProtocolFeature, Request, VirtioFeature, mask
from .ring_state import RingState


class DeviceState:
    """Features, memory, rings and descriptors of one session as the front-end set them."""

    def __init__(self, offer: Offer, first_start_id: int) -> None:
        """Begin a session.

        Args:
            offer: what the front-end may use.
            first_start_id: 64 random bits; the starts of the session's rings count on from there.
        """
        self.offer = offer
        self.next_start_id = first_start_id
        self.features = 0
        self.protocol_features = 0
        self.owned = False
        self.status = 0
        self.table = MemoryTable()
        self.rings = [RingState(index) for index in range(offer.queue_count)]
        self.negotiated = False
        self.enable_seen = False
        self.backend_req_fd: int | None = None
        # Each takes its payload and the message's descriptors.
        self.handlers: dict[Request, Callable[[Any, Sequence[int]], bool]] = {
            Request.SET_FEATURES: self._set_features,
            Request.SET_PROTOCOL_FEATURES: self._set_protocol_features,
            Request.SET_OWNER: self._set_owner,
            Request.RESET_OWNER: self._reset,
            Request.RESET_DEVICE: self._reset,
            Request.SET_STATUS: self._set_status,
            Request.SET_MEM_TABLE: self._set_mem_table,
            Request.ADD_MEM_REG: self._add_mem_reg,
            Request.REM_MEM_REG: self._rem_mem_reg,
            Request.SET_VRING_NUM: self._set_vring_num,
            Request.SET_VRING_BASE: self._set_vring_base,
            Request.GET_VRING_BASE: self._stop_vring,
            Request.SET_VRING_ADDR: self._set_vring_addr,
            Request.SET_VRING_KICK: self._set_vring_kick,
            Request.SET_VRING_CALL: self._set_vring_call,
            Request.SET_VRING_ERR: self._set_vring_err,
            Request.SET_VRING_ENABLE: self._set_vring_enable,
            Request.SET_BACKEND_REQ_FD: self._set_backend_req_fd,
            Request.SET_CONFIG: _refuse,  # the config space is read-only
            Request.CLOSE_CRYPTO_SESSION: _refuse,  # none was ever opened
        }

    def has(self, feature: ProtocolFeature) -> bool:
        """Whether a protocol feature is negotiated."""
        return bool(self.protocol_features & mask(feature))

    def ring(self, index: int) -> RingState:
        """The ring with this index.

        Raises:
            ProtocolError: there is none.
        """
        if index >= len(self.rings):
            raise ProtocolError(f"ring {index} of {len(self.rings)}")
        return self.rings[index]

    def take_start_id(self) -> int:
        """The number of the next start of a ring; never 0."""
        start_id = self.next_start_id or 1
        self.next_start_id = (start_id + 1) % (1 << 64)
        return start_id

    def held_fds(self) -> set[int]:
        """Every descriptor this state still needs."""
        held = {fd for ring in self.rings for fd in ring.fds()}
        held.update(region.fd for region in self.table.regions)
        if self.backend_req_fd is not None:
            held.add(self.backend_req_fd)
        return held

    # -- negotiation -------------------------------------------------------------------------------------------------

    def _set_features(self, message: U64, _fds: Sequence[int]) -> bool:
        if message.value & ~self.offer.features:
            raise ProtocolError("SET_FEATURES with bits that were not offered")
        if message.value != self.features and any(ring.running for ring in self.rings):
            raise ProtocolError("SET_FEATURES changes the features of a running ring")
        self.features = message.value
        if not message.value & mask(VirtioFeature.PROTOCOL_FEATURES):
            for ring in self.rings:
                ring.enabled = True
        return True

    def _set_protocol_features(self, message: U64, _fds: Sequence[int]) -> bool:
        if message.value & ~self.offer.protocol_features:
            raise ProtocolError("SET_PROTOCOL_FEATURES with bits that were not offered")
        if self.negotiated and message.value != self.protocol_features:
            raise ProtocolError("SET_PROTOCOL_FEATURES changes what was negotiated")
        self.protocol_features = message.value
        self.negotiated = True
        return True

    def _set_owner(self, _message: Empty, _fds: Sequence[int]) -> bool:
        if self.owned:
            raise ProtocolError("SET_OWNER twice")
        self.owned = True
        return True

    def _set_backend_req_fd(self, _message: Empty, fds: Sequence[int]) -> bool:
        if len(fds) != 1:
            raise ProtocolError("SET_BACKEND_REQ_FD without a descriptor")
        self.backend_req_fd = fds[0]
        return True

    def _set_status(self, message: U64, _fds: Sequence[int]) -> bool:
        if message.value > 0xFF:
            raise ProtocolError("SET_STATUS above a byte")
        self.status = message.value
        if not message.value:
            self._reset_rings()
        return True

    def _reset(self, _message: Empty, _fds: Sequence[int]) -> bool:
        self.status = 0
        self._reset_rings()
        return True

    def _reset_rings(self) -> None:
        for ring in self.rings:
            ring.reset()

    # -- memory ------------------------------------------------------------------------------------------------------

    def _replace_table(self, table: MemoryTable) -> bool:
        self.table = table
        for ring in self.rings:
            ring.refused = False
        return True

    def _set_mem_table(self, message: MemTable, fds: Sequence[int]) -> bool:
        if len(fds) != len(message.regions):
            raise ProtocolError(f"SET_MEM_TABLE: {len(message.regions)} regions, {len(fds)} descriptors")
        pairs = zip(message.regions, fds, strict=True)
        return self._replace_table(MemoryTable(_region(description, fd) for description, fd in pairs))

    def _add_mem_reg(self, message: RegionDescription, fds: Sequence[int]) -> bool:
        if len(fds) != 1:
            raise ProtocolError("ADD_MEM_REG without a descriptor")
        if len(self.table.regions) >= self.offer.mem_slots_max:
            raise ProtocolError(f"ADD_MEM_REG: more than {self.offer.mem_slots_max} regions")
        return self._replace_table(self.table.with_region(_region(message, fds[0])))

    def _rem_mem_reg(self, message: RegionDescription, _fds: Sequence[int]) -> bool:
        # Some front-ends send the region's descriptor along; it is closed with whatever else nobody holds.
        return self._replace_table(self.table.without_region(message))

    # -- rings -------------------------------------------------------------------------------------------------------

    def _stopped_ring(self, index: int) -> RingState:
        ring = self.ring(index)
        if ring.running:
            raise ProtocolError(f"ring {index} is reconfigured while it runs")
        ring.refused = False
        return ring

    def _set_vring_num(self, message: VringState, _fds: Sequence[int]) -> bool:
        if message.num > protocol.QUEUE_SIZE_MAX:
            raise ProtocolError("SET_VRING_NUM above what a split ring can have")
        self._stopped_ring(message.index).size = message.num
        return True

    def _set_vring_base(self, message: VringState, _fds: Sequence[int]) -> bool:
        if message.num > 0xFFFF:
            raise ProtocolError("SET_VRING_BASE above 16 bits")
        self._stopped_ring(message.index).base = message.num
        return True

    def _set_vring_addr(self, message: VringAddr, _fds: Sequence[int]) -> bool:
        if message.flags:
            raise ProtocolError("SET_VRING_ADDR asks for logging, which is not offered")
        self._stopped_ring(message.index).addr = message
        return True

    def _stop_vring(self, message: VringState, _fds: Sequence[int]) -> bool:
        self.ring(message.index).stop()
        return True

    def _set_vring_fd(self, role: RingFd, message: VringFile, fds: Sequence[int]) -> RingState:
        ring = self.ring(message.index)
        if len(fds) != message.has_fd:
            raise ProtocolError(f"ring {message.index}: {role.value} descriptor announced and sent differ")
        ring.set_fd(role, fds[0] if fds else None)
        ring.refused = False
        return ring

    def _set_vring_kick(self, message: VringFile, fds: Sequence[int]) -> bool:
        ring = self._set_vring_fd(RingFd.KICK, message, fds)
        if not ring.configured:
            raise ProtocolError(f"ring {message.index} is started before its size and addresses are known")
        ring.kicked = True
        if not self.enable_seen:
            ring.enabled = True
        return True

    def _set_vring_call(self, message: VringFile, fds: Sequence[int]) -> bool:
        self._set_vring_fd(RingFd.CALL, message, fds)
        return True

    def _set_vring_err(self, message: VringFile, fds: Sequence[int]) -> bool:
        self._set_vring_fd(RingFd.ERR, message, fds)
        return True

    def _set_vring_enable(self, message: VringState, _fds: Sequence[int]) -> bool:
        if message.num > 1:
            raise ProtocolError("SET_VRING_ENABLE is neither 0 nor 1")
        ring = self.ring(message.index)
        ring.enabled = bool(message.num)
        ring.refused = False
        self.enable_seen = True
        return True


def _refuse(_message: object, _fds: Sequence[int]) -> bool:
    return False


def _region(description: RegionDescription, fd: int) -> MemoryRegion:
    return MemoryRegion(description.gpa, description.size_bytes, description.uva, description.mmap_offset, fd)
