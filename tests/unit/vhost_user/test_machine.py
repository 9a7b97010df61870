# SPDX-License-Identifier: Apache-2.0
"""The state machine, message by message, in and out of order."""

import itertools
import struct

import pytest
from framework.machine_driver import UVA, MachineDriver, addr, region, state, table, u64

from vmm_keystore.vhost_user.effects import SetMemTable, SetRingFd, StartRing
from vmm_keystore.vhost_user.errors import ProtocolError
from vmm_keystore.vhost_user.offer import Offer
from vmm_keystore.vhost_user.protocol import BEFORE_OWNER, REQUIRES, Request, VirtioFeature, mask

STOCK_FEATURES = 0x40000000
NO_FD = 0x100
PAYLOADS = {
    Request.SET_MEM_TABLE: table(region()),
    Request.SET_VRING_ADDR: addr(),
    Request.ADD_MEM_REG: bytes(8) + region(),
    Request.REM_MEM_REG: bytes(8) + region(),
    Request.GET_CONFIG: struct.pack("=III", 0, 4, 0) + bytes(4),
    Request.SET_CONFIG: struct.pack("=III", 0, 4, 0) + bytes(4),
    Request.CREATE_CRYPTO_SESSION: bytes(632),
    **dict.fromkeys(
        (
            Request.SET_FEATURES,
            Request.SET_PROTOCOL_FEATURES,
            Request.SET_VRING_NUM,
            Request.SET_VRING_BASE,
            Request.GET_VRING_BASE,
            Request.SET_VRING_KICK,
            Request.SET_VRING_CALL,
            Request.SET_VRING_ERR,
            Request.SET_VRING_ENABLE,
            Request.CLOSE_CRYPTO_SESSION,
            Request.SET_STATUS,
        ),
        bytes(8),
    ),
}


def full_offer() -> Offer:
    return Offer(queue_count=2, config_space=bytes(range(64)))


# -- negotiation -----------------------------------------------------------------------------------------------------


def test_only_what_is_implemented_is_offered() -> None:
    """No packed rings, no inflight sharing, no logging; CONFIG and MQ only with something behind them."""
    driver = MachineDriver()
    assert driver.number(Request.GET_FEATURES) == mask(28, 29, 30, 32)
    assert driver.number(Request.GET_PROTOCOL_FEATURES) == mask(3, 5, 7, 13, 15, 16)
    assert MachineDriver(full_offer()).number(Request.GET_PROTOCOL_FEATURES) == mask(0, 3, 5, 7, 9, 13, 15, 16)


@pytest.mark.parametrize("bit", [bit for bit in range(64) if bit not in set(VirtioFeature)])
def test_features_not_offered_cannot_be_set(bit: int) -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().send(Request.SET_FEATURES, u64(1 << bit))


@pytest.mark.parametrize("bit", [0, 1, 2, 4, 6, 8, 9, 10, 11, 12, 14, 17, 18, 63])
def test_protocol_features_not_offered_cannot_be_set(bit: int) -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().send(Request.SET_PROTOCOL_FEATURES, u64(1 << bit))


def test_protocol_features_can_be_repeated_but_not_changed() -> None:
    """QEMU repeats its handshake per queue."""
    driver = MachineDriver()
    driver.send(Request.SET_PROTOCOL_FEATURES, u64(8))
    driver.send(Request.SET_PROTOCOL_FEATURES, u64(8))
    with pytest.raises(ProtocolError):
        driver.send(Request.SET_PROTOCOL_FEATURES, u64(0))


@pytest.mark.parametrize("request_", sorted(REQUIRES), ids=lambda request: request.name)
def test_a_message_needs_its_protocol_feature(request_: Request) -> None:
    driver = MachineDriver(full_offer())
    missing = driver.offer.protocol_features & ~mask(REQUIRES[request_])
    driver.send(Request.SET_PROTOCOL_FEATURES, u64(missing))
    driver.send(Request.SET_OWNER)
    with pytest.raises(ProtocolError, match="without"):
        driver.send(request_, PAYLOADS.get(request_, b""))


