# SPDX-License-Identifier: Apache-2.0
"""Messages between our processes: packed as the headers say, refused when anything does not fit exactly."""

import struct

import pytest

from vmm_keystore._vks import lib
from vmm_keystore.workers.custodian_messages import FORMS as CUSTODIAN_FORMS
from vmm_keystore.workers.errors import ProtocolError
from vmm_keystore.workers.ipc import HEAD_BYTES, REPLY, pack, pack_message, unpack_message
from vmm_keystore.workers.worker import FORMS as WORKER_FORMS
from vmm_keystore.workers.zygote import FORMS as ZYGOTE_FORMS

FORMS = WORKER_FORMS | CUSTODIAN_FORMS | ZYGOTE_FORMS
STOPPED = pack("vks_worker_ring_stopped", {"queue": 0, "base": 7})
KEY = pack("vks_custodian_key", {"type": 1, "sealed_bytes": 3, "public_bytes": 2})
SPAWNED = pack("vks_zygote_spawned", {"worker_id": 4, "pid": 99})


def reply(message_type: int, body: bytes = b"", error: int = 0) -> bytes:
    return pack_message(message_type | REPLY, 5, body, error=error)


def test_head_layout_is_the_documented_one() -> None:
    """The head is what ipc.h draws, seen by an independent packer."""
    assert pack_message(0x107, 9, b"abcd") == struct.pack("<IIQiI", 0x107, HEAD_BYTES + 4, 9, 0, 0) + b"abcd"


def test_reply_carries_its_structure() -> None:
    """Fields of a reply are those the program wrote."""
    message = unpack_message(reply(lib.VKS_WORKER_RING_STOP, STOPPED), (), FORMS)
    assert (message.tag, message.error, message.body.base) == (5, 0, 7)


def test_announced_bytes_follow_the_structure() -> None:
    """What a structure announces is the tail."""
    assert unpack_message(reply(lib.VKS_CUSTODIAN_GENERATE, KEY + b"abcde"), (), FORMS).tail == b"abcde"


@pytest.mark.parametrize("body", [b"", STOPPED], ids=["head only", "with its structure"])
def test_error_reply_may_leave_its_structure_out(body: bytes) -> None:
    """An errno is enough of an answer."""
    assert unpack_message(reply(lib.VKS_WORKER_RING_STOP, body, error=-22), (), FORMS).error == -22


@pytest.mark.parametrize(
    ("packet", "fds"),
    [
        pytest.param(b"", (), id="empty"),
        pytest.param(reply(lib.VKS_WORKER_MEM_TABLE)[:-1], (), id="head cut short"),
        pytest.param(reply(0x7FF), (), id="unknown type"),
        pytest.param(pack_message(lib.VKS_WORKER_RING_STOP, 5, STOPPED), (), id="a request of ours"),
        pytest.param(reply(lib.VKS_WORKER_RING_STOP), (), id="structure missing"),
        pytest.param(reply(lib.VKS_WORKER_RING_STOP, STOPPED[:-1]), (), id="structure cut short"),
        pytest.param(reply(lib.VKS_WORKER_RING_STOP, STOPPED + b"x"), (), id="structure too long"),
        pytest.param(reply(lib.VKS_WORKER_SNAPSHOT, b"x"), (), id="bytes without structure"),
        pytest.param(reply(lib.VKS_WORKER_SNAPSHOT) + b"x", (), id="longer than its head says"),
        pytest.param(struct.pack("<IIQiI", lib.VKS_WORKER_SNAPSHOT | REPLY, 24, 5, 0, 1), (), id="reserved not zero"),
        pytest.param(reply(lib.VKS_CUSTODIAN_GENERATE, KEY + b"abcd"), (), id="tail cut short"),
        pytest.param(reply(lib.VKS_CUSTODIAN_GENERATE, KEY + b"abcdef"), (), id="tail too long"),
        pytest.param(reply(lib.VKS_WORKER_SNAPSHOT), (3,), id="descriptor nobody asked for"),
        pytest.param(reply(lib.VKS_ZYGOTE_SPAWN, SPAWNED), (), id="descriptor missing"),
        pytest.param(reply(lib.VKS_ZYGOTE_SPAWN, SPAWNED), (3, 4), id="one descriptor too many"),
        pytest.param(reply(lib.VKS_ZYGOTE_SPAWN, SPAWNED, error=-11), (3,), id="descriptor with an error"),
    ],
)
def test_what_does_not_fit_is_refused(packet: bytes, fds: tuple[int, ...]) -> None:
    """No field of a message is used unless its whole size and its descriptors fit."""
    with pytest.raises(ProtocolError):
        unpack_message(packet, fds, FORMS)


def test_message_longer_than_a_packet_is_refused() -> None:
    """Nothing is sent that the receiver's buffer would cut short."""
    with pytest.raises(ProtocolError):
        pack_message(lib.VKS_CUSTODIAN_IMPORT, 1, bytes(lib.VKS_IPC_BYTES_MAX - HEAD_BYTES + 1))
