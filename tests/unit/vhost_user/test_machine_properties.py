# SPDX-License-Identifier: Apache-2.0
"""Random conversations with the state machine: whatever is said, the device model is never asked for nonsense."""

import struct

from framework.machine_driver import UVA, MachineDriver, addr, region, state, table, u64
from hypothesis import given, settings
from hypothesis import strategies as st

from vmm_keystore.vhost_user.effects import Call, Effect, Reply, RingFault, SetMemTable, SetRingFd, StartRing, StopRing
from vmm_keystore.vhost_user.errors import ProtocolError
from vmm_keystore.vhost_user.messages import PAYLOAD_BYTES_MAX
from vmm_keystore.vhost_user.offer import Offer
from vmm_keystore.vhost_user.protocol import Request

NUMBERS = st.sampled_from([0, 1, 2, 3, 63, 64, 0x100, 0xFFFF, 0x10000, 2**31, 2**32 - 1])
INDEXES = st.sampled_from([0, 0, 0, 1, 1, 2, 255])
ADDRESSES = st.sampled_from(
    [0, UVA, UVA + 1, UVA + 0x1000, UVA + 0x2000, UVA + 0xFFF0, UVA + 0x10000, 2**63, 2**64 - 1]
)
REGIONS = st.builds(
    region,
    st.sampled_from([0, 0x8000, 0x10000, 2**64 - 0x1000]),
    st.sampled_from([0, 0x1000, 0x10000, 2**64 - 1]),
    ADDRESSES,
    st.sampled_from([0, 0x1000, 2**63, 2**64 - 1]),
)
GOOD_REGIONS = st.sampled_from([region(), region(0x10000, uva=UVA + 0x10000), region(0x20000, 0x1000, UVA + 0x20000)])
STATES = st.builds(state, INDEXES, NUMBERS)
VRING_FILES = st.sampled_from([u64(0), u64(0), u64(1), u64(0x100), u64(0x101), u64(2), u64(0x200)])
PAYLOADS = {
    Request.SET_FEATURES: st.sampled_from([u64(0x40000000), u64(0), u64(0x170000000), u64(1)]),
    Request.SET_PROTOCOL_FEATURES: st.sampled_from([u64(0x1A2A9), u64(8), u64(2)]),
    Request.SET_MEM_TABLE: st.lists(REGIONS | GOOD_REGIONS, min_size=1, max_size=4).map(lambda r: table(*r)),
    Request.SET_VRING_NUM: st.builds(state, INDEXES, st.sampled_from([64, 64, 0, 3, 1024, 2048, 40000])),
    Request.SET_VRING_BASE: STATES,
    Request.GET_VRING_BASE: STATES,
    Request.SET_VRING_ENABLE: st.builds(state, INDEXES, st.sampled_from([0, 1, 1, 2])),
    Request.SET_VRING_ADDR: st.just(addr())
    | st.just(addr(1))
    | st.builds(lambda i, d, u, a: addr(i, desc=d, used=u, avail=a), INDEXES, ADDRESSES, ADDRESSES, ADDRESSES),
    Request.SET_VRING_KICK: VRING_FILES,
    Request.SET_VRING_CALL: VRING_FILES,
    Request.SET_VRING_ERR: VRING_FILES,
    Request.GET_CONFIG: st.just(struct.pack("=III", 0, 4, 0) + bytes(4)),
    Request.SET_CONFIG: st.just(struct.pack("=III", 0, 4, 0) + bytes(4)),
    Request.CREATE_CRYPTO_SESSION: st.sampled_from([bytes(632), bytes(1072)]),
    Request.CLOSE_CRYPTO_SESSION: st.just(u64(1)),
    Request.ADD_MEM_REG: (REGIONS | GOOD_REGIONS).map(lambda r: bytes(8) + r),
    Request.REM_MEM_REG: (REGIONS | GOOD_REGIONS).map(lambda r: bytes(8) + r),
    Request.SET_STATUS: st.sampled_from([u64(0), u64(0xF), u64(0x100)]),
}


def fds_for(request: Request, payload: bytes) -> int:
    """What an honest front-end would send along."""
    if request is Request.SET_MEM_TABLE:
        return int(struct.unpack_from("=I", payload)[0])
    if request in {Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR}:
        return 0 if payload[1] & 1 else 1
    return 1 if request in {Request.ADD_MEM_REG, Request.SET_BACKEND_REQ_FD} else 0


@st.composite
def messages(draw: st.DrawFn) -> tuple[Request, bytes, int, int]:
    request = draw(st.sampled_from(Request))
    payload = draw(PAYLOADS.get(request, st.just(b"")))
    fds = fds_for(request, payload) if draw(st.integers(0, 19)) else draw(st.integers(0, 9))
    return request, payload, fds, draw(st.sampled_from([1, 9]))


def check(driver: MachineDriver) -> None:
    """Machine and model agree, nothing runs that should not, nothing should run that does not."""
    machine = driver.machine
    for ring in machine.state.rings:
        assert ring.running == (ring.index in driver.running)
        assert ring.running == (ring.wanted and ring.fault(machine.state.table, driver.offer.queue_size_max) is None)
    assert machine.held_fds() == driver.open_fds
    assert driver.regions == machine.state.table.regions


@settings(max_examples=300, deadline=None)
@given(
    st.lists(messages(), max_size=60),
    st.sets(st.sampled_from([SetMemTable, StartRing, SetRingFd, StopRing]), max_size=1),
)
def test_any_conversation_keeps_machine_and_device_together(
    conversation: list[tuple[Request, bytes, int, int]], fail: set[type]
) -> None:
    """Also with a device that refuses a kind of call. A breach ends the conversation, and nothing else does."""
    driver = MachineDriver(Offer(queue_count=2, config_space=bytes(64)), fail=fail).negotiate()
    for request, payload, fds, flags in conversation:
        running, regions = dict(driver.running), driver.regions
        try:
            driver.send(request, payload, fds, flags=flags)
        except ProtocolError:
            assert (driver.running, driver.regions) == (running, regions)
            return
        check(driver)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 9), max_size=8))
def test_any_bytes_end_in_a_breach_or_in_defined_effects(data: bytes, fd_counts: list[int]) -> None:
    driver = MachineDriver().negotiate()
    counts = iter(fd_counts)
    while data:
        size = driver.machine.bytes_wanted
        assert 0 < size <= PAYLOAD_BYTES_MAX
        try:
            effects: list[Effect] = driver.machine.receive(data[:size], [driver.fd() for _ in range(next(counts, 0))])
        except ProtocolError:
            return
        assert all(isinstance(effect, Reply | RingFault) for effect in effects[:-1])
        if effects and isinstance(effects[-1], Call):
            return
        data = data[size:]
