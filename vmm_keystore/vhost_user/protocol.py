# SPDX-License-Identifier: Apache-2.0
"""Numbers of the vhost-user protocol and of the virtio features a back-end handles.

Source: QEMU's docs/interop/vhost-user.rst; virtio 1.2, chapter 6. Bits are bit numbers, ``mask`` makes masks of them.
"""

from enum import IntEnum

VERSION = 0x1
VERSION_MASK = 0x3
FLAG_REPLY = 0x4
FLAG_NEED_REPLY = 0x8

HEADER_BYTES = 12
MEM_TABLE_REGIONS_MAX = 8
CONFIG_BYTES_MAX = 256
QUEUE_SIZE_MAX = 32768

# CREATE_CRYPTO_SESSION has one layout up to QEMU 7.2 and another since 8.0, told apart by size: size → offset of the id.
CRYPTO_SESSION_ID_OFFSETS = {632: 0, 1072: 1064}

VRING_INDEX_MASK = 0xFF
VRING_NO_FD_MASK = 0x100


class Request(IntEnum):
    """Front-end message types that some front-end sends to this back-end; any other is a breach."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
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
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40


class ProtocolFeature(IntEnum):
    """Protocol feature bits this back-end implements."""

    MQ = 0
    REPLY_ACK = 3
    BACKEND_REQ = 5
    CRYPTO_SESSION = 7
    CONFIG = 9
    RESET_DEVICE = 13
    CONFIGURE_MEM_SLOTS = 15
    STATUS = 16


class VirtioFeature(IntEnum):
    """Virtio feature bits this back-end may offer: what belongs to split rings and to vhost-user itself."""

    RING_INDIRECT_DESC = 28
    RING_EVENT_IDX = 29
    PROTOCOL_FEATURES = 30
    VERSION_1 = 32


def mask(*bits: int) -> int:
    """The mask with these bit numbers set."""
    return sum(1 << bit for bit in bits)


# Messages that answer by themselves; NEED_REPLY changes nothing for them.
REPLYING = frozenset(
    {
        Request.GET_FEATURES,
        Request.GET_PROTOCOL_FEATURES,
        Request.GET_QUEUE_NUM,
        Request.GET_VRING_BASE,
        Request.GET_CONFIG,
        Request.CREATE_CRYPTO_SESSION,
        Request.GET_MAX_MEM_SLOTS,
        Request.GET_STATUS,
    }
)

# Messages that exist only once their protocol feature is negotiated.
REQUIRES = {
    Request.GET_QUEUE_NUM: ProtocolFeature.MQ,
    Request.SET_BACKEND_REQ_FD: ProtocolFeature.BACKEND_REQ,
    Request.GET_CONFIG: ProtocolFeature.CONFIG,
    Request.SET_CONFIG: ProtocolFeature.CONFIG,
    Request.CREATE_CRYPTO_SESSION: ProtocolFeature.CRYPTO_SESSION,
    Request.CLOSE_CRYPTO_SESSION: ProtocolFeature.CRYPTO_SESSION,
    Request.RESET_DEVICE: ProtocolFeature.RESET_DEVICE,
    Request.GET_MAX_MEM_SLOTS: ProtocolFeature.CONFIGURE_MEM_SLOTS,
    Request.ADD_MEM_REG: ProtocolFeature.CONFIGURE_MEM_SLOTS,
    Request.REM_MEM_REG: ProtocolFeature.CONFIGURE_MEM_SLOTS,
    Request.SET_STATUS: ProtocolFeature.STATUS,
    Request.GET_STATUS: ProtocolFeature.STATUS,
}

# What a front-end may send before SET_OWNER; everything else touches the device.
BEFORE_OWNER = frozenset(
    {
        Request.GET_FEATURES,
        Request.SET_FEATURES,
        Request.SET_OWNER,
        Request.GET_PROTOCOL_FEATURES,
        Request.SET_PROTOCOL_FEATURES,
        Request.GET_QUEUE_NUM,
        Request.GET_MAX_MEM_SLOTS,
        Request.SET_BACKEND_REQ_FD,
        Request.GET_CONFIG,
    }
)