@pytest.mark.parametrize("request_", sorted(set(Request) - BEFORE_OWNER), ids=lambda request: request.name)
def test_the_device_needs_an_owner(request_: Request) -> None:
    driver = MachineDriver(full_offer())
    driver.send(Request.SET_PROTOCOL_FEATURES, u64(driver.offer.protocol_features))
    with pytest.raises(ProtocolError, match="SET_OWNER"):
        driver.send(request_, PAYLOADS.get(request_, b""))


def test_there_is_one_owner() -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().negotiate().send(Request.SET_OWNER)


def test_numbers_that_front_ends_ask_for() -> None:
    driver = MachineDriver(full_offer()).negotiate()
    assert driver.number(Request.GET_QUEUE_NUM) == 2
    assert driver.number(Request.GET_MAX_MEM_SLOTS) == 32
    assert driver.number(Request.GET_STATUS) == 0


def test_status_is_kept_and_bounded() -> None:
    driver = MachineDriver().negotiate()
    driver.send(Request.SET_STATUS, u64(0xF))
    assert driver.number(Request.GET_STATUS) == 0xF
    with pytest.raises(ProtocolError):
        driver.send(Request.SET_STATUS, u64(0x100))


def test_need_reply_is_answered_once_negotiated() -> None:
    """User-mode Linux sets it already on the message that negotiates it."""
    driver = MachineDriver()
    assert driver.send(Request.SET_OWNER, flags=9) is None
    assert driver.ack(Request.SET_PROTOCOL_FEATURES, u64(8)) == 0
    assert driver.ack(Request.SET_FEATURES, u64(STOCK_FEATURES)) == 0
    # Messages that answer by themselves are not answered twice.
    assert driver.send(Request.GET_FEATURES, flags=9) == u64(mask(28, 29, 30, 32))


# -- config space, raw guest keys ------------------------------------------------------------------------------------


def test_config_space_is_read_in_pieces_and_never_written() -> None:
    driver = MachineDriver(full_offer()).negotiate()
    assert driver.send(Request.GET_CONFIG, struct.pack("=III", 4, 8, 0) + bytes(8)) == struct.pack(
        "=III", 4, 8, 0
    ) + bytes(range(4, 12))
    # User-mode Linux reads from offset 0, in full.
    assert driver.send(Request.GET_CONFIG, struct.pack("=III", 0, 64, 0) + bytes(64)) is not None
    # Beyond the end: an empty payload is the error.
    assert driver.send(Request.GET_CONFIG, struct.pack("=III", 60, 8, 0) + bytes(8)) == b""
    assert driver.send(Request.GET_CONFIG, struct.pack("=III", 2**32 - 1, 8, 0) + bytes(8)) == b""
    assert driver.ack(Request.SET_CONFIG, struct.pack("=III", 0, 4, 0) + b"\xff" * 4) == 1
    assert driver.send(Request.SET_CONFIG, struct.pack("=III", 0, 4, 0) + b"\xff" * 4) is None


@pytest.mark.parametrize(("size", "offset"), [(632, 0), (1072, 1064)], ids=["qemu-7.2", "qemu-11.1"])
def test_raw_guest_keys_are_refused_and_not_kept(size: int, offset: int) -> None:
    """MUST-4: a session with a guest's own key is refused at once, in full size, and no byte of the key comes back."""
    driver = MachineDriver().negotiate()
    reply = driver.send(Request.CREATE_CRYPTO_SESSION, b"\x5a" * size)
    assert reply is not None
    assert len(reply) == size
    assert struct.unpack_from("=q", reply, offset) == (-1,)
    assert 0x5A not in reply
    assert driver.ack(Request.CLOSE_CRYPTO_SESSION, u64(7)) == 1
    assert driver.send(Request.CLOSE_CRYPTO_SESSION, u64(7)) is None


def test_half_received_guest_keys_are_not_kept() -> None:
    driver = MachineDriver().negotiate()
    driver.machine.receive(struct.pack("=III", Request.CREATE_CRYPTO_SESSION, 1, 632))
    driver.machine.receive(b"\x5a" * 600)
    assert driver.machine.bytes_wanted == 32
    assert 0x5A not in driver.machine._buffer


