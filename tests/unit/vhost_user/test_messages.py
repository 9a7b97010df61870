# SPDX-License-Identifier: Apache-2.0
"""The codec: exact sizes, flags and descriptor counts of every message type."""

import struct

import pytest
from framework.machine_driver import MachineDriver, addr, region, state, table, u64

from vmm_keystore.vhost_user import messages
from vmm_keystore.vhost_user.errors import ProtocolError
from vmm_keystore.vhost_user.messages import Header
from vmm_keystore.vhost_user.offer import Offer
from vmm_keystore.vhost_user.protocol import Request

# What each message's payload may measure, by the specification and by what the front-ends really send.
SIZES: dict[Request, set[int]] = {
    Request.GET_FEATURES: {0},
    Request.SET_FEATURES: {8},
    Request.SET_OWNER: {0},
    Request.RESET_OWNER: {0},
    Request.SET_MEM_TABLE: {8 + 32 * count for count in range(1, 9)},
    Request.SET_VRING_NUM: {8},
    Request.SET_VRING_ADDR: {40},
    Request.SET_VRING_BASE: {8},
    Request.GET_VRING_BASE: {8},
    Request.SET_VRING_KICK: {8},
    Request.SET_VRING_CALL: {8},
    Request.SET_VRING_ERR: {8},
    Request.GET_PROTOCOL_FEATURES: {0},
    Request.SET_PROTOCOL_FEATURES: {8},
    Request.GET_QUEUE_NUM: {0},
    Request.SET_VRING_ENABLE: {8},
    Request.SET_BACKEND_REQ_FD: {0},
    Request.GET_CONFIG: set(range(13, 269)),
    Request.SET_CONFIG: set(range(13, 269)),
    Request.CREATE_CRYPTO_SESSION: {632, 1072},
    Request.CLOSE_CRYPTO_SESSION: {8},
    Request.RESET_DEVICE: {0},
    Request.GET_MAX_MEM_SLOTS: {0},
    Request.ADD_MEM_REG: {40},
    Request.REM_MEM_REG: {40},
    Request.SET_STATUS: {8},
    Request.GET_STATUS: {0},
}
FDS = {
    Request.SET_MEM_TABLE: 8,
    Request.SET_VRING_KICK: 1,
    Request.SET_VRING_CALL: 1,
    Request.SET_VRING_ERR: 1,
    Request.SET_BACKEND_REQ_FD: 1,
    Request.ADD_MEM_REG: 1,
    Request.REM_MEM_REG: 1,
}
PAYLOADS = {
    Request.SET_MEM_TABLE: table(region()),
    Request.SET_VRING_ADDR: addr(),
    Request.ADD_MEM_REG: bytes(8) + region(),
    Request.REM_MEM_REG: bytes(8) + region(),
    Request.GET_CONFIG: struct.pack("=III", 0, 4, 0) + bytes(4),
    Request.SET_CONFIG: struct.pack("=III", 0, 4, 0) + bytes(4),
    Request.CREATE_CRYPTO_SESSION: bytes(632),
}


def header(request: int, size: int, flags: int = 1) -> bytes:
    return struct.pack("=III", request, flags, size)


def everything_offered() -> MachineDriver:
    return MachineDriver(Offer(queue_count=2, config_space=bytes(64)))


@pytest.mark.parametrize("request_", Request, ids=lambda request: request.name)
def test_a_wrong_size_is_refused_before_the_payload_is_read(request_: Request) -> None:
    """Every size up to far beyond the largest message, and the largest that a header can announce."""
    for size in [*range(1200), 65536, 2**31, 2**32 - 1]:
        if size in SIZES[request_]:
            assert Header.unpack(header(request_, size)) == Header(request_, need_reply=False, size_bytes=size)
        else:
            with pytest.raises(ProtocolError):
                Header.unpack(header(request_, size))


