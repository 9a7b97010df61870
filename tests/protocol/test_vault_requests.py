# SPDX-License-Identifier: Apache-2.0
"""The front-end's vault requests against the real worker: the helper says what the device says, however it is cut."""

import hashlib
import hmac
import secrets
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from framework.guest_ram import GuestRam
from framework.split_ring import ByteFlipper, SplitRing
from framework.vault import STATUS_UNTOUCHED, Cuts, Vault
from protocol.worker_rig import RigKey, WorkerRig, Zygote, key_id

from vmm_keystore._vks import ffi, lib

PATIENCE_S = 30.0
KEY = RigKey(key_id(1), lib.VKS_KEY_TYPE_HMAC_SHA256, secrets.token_bytes(32))


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as running:
        yield running


@pytest.fixture
def vault(zygote: Zygote) -> Iterator[Vault]:
    with ExitStack() as stack:
        ram = stack.enter_context(GuestRam())
        ring = stack.enter_context(SplitRing(ram, 1024))
        rig = stack.enter_context(WorkerRig(zygote))
        rig.give(KEY)
        rig.share(ram)
        rig.start(ring)
        yield Vault(ram, ring, slot_count=64)


def expected(data: bytes) -> bytes:
    return hmac.digest(KEY.material, data, hashlib.sha256)


def test_an_answer_is_what_the_device_wrote(vault: Vault) -> None:
    data = secrets.token_bytes(5000)
    answer = vault.request(lib.VKS_OP_MAC, key_id=KEY.key_id, data=data, output_bytes=40)
    assert answer.status == lib.VKS_STATUS_OK
    assert answer.data == expected(data)
    assert answer.output == expected(data) + bytes(8)
    assert (answer.key_version, answer.abi_version) == (1, lib.VKS_ABI_VERSION)
    assert answer.used_bytes == 40 + 24 + 1
    assert vault.request(lib.VKS_OP_MAC, key_id=key_id(2), output_bytes=32).status == lib.VKS_STATUS_NO_KEY


@pytest.mark.parametrize("indirect", [False, True])
def test_cuts_carry_no_meaning(vault: Vault, indirect: bool) -> None:
    """Head, input, output, result and status in pieces, down to single bytes."""
    data = secrets.token_bytes(100)
    for cuts in (
        Cuts((72,), (32, 24), indirect),
        Cuts((1, 71, 50), (31, 2, 23), indirect),
        Cuts((1,) * 171, (1,) * 56, indirect),
    ):
        answer = vault.request_cut(lib.VKS_OP_MAC, cuts, key_id=KEY.key_id, data=data, output_bytes=32)
        assert (answer.status, answer.data) == (lib.VKS_STATUS_OK, expected(data))


def test_many_requests_at_a_time_find_their_answers(vault: Vault) -> None:
    """Slots are used again and again; a head says which answer belongs to which request."""
    for _ in range(20):
        sent = {}
        for _ in range(64):
            data = secrets.token_bytes(32)
            sent[vault.submit(lib.VKS_OP_MAC, key_id=KEY.key_id, data=data, output_bytes=32)] = data
        vault.ring.kick()
        for head, answer in vault.collect(len(sent)):
            assert answer.data == expected(sent.pop(head))
        assert sent == {}


def test_bursts_are_complete(vault: Vault) -> None:
    """What a benchmark counts was done: over the ring's end again and again, each status and each answer written."""
    heads = array("H")
    for number in range(60):
        head, slot = vault.take()
        slot.fill(lib.VKS_OP_MAC, key_id=KEY.key_id, data=bytes([number]), output_bytes=32)
        vault.set_sizes(head)
        heads.append(head)
    for _ in range(50):
        assert vault.statuses(heads) == {STATUS_UNTOUCHED}
        vault.burst(heads)
        assert vault.statuses(heads) == {lib.VKS_STATUS_OK}
        assert [vault.slot(head).answer(0).data for head in heads] == [expected(bytes([n])) for n in range(60)]
        for head in heads:
            vault.slot(head).clear_answer()


def test_used_events_are_honoured(vault: Vault) -> None:
    """After info told that EVENT_IDX was negotiated: notifications are suppressed both ways and none is lost."""
    feature = 1 << 29
    request = ffi.new("struct vks_info_request *", (1, lib.VKS_ABI_VERSION, 0, feature))
    answer = vault.request(lib.VKS_OP_INFO, data=bytes(ffi.buffer(request)), output_bytes=256)
    assert answer.status == lib.VKS_STATUS_OK
    vault.ring.event_idx = True
    for _ in range(200):
        for _ in range(8):
            vault.submit(lib.VKS_OP_MAC, key_id=KEY.key_id, data=b"x", output_bytes=32)
            vault.ring.kick()
        assert {answer.data for _, answer in vault.collect(8)} == {expected(b"x")}


def test_a_lying_head_is_sent_as_it_is(vault: Vault) -> None:
    """Every field can be changed between filling and sending."""
    head, slot = vault.take()
    slot.fill(lib.VKS_OP_MAC, key_id=KEY.key_id, data=b"x", output_bytes=32)
    slot.head.input_bytes = 2
    vault.send(head)
    vault.ring.kick()
    [(_, answer)] = vault.collect()
    assert answer.status == lib.VKS_STATUS_MALFORMED


def test_bytes_flip_while_the_device_works(vault: Vault) -> None:
    """The racing thread really races: the device sees different messages, sooner or later."""
    head, slot = vault.take()
    slot.fill(lib.VKS_OP_MAC, key_id=KEY.key_id, data=bytes(64), output_bytes=32)
    seen: set[bytes] = set()
    end_s = time.monotonic() + PATIENCE_S
    with ByteFlipper(slot.readable, range(72, 72 + 64)) as flipper:
        # How often the flipper has the interpreter is the machine's business.
        while len(seen) < 2 and time.monotonic() < end_s:
            slot.clear_answer()
            vault.send(head)
            vault.ring.kick()
            [(_, answer)] = vault.collect()
            assert answer.status == lib.VKS_STATUS_OK
            seen.add(answer.data)
    assert flipper.flips > 0
    assert len(seen) > 1
