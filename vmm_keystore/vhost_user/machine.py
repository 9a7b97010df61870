# SPDX-License-Identifier: Apache-2.0
"""The back-end's state machine: bytes and descriptors in, replies and calls of the device out. No I/O.

A message changes the *desired* state only (``device_state.py``); then ``_reconcile`` yields the calls that bring the
device there, in the order stop, memory table, descriptors, start; then the reply is made. So a ring runs exactly when
the front-end wants it and nothing is wrong with it. While a call is under way nothing is received.

Where vhost-user leaves room:

* a ring starts at SET_VRING_KICK with size and addresses known (earlier is a breach) and goes on from its base
* it is enabled by SET_VRING_ENABLE, by SET_FEATURES without PROTOCOL_FEATURES, and by SET_VRING_KICK as long as
  SET_VRING_ENABLE was never sent on this connection (stock cryptodev-vhost-user never does)
* size, base and addresses of a running ring are fixed; changing them is a breach
* NEED_REPLY is answered once REPLY_ACK is negotiated, and not before
* RESET_OWNER, RESET_DEVICE and status 0 stop and reset all rings, keep call and err descriptors, owner and memory
* sessions with raw guest keys are refused at once; a key on its way in is not stored
"""

from collections.abc import Generator, Sequence

from . import messages, protocol
from .backend import RingFd
from .device_state import DeviceState
from .effects import Call, CallResult, Effect, Reply, RingFault, SetMemTable, SetRingFd, StartRing, StopRing
from .errors import ProtocolError
from .memory_table import MemoryTable
from .messages import U64, Config, CryptoSession, Header, Payload, VringFile, VringState
from .protocol import ProtocolFeature, Request
from .ring_state import RingState

Steps = Generator[Effect, CallResult | None, None]
CallSteps = Generator[Effect, CallResult | None, CallResult]
ReconcileSteps = Generator[Effect, CallResult | None, bool]