# -- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "regions",
    [
        [region(size=0)],
        [region(gpa=2**64 - 0x1000, size=0x2000)],
        [region(uva=2**64 - 0x1000, size=0x2000)],
        [region(offset=2**64 - 0x1000, size=0x2000)],
        [region(offset=2**63, size=0x1000)],
        [region(size=2**64 - 1)],
        [region(), region()],
        [region(), region(gpa=0xF000, uva=UVA + 0x100000)],
        [region(), region(gpa=0x100000, uva=UVA + 0xF000)],
        [region(gpa=0x100000), region(gpa=0, size=0x100001, uva=UVA + 0x100000)],
    ],
    ids=[
        "empty",
        "gpa wraps",
        "uva wraps",
        "offset wraps",
        "offset negative",
        "as large as the address space",
        "twice",
        "gpa overlap",
        "uva overlap",
        "overlap by a byte",
    ],
)
def test_regions_that_cannot_be_are_refused(regions: list[bytes]) -> None:
    driver = MachineDriver().negotiate()
    with pytest.raises(ProtocolError, match="region"):
        driver.send(Request.SET_MEM_TABLE, table(*regions), len(regions))
    assert driver.log == []


def test_regions_may_touch_and_reach_the_end_of_the_address_space() -> None:
    driver = MachineDriver().negotiate()
    top = region(gpa=2**64 - 0x1000, size=0x1000, uva=2**64 - 0x1000)
    driver.send(Request.SET_MEM_TABLE, table(region(), region(gpa=0x10000, uva=UVA + 0x10000), top), 3)
    assert driver.log == ["table 3"]


def test_memory_slots_come_and_go() -> None:
    driver = MachineDriver(Offer(mem_slots_max=2)).negotiate()
    for number in range(2):
        assert driver.ack(Request.ADD_MEM_REG, bytes(8) + region(number << 16, uva=UVA + (number << 16)), 1) == 0
    assert len(driver.open_fds) == 2
    # A removal does not repeat the mmap offset and may carry a descriptor of its own.
    assert driver.ack(Request.REM_MEM_REG, bytes(8) + region(offset=0x5000), 1) == 0
    assert driver.log == ["table 1", "table 2", "table 1"]
    assert len(driver.open_fds) == 1
    driver.send(Request.ADD_MEM_REG, bytes(8) + region(), 1)
    with pytest.raises(ProtocolError, match="more than 2"):
        driver.send(Request.ADD_MEM_REG, bytes(8) + region(2 << 16, uva=UVA + (2 << 16)), 1)


def test_a_memory_slot_that_is_not_there_cannot_be_removed() -> None:
    driver = MachineDriver().negotiate()
    driver.send(Request.ADD_MEM_REG, bytes(8) + region(), 1)
    with pytest.raises(ProtocolError):
        driver.send(Request.REM_MEM_REG, bytes(8) + region(size=0x8000))


def test_a_memory_slot_cannot_be_added_twice() -> None:
    driver = MachineDriver().negotiate()
    driver.send(Request.ADD_MEM_REG, bytes(8) + region(), 1)
    with pytest.raises(ProtocolError, match="overlap"):
        driver.send(Request.ADD_MEM_REG, bytes(8) + region(), 1)


def test_a_table_the_device_cannot_map_counts_as_empty() -> None:
    driver = MachineDriver().run()
    driver.fail = {SetMemTable}
    assert driver.ack(Request.SET_MEM_TABLE, table(region()), 1) == 1
    assert driver.running == {}
    driver.fail = set()
    assert driver.ack(Request.SET_MEM_TABLE, table(region()), 1) == 0
    assert list(driver.running) == [0]


# -- rings -----------------------------------------------------------------------------------------------------------