@pytest.mark.parametrize("flags", [0, 2, 3, 5, 8, 0x11, 0x80000001, 0xFFFFFFFF])
def test_flags_of_no_request_are_refused(flags: int) -> None:
    """Another version, a reply, unknown bits."""
    with pytest.raises(ProtocolError):
        Header.unpack(header(Request.GET_FEATURES, 0, flags))


def test_messages_that_are_not_offered_are_refused() -> None:
    """Logging, live migration, IOTLB, inflight sharing, whatever comes next: nothing is half implemented."""
    for number in [*range(64), 1000, 2**32 - 1]:
        if number not in set(Request):
            with pytest.raises(ProtocolError, match="not offered"):
                Header.unpack(header(number, 0))


@pytest.mark.parametrize("request_", Request, ids=lambda request: request.name)
def test_a_wrong_descriptor_count_is_refused(request_: Request) -> None:
    """More descriptors than the message carries, on a connection where the message itself is allowed."""
    driver = everything_offered().negotiate()
    size = min(SIZES[request_])
    payload = PAYLOADS.get(request_, bytes(size))
    for count in range(FDS.get(request_, 0) + 1, 10):
        with pytest.raises(ProtocolError):
            driver.send(request_, payload, count)
        driver = everything_offered().negotiate()
    assert messages.fds_max(request_) == FDS.get(request_, 0)


@pytest.mark.parametrize(
    ("request_", "payload", "fds"),
    [
        (Request.SET_MEM_TABLE, table(region()), 0),
        (Request.SET_MEM_TABLE, table(region(), region(0x10000, uva=0x1000)), 1),
        (Request.ADD_MEM_REG, bytes(8) + region(), 0),
        (Request.SET_BACKEND_REQ_FD, b"", 0),
        (Request.SET_VRING_CALL, u64(0), 0),
        (Request.SET_VRING_CALL, u64(0x100), 1),
        (Request.SET_VRING_ERR, u64(0), 0),
        (Request.SET_VRING_ERR, u64(0x100), 1),
    ],
)
def test_a_missing_descriptor_is_refused(request_: Request, payload: bytes, fds: int) -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().negotiate().send(request_, payload, fds)


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (Request.SET_MEM_TABLE, struct.pack("=II", 0, 0) + region()),
        (Request.SET_MEM_TABLE, struct.pack("=II", 2, 0) + region()),
        (Request.SET_MEM_TABLE, struct.pack("=II", 2**32 - 1, 0) + region()),
        (Request.SET_VRING_CALL, u64(0x200)),
        (Request.SET_VRING_CALL, u64(2**63)),
        (Request.GET_CONFIG, struct.pack("=III", 0, 5, 0) + bytes(4)),
        (Request.GET_CONFIG, struct.pack("=III", 0, 2**32 - 1, 0) + bytes(4)),
    ],
)
def test_a_payload_that_contradicts_itself_is_refused(request_: Request, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        messages.unpack_payload(request_, payload)


def test_user_mode_linux_memory_table_is_understood() -> None:
    """Its payload always has room for two regions, whatever number it announces."""
    payload = table(region(uva=0x1000)) + bytes(32)
    parsed = messages.unpack_payload(Request.SET_MEM_TABLE, payload)
    assert isinstance(parsed, messages.MemTable)
    assert [r.uva for r in parsed.regions] == [0x1000]


def test_ring_payloads_are_laid_out_as_the_specification_says() -> None:
    """Used comes before avail in SET_VRING_ADDR."""
    parsed = messages.unpack_payload(Request.SET_VRING_ADDR, struct.pack("=IIQQQQ", 3, 0, 0x10, 0x20, 0x30, 0x40))
    assert parsed == messages.VringAddr(index=3, flags=0, desc_uva=0x10, used_uva=0x20, avail_uva=0x30)
    assert messages.unpack_payload(Request.SET_VRING_NUM, state(1, 2)) == messages.VringState(1, 2)