class BackEndMachine:
    """One session. Feed it ``bytes_wanted`` bytes at most, carry out its effects in order."""

    def __init__(self, state: DeviceState) -> None:
        """Begin with *state*, of which the device has been told nothing."""
        self.offer = state.offer
        self.state = state
        self._told_table = MemoryTable()
        self._buffer = bytearray()
        self._header: Header | None = None
        self._fds: list[int] = []
        self._steps: Steps | None = None

    @property
    def bytes_wanted(self) -> int:
        """How many bytes complete the present header or payload; 0 while a call is under way."""
        if self._steps is not None:
            return 0
        size_bytes = protocol.HEADER_BYTES if self._header is None else self._header.size_bytes
        return size_bytes - len(self._buffer)

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a message has been received that was not served."""
        return self._steps is None and self._header is None and not self._buffer

    def held_fds(self) -> set[int]:
        """The descriptors still needed; every other one that was received can be closed."""
        return self.state.held_fds().union(self._fds)

    def receive(self, data: bytes, fds: Sequence[int] = ()) -> list[Effect]:
        """Take what arrived; the effects end with a call if one has to complete first.

        Args:
            data: 1 to ``bytes_wanted`` bytes.
            fds: descriptors that came with them.

        Raises:
            ProtocolError: the front-end must be dropped; the machine is of no further use.
        """
        if not 0 < len(data) <= self.bytes_wanted:
            raise AssertionError("received other than what was wanted")
        self._fds.extend(fds)
        if len(self._fds) > messages.FDS_MAX:
            raise ProtocolError("more descriptors than any message carries")
        if self._header is not None and self._header.request is Request.CREATE_CRYPTO_SESSION:
            data = bytes(len(data))  # a guest's raw key is not kept, not even until the message is complete
        self._buffer += data
        if self.bytes_wanted:
            return []
        if self._header is None:
            self._header = Header.unpack(bytes(self._buffer))
            self._buffer.clear()
            self._check_allowed(self._header.request)
            if self.bytes_wanted:
                return []
        self._steps = self._serve(self._header, bytes(self._buffer))
        self._header = None
        self._buffer.clear()
        return self._advance(None)

    def carry_on(self) -> list[Effect]:
        """Tell the device all of a state that is not a fresh one; the effects are like those of a message."""
        self._steps = self._tell_all()
        return self._advance(None)

    def complete(self, result: CallResult) -> list[Effect]:
        """Go on after the call that ended the last effects."""
        return self._advance(result)

    def _advance(self, result: CallResult | None) -> list[Effect]:
        if self._steps is None:
            raise AssertionError("no call is under way")
        effects: list[Effect] = []
        while True:
            try:
                effect = self._steps.send(result)
            except StopIteration:
                self._steps = None
                return effects
            effects.append(effect)
            if isinstance(effect, Call):
                return effects
            result = None

    def _check_allowed(self, request: Request) -> None:
        required = protocol.REQUIRES.get(request)
        if required is not None and not self.state.has(required):
            raise ProtocolError(f"{request.name} without {required.name}")
        if not self.state.owned and request not in protocol.BEFORE_OWNER:
            raise ProtocolError(f"{request.name} before SET_OWNER")

    # -- one message -------------------------------------------------------------------------------------------------

    def _serve(self, header: Header, data: bytes) -> Steps:
        request = header.request
        if len(self._fds) > messages.fds_max(request):
            raise ProtocolError(f"{request.name}: {len(self._fds)} descriptors")
        payload = messages.unpack_payload(request, data)
        ok = True
        handler = self.state.handlers.get(request)
        if handler is not None:
            ok = handler(payload, self._fds)
        self._fds = []
        if handler is not None:
            ok &= yield from self._reconcile()
            ok &= not self._is_start_of_faulty_ring(request, payload)
        if request in protocol.REPLYING:
            yield Reply(messages.pack_reply(request, self._answer(request, payload)))
        elif header.need_reply and self.state.has(ProtocolFeature.REPLY_ACK):
            yield Reply(messages.pack_reply(request, U64(0 if ok else 1).pack()))

    def _is_start_of_faulty_ring(self, request: Request, payload: Payload) -> bool:
        if request in {Request.SET_VRING_KICK, Request.SET_VRING_ENABLE} and isinstance(
            payload, VringFile | VringState
        ):
            ring = self.state.ring(payload.index)
            return ring.wanted and not ring.running
        return False

    def _answer(self, request: Request, payload: Payload) -> bytes:
        state, offer = self.state, self.offer
        match payload:
            case VringState(index=index):  # GET_VRING_BASE; the ring has stopped by now
                return VringState(index, state.ring(index).base).pack()
            case Config(offset=offset, flags=flags, data=data):
                content = offer.config_space[offset : offset + len(data)]
                # An empty payload says that there is no such piece.
                return Config(offset, flags, content).pack() if len(content) == len(data) else b""
            case CryptoSession():
                return payload.pack_refusal()
        numbers = {
            Request.GET_FEATURES: offer.features,
            Request.GET_PROTOCOL_FEATURES: offer.protocol_features,
            Request.GET_QUEUE_NUM: offer.queue_count,
            Request.GET_MAX_MEM_SLOTS: offer.mem_slots_max,
            Request.GET_STATUS: state.status,
        }
        return U64(numbers[request]).pack()

    def _tell_all(self) -> Steps:
        yield from self._reconcile()

    # -- the device follows ------------------------------------------------------------------------------------------

    def _reconcile(self) -> ReconcileSteps:
        ok = True
        for ring in self.state.rings:
            fault = self._fault(ring) if ring.wanted else None
            if fault is not None and fault != ring.reported:
                yield RingFault(ring.index, fault)
            ring.reported = fault
            if ring.running and (fault is not None or not ring.wanted):
                yield from self._stop(ring)
        if self._told_table.regions != self.state.table.regions:
            ok &= yield from self._tell_table()
        for ring in self.state.rings:
            if ring.running:
                ok &= yield from self._tell_fds(ring)
            elif ring.wanted and self._fault(ring) is None:
                ok &= yield from self._start(ring)
        return ok

    def _fault(self, ring: RingState) -> str | None:
        return ring.fault(self.state.table, self.offer.queue_size_max)

    def _stop(self, ring: RingState) -> Steps:
        result = yield from _call(StopRing(ring.index))
        ring.told = None
        # A reset in the same message has its own base already.
        if result.ok and ring.configured:
            ring.base = result.base

    def _tell_table(self) -> ReconcileSteps:
        self._told_table = self.state.table
        result = yield from _call(SetMemTable(self.state.table.regions))
        if result.ok:
            return True
        self.state.table = self._told_table = MemoryTable()
        for ring in self.state.rings:
            if ring.running:
                yield from self._stop(ring)
        return False

    def _tell_fds(self, ring: RingState) -> ReconcileSteps:
        ok = True
        for role in RingFd:
            fd = ring.fd(role)
            if fd != ring.told_fd(role):
                result = yield from _call(SetRingFd(ring.index, role, fd))
                ring.note_told(role, fd)
                ok &= result.ok
        return ok

    def _start(self, ring: RingState) -> ReconcileSteps:
        if not ring.resumes:
            ring.start_id = self.state.take_start_id()
        ring.resumes = False
        vring = ring.vring(self.state.features)
        result = yield from _call(StartRing(vring))
        if result.ok:
            ring.told = vring
        else:
            ring.refused = True
        return result.ok


def _call(call: Call) -> CallSteps:
    result = yield call
    if result is None:
        raise AssertionError("a call was not completed")
    return result