def test_stock_cryptodev_order_starts_the_ring_at_kick() -> None:
    """ENABLE is never sent on this carrier although PROTOCOL_FEATURES is acknowledged: KICK counts as enable."""
    driver = MachineDriver().negotiate()
    driver.send(Request.SET_VRING_CALL, u64(0), 1)
    driver.send(Request.SET_VRING_ERR, u64(0), 1)
    driver.send(Request.SET_FEATURES, u64(STOCK_FEATURES))
    driver.configure()
    assert driver.running == {}
    driver.send(Request.SET_VRING_KICK, u64(0), 1)
    vring = driver.running[0]
    assert (vring.size, vring.base, vring.features) == (64, 0, STOCK_FEATURES)
    assert (vring.desc_uva, vring.avail_uva, vring.used_uva) == (UVA, UVA + 0x1000, UVA + 0x2000)
    assert {vring.kick_fd, vring.call_fd, vring.err_fd} < driver.open_fds
    assert None not in {vring.kick_fd, vring.call_fd, vring.err_fd}


def test_enable_decides_once_it_was_sent() -> None:
    driver = MachineDriver().negotiate()
    driver.send(Request.SET_VRING_ENABLE, state(0, 0))
    driver.configure().send(Request.SET_VRING_KICK, u64(0), 1)
    assert driver.running == {}
    driver.send(Request.SET_VRING_ENABLE, state(0, 1))
    driver.send(Request.SET_VRING_ENABLE, state(0, 1))
    driver.base[0] = 5
    driver.send(Request.SET_VRING_ENABLE, state(0, 0))
    driver.send(Request.SET_VRING_ENABLE, state(0, 1))
    assert driver.log == ["table 1", "start 0 base 0", "stop 0", "start 0 base 5"]


def test_features_without_protocol_features_enable_the_rings() -> None:
    driver = MachineDriver().negotiate()
    driver.send(Request.SET_VRING_ENABLE, state(0, 0))
    driver.send(Request.SET_FEATURES, u64(mask(VirtioFeature.VERSION_1)))
    driver.configure().send(Request.SET_VRING_KICK, u64(0), 1)
    assert list(driver.running) == [0]


@pytest.mark.parametrize("num", [2, 2**32 - 1])
def test_enable_is_0_or_1(num: int) -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().negotiate().send(Request.SET_VRING_ENABLE, state(0, num))


def test_every_order_of_configuration_starts_the_ring() -> None:
    """Memory, size, base, addresses, call and err descriptors come in any order before the kick."""
    pieces = [
        (Request.SET_MEM_TABLE, table(region()), 1),
        (Request.SET_VRING_NUM, state(0, 64), 0),
        (Request.SET_VRING_BASE, state(0, 7), 0),
        (Request.SET_VRING_ADDR, addr(), 0),
        (Request.SET_VRING_CALL, u64(0), 1),
    ]
    for order in itertools.permutations(pieces):
        driver = MachineDriver().negotiate()
        for request, payload, fds in order:
            driver.send(request, payload, fds)
        driver.send(Request.SET_VRING_KICK, u64(0), 1)
        assert driver.log == ["table 1", "start 0 base 7"]


@pytest.mark.parametrize("missing", [Request.SET_VRING_NUM, Request.SET_VRING_ADDR])
def test_kick_before_size_or_addresses_is_a_breach(missing: Request) -> None:
    driver = MachineDriver().negotiate()
    for request, payload in ((Request.SET_VRING_NUM, state(0, 64)), (Request.SET_VRING_ADDR, addr())):
        if request is not missing:
            driver.send(request, payload)
    with pytest.raises(ProtocolError):
        driver.send(Request.SET_VRING_KICK, u64(0), 1)


def test_memory_may_come_after_the_kick() -> None:
    driver = MachineDriver().negotiate()
    driver.send(Request.SET_VRING_NUM, state(0, 64))
    driver.send(Request.SET_VRING_ADDR, addr())
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 1
    driver.send(Request.SET_MEM_TABLE, table(region()), 1)
    assert driver.log[-2:] == ["table 1", "start 0 base 0"]


@pytest.mark.parametrize(
    ("num", "payload", "reason"),
    [
        (0, addr(), "power of two"),
        (63, addr(), "power of two"),
        (2048, addr(), "power of two up to 1024"),
        (64, addr(desc=UVA + 8), "descriptor table is not aligned"),
        (64, addr(avail=UVA + 1), "available ring is not aligned"),
        (64, addr(used=UVA + 2), "used ring is not aligned"),
        (64, addr(desc=UVA - 16), "descriptor table is outside"),
        (64, addr(desc=UVA + 0x10000 - 16 * 64 + 16), "descriptor table is outside"),
        (64, addr(avail=UVA + 0x10000 - 132), "available ring is outside"),
        (64, addr(used=UVA + 0x10000 - 516), "used ring is outside"),
        (64, addr(desc=2**64 - 16), "descriptor table is outside"),
        (64, addr(used=0), "used ring is outside"),
    ],
)
def test_a_ring_the_guest_misplaced_stays_stopped(num: int, payload: bytes, reason: str) -> None:
    """The guest chooses these values through an honest front-end: its ring does not start, its front-end lives."""
    driver = MachineDriver().negotiate().configure()
    driver.send(Request.SET_VRING_NUM, state(0, num))
    driver.send(Request.SET_VRING_ADDR, payload)
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 1
    assert driver.running == {}
    assert reason in driver.log[-1]
    # The guest resets its device and does better.
    driver.send(Request.GET_VRING_BASE, state(0, 0))
    driver.configure()
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 0
    assert list(driver.running) == [0]


@pytest.mark.parametrize(
    "payload",
    [
        addr(desc=UVA + 0x10000 - 16 * 64),
        addr(avail=UVA + 0x10000 - 134),
        addr(used=UVA + 0x10000 - 520),
    ],
    ids=["descriptor table", "available ring", "used ring"],
)
def test_a_ring_may_end_with_its_region(payload: bytes) -> None:
    driver = MachineDriver().negotiate().configure()
    driver.send(Request.SET_VRING_ADDR, payload)
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 0


def test_a_ring_part_cannot_span_two_regions() -> None:
    """They touch for the front-end, their files need not."""
    driver = MachineDriver().negotiate().configure()
    driver.send(Request.SET_MEM_TABLE, table(region(), region(gpa=0x10000, uva=UVA + 0x10000)), 2)
    driver.send(Request.SET_VRING_ADDR, addr(desc=UVA + 0x10000 - 512))
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 1


@pytest.mark.parametrize(
    "request_",
    [
        Request.SET_VRING_NUM,
        Request.SET_VRING_BASE,
        Request.GET_VRING_BASE,
        Request.SET_VRING_ENABLE,
        Request.SET_VRING_ADDR,
        Request.SET_VRING_KICK,
        Request.SET_VRING_CALL,
        Request.SET_VRING_ERR,
    ],
)
@pytest.mark.parametrize("index", [1, 2, 255])
def test_a_ring_that_is_not_there_is_a_breach(request_: Request, index: int) -> None:
    payload = addr(index) if request_ is Request.SET_VRING_ADDR else state(index, 0)
    fds = 1 if len(payload) == 8 and request_.name.endswith(("KICK", "CALL", "ERR")) else 0
    with pytest.raises(ProtocolError, match=r"ring \d+ of 1"):
        MachineDriver().negotiate().send(request_, payload, fds)


def test_a_base_of_more_than_16_bits_is_a_breach() -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().negotiate().send(Request.SET_VRING_BASE, state(0, 0x10000))


def test_a_size_of_more_than_32768_is_a_breach() -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().negotiate().send(Request.SET_VRING_NUM, state(0, 32769))


def test_logging_is_a_breach() -> None:
    with pytest.raises(ProtocolError):
        MachineDriver().negotiate().send(Request.SET_VRING_ADDR, addr(flags=1))


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (Request.SET_VRING_NUM, state(0, 64)),
        (Request.SET_VRING_BASE, state(0, 0)),
        (Request.SET_VRING_ADDR, addr()),
        (Request.SET_FEATURES, u64(mask(VirtioFeature.VERSION_1, VirtioFeature.PROTOCOL_FEATURES))),
    ],
)
def test_a_running_ring_is_not_reconfigured(request_: Request, payload: bytes) -> None:
    driver = MachineDriver().run()
    with pytest.raises(ProtocolError):
        driver.send(request_, payload)


def test_base_is_what_the_device_consumed_and_the_ring_needs_a_new_kick() -> None:
    driver = MachineDriver().run()
    driver.base[0] = 0xFFFE
    assert driver.send(Request.GET_VRING_BASE, state(0, 0)) == state(0, 0xFFFE)
    # Asked again it says the same, and stops nothing.
    assert driver.send(Request.GET_VRING_BASE, state(0, 0)) == state(0, 0xFFFE)
    driver.send(Request.SET_VRING_CALL, u64(0), 1)
    assert driver.log == ["table 1", "start 0 base 0", "stop 0"]
    driver.send(Request.SET_VRING_KICK, u64(0), 1)
    assert driver.log[-1] == "start 0 base 65534"


def test_base_of_a_ring_that_never_ran() -> None:
    driver = MachineDriver().negotiate()
    assert driver.send(Request.GET_VRING_BASE, state(0, 0)) == state(0, 0)
    driver.send(Request.SET_VRING_BASE, state(0, 9))
    assert driver.send(Request.GET_VRING_BASE, state(0, 0)) == state(0, 9)


@pytest.mark.parametrize(
    ("request_", "payload"),
    [(Request.RESET_DEVICE, b""), (Request.RESET_OWNER, b""), (Request.SET_STATUS, u64(0))],
    ids=["RESET_DEVICE", "RESET_OWNER", "status 0"],
)
def test_a_reset_stops_the_rings_and_keeps_the_session(request_: Request, payload: bytes) -> None:
    driver = MachineDriver().negotiate()
    driver.send(Request.SET_VRING_CALL, u64(0), 1)
    driver.send(Request.SET_VRING_ERR, u64(0), 1)
    driver.configure().send(Request.SET_VRING_KICK, u64(0), 1)
    driver.send(Request.SET_STATUS, u64(0xF))
    driver.base[0] = 77
    assert driver.ack(request_, payload) == 0
    assert driver.running == {}
    assert driver.number(Request.GET_STATUS) == 0
    assert driver.send(Request.GET_VRING_BASE, state(0, 0)) == state(0, 0)
    with pytest.raises(ProtocolError, match="before its size"):
        driver.send(Request.SET_VRING_KICK, u64(0), 1)


def test_a_ring_starts_again_after_a_reset() -> None:
    """QEMU sends neither owner, memory nor the err descriptor again."""
    driver = MachineDriver().negotiate()
    driver.send(Request.SET_VRING_ERR, u64(0), 1)
    driver.configure().send(Request.SET_VRING_KICK, u64(0), 1)
    driver.send(Request.RESET_DEVICE)
    driver.send(Request.SET_VRING_NUM, state(0, 64))
    driver.send(Request.SET_VRING_BASE, state(0, 0))
    driver.send(Request.SET_VRING_ADDR, addr())
    driver.send(Request.SET_VRING_KICK, u64(0), 1)
    assert driver.log == ["table 1", "start 0 base 0", "stop 0", "start 0 base 0"]
    assert driver.running[0].err_fd in driver.open_fds


@pytest.mark.parametrize("request_", [Request.SET_VRING_CALL, Request.SET_VRING_ERR, Request.SET_VRING_KICK])
def test_descriptors_of_a_running_ring_are_replaced(request_: Request) -> None:
    """The device has it before the acknowledgement, the old one is closed, the ring goes on."""
    driver = MachineDriver().run()
    for _ in range(3):
        assert driver.ack(request_, u64(0), 1) == 0
    role = request_.name.removeprefix("SET_VRING_").lower()
    assert driver.log[2:] == [f"{role} 0 fd"] * 3
    assert len(driver.open_fds) == (2 if request_ is Request.SET_VRING_KICK else 3)


def test_a_call_descriptor_can_be_taken_away() -> None:
    driver = MachineDriver().run()
    driver.send(Request.SET_VRING_CALL, u64(0), 1)
    driver.send(Request.SET_VRING_CALL, u64(NO_FD))
    driver.send(Request.SET_VRING_CALL, u64(NO_FD))
    assert driver.log[2:] == ["call 0 fd", "call 0 none"]


def test_polling_is_not_offered() -> None:
    """A kick without a descriptor asks the device to poll: the ring stops until there is one."""
    driver = MachineDriver().run()
    driver.base[0] = 3
    assert driver.ack(Request.SET_VRING_KICK, u64(NO_FD)) == 1
    assert driver.running == {}
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 0
    assert driver.log[-1] == "start 0 base 3"


def test_memory_changes_under_a_running_ring() -> None:
    driver = MachineDriver().run()
    assert driver.ack(Request.SET_MEM_TABLE, table(region()), 1) == 0
    assert driver.log[2:] == ["table 1"]
    driver.base[0] = 11
    driver.send(Request.SET_MEM_TABLE, table(region(uva=UVA + 0x100000)), 1)
    assert driver.log[3:] == ["fault 0: descriptor table is outside of the memory table", "stop 0", "table 1"]
    driver.send(Request.SET_MEM_TABLE, table(region()), 1)
    assert driver.log[6:] == ["table 1", "start 0 base 11"]


def test_a_start_the_device_refuses_is_not_tried_again_by_itself() -> None:
    driver = MachineDriver().negotiate().configure()
    driver.fail = {StartRing}
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 1
    driver.send(Request.CLOSE_CRYPTO_SESSION, u64(0))
    assert driver.log.count("start 0 base 0") == 1
    driver.fail = set()
    assert driver.ack(Request.SET_VRING_KICK, u64(0), 1) == 0


def test_a_descriptor_the_device_refuses_is_a_negative_acknowledgement() -> None:
    driver = MachineDriver().run()
    driver.fail = {SetRingFd}
    assert driver.ack(Request.SET_VRING_CALL, u64(0), 1) == 1
    assert list(driver.running) == [0]


def test_rings_are_independent() -> None:
    driver = MachineDriver(Offer(queue_count=2)).run()
    driver.send(Request.SET_VRING_NUM, state(1, 64))
    driver.send(Request.SET_VRING_ADDR, addr(1, desc=UVA + 0x4000, avail=UVA + 0x5000, used=UVA + 0x6000))
    driver.send(Request.SET_VRING_KICK, u64(1), 1)
    assert sorted(driver.running) == [0, 1]
    driver.send(Request.GET_VRING_BASE, state(0, 0))
    assert sorted(driver.running) == [1]


def test_a_message_may_come_in_any_pieces() -> None:
    """A stream socket keeps no boundaries; the descriptors come with whichever piece."""
    data = struct.pack("=III", Request.SET_VRING_CALL, 1, 8) + u64(0)
    for place in range(len(data)):
        driver = MachineDriver().negotiate()
        fd = driver.fd()
        for number in range(len(data)):
            driver.machine.receive(data[number : number + 1], [fd] if number == place else [])
        assert driver.machine.held_fds() == {fd}


def test_descriptors_are_counted_before_the_message_is_complete() -> None:
    driver = MachineDriver()
    with pytest.raises(ProtocolError):
        driver.machine.receive(b"\x05", [driver.fd() for _ in range(9)])


def test_the_back_end_channel_is_held_and_replaced() -> None:
    driver = MachineDriver().negotiate()
    assert driver.ack(Request.SET_BACKEND_REQ_FD, fds=1) == 0
    assert driver.ack(Request.SET_BACKEND_REQ_FD, fds=1) == 0
    assert len(driver.open_fds) == 1


def test_every_request_has_a_meaning() -> None:
    """Each message type either changes the desired state or is answered."""
    driver = MachineDriver(full_offer())
    assert set(Request) - set(driver.machine.state.handlers) == {
        Request.GET_FEATURES,
        Request.GET_PROTOCOL_FEATURES,
        Request.GET_QUEUE_NUM,
        Request.GET_CONFIG,
        Request.CREATE_CRYPTO_SESSION,
        Request.GET_MAX_MEM_SLOTS,
        Request.GET_STATUS,
    }
