# SPDX-License-Identifier: Apache-2.0
"""A back-end that lies: libvks reads nothing outside of what it gave, and says that there is no answer.

``make test-sanitized`` runs this with vks built with ASan and UBSan.
"""

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from framework.frontend import Msg
from framework.lying_back_end import LyingBackEnd, Ring
from framework.native_guest import NativeGuest

from vmm_keystore._vks import ffi, lib

BROKEN = "the device broke its queue"
SENSELESS = "the device's answer makes no sense"
GONE = "the device is gone"
Lie = Callable[[LyingBackEnd, Ring, int], None]
DRAWN = bytes(range(16))
GRANTED_MAX: int = lib.VKS_SNAPSHOT_KEYS_MAX


@contextmanager
def lying(folder: Path, lie: Lie, **how: Callable[[int, bytes], bytes | None]) -> Iterator[NativeGuest]:
    """A guest whose back-end lies."""
    path = folder / "lying.sock"
    with LyingBackEnd(path, lie, **how):
        yield NativeGuest(path)


def honest(end: LyingBackEnd, ring: Ring, head: int) -> None:
    """Answer as asked, to see that the back-end could."""
    ring.put(head, end.answer(ring, head, DRAWN))
    ring.publish()
    end.signal()


def element(change: Callable[[int, int], tuple[int, int]], by: int = 1) -> Lie:
    """Use the request under another head or length, or move the index further."""

    def lie(end: LyingBackEnd, ring: Ring, head: int) -> None:
        used_bytes = end.answer(ring, head, DRAWN)
        ring.put(*change(head, used_bytes))
        ring.publish(by)
        end.signal()

    return lie


def answering(status: int, output_bytes: int) -> Lie:
    """Answer with another status or length."""

    def lie(end: LyingBackEnd, ring: Ring, head: int) -> None:
        ring.put(head, end.answer(ring, head, DRAWN, status=status, output_bytes=output_bytes))
        ring.publish()
        end.signal()

    return lie


def twice(end: LyingBackEnd, ring: Ring, head: int) -> None:
    """Use it two times."""
    used_bytes = end.answer(ring, head, DRAWN, status=lib.VKS_STATUS_LIMIT)
    ring.put(head, used_bytes)
    ring.publish()
    ring.put(head, used_bytes)
    ring.publish()
    end.signal()


def breaking(end: LyingBackEnd, _ring: Ring, _head: int) -> None:
    """Give the ring up (MUST-11)."""
    end.signal(Msg.SET_VRING_ERR)


def leaving(end: LyingBackEnd, _ring: Ring, _head: int) -> None:
    """Hang up on a request."""
    end.hang_up()


def chatting(end: LyingBackEnd, _ring: Ring, _head: int) -> None:
    """Say what nobody asked for."""
    if end.sock is not None:
        end.sock.sendall(bytes(12))


def signalling(end: LyingBackEnd, ring: Ring, head: int) -> None:
    """Signal over nothing, again and again, before the answer."""
    for _ in range(100):
        end.signal()
    honest(end, ring, head)


def through_index(end: LyingBackEnd, ring: Ring, head: int) -> None:
    """Move used.idx all the way round, and back to where an answer is."""
    for by in (0x8000, 0x7FFF, 1):
        ring.publish(by)
    honest(end, ring, head)


LIES: dict[str, tuple[Lie, str]] = {
    "head beyond the ring": (element(lambda _head, size: (1024, size)), BROKEN),
    "head beyond 16 bits": (element(lambda head, size: (head + 0x10000, size)), BROKEN),
    "all bits": (element(lambda _head, _size: (-1, -1)), BROKEN),
    "second descriptor": (element(lambda head, size: (head + 1, size)), BROKEN),
    "head that is not in flight": (element(lambda head, size: ((head + 2) % 1024, size)), BROKEN),
    "index by two": (element(lambda head, size: (head, size), by=2), BROKEN),
    "index far ahead": (element(lambda head, size: (head, size), by=0x8000), BROKEN),
    "index backwards": (element(lambda head, size: (head, size), by=-1), BROKEN),
    "used nothing": (element(lambda head, _size: (head, 0)), SENSELESS),
    "used one more": (element(lambda head, size: (head, size + 1)), SENSELESS),
    "used all that there is": (element(lambda head, _size: (head, -1)), SENSELESS),
    "never wrote a status": (answering(0xFF, 16), SENSELESS),
    "a status of nobody's": (answering(lib.VKS_STATUS_END, 16), SENSELESS),
    "longer output than room": (answering(0, 17), SENSELESS),
    "endless output": (answering(0, 0xFFFFFFFF), SENSELESS),
    "no output": (answering(0, 0), "the device failed"),
    "another device": (answering(lib.VKS_STATUS_FOREIGN_NOTSUPP, 0), "the device is a virtio-crypto device"),
    "ring broken": (breaking, BROKEN),
    "hung up": (leaving, GONE),
    "unasked": (chatting, GONE),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_about_an_answer(tmpfs_folder: Path, name: str) -> None:
    """MUST-15: no length or index of the back-end's is believed."""
    lie, text = LIES[name]
    with lying(tmpfs_folder, lie) as guest:
        refused = guest.vks("random", "16", ok=False)
    assert (refused.status, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(f"vks: random: {text}")


@pytest.mark.parametrize("lie", [honest, signalling])
def test_odd_but_right(tmpfs_folder: Path, lie: Lie) -> None:
    """What is no lie is taken."""
    with lying(tmpfs_folder, lie) as guest:
        assert guest.vks("random", "16").stdout == DRAWN


@pytest.mark.parametrize("lie", [twice, through_index])
def test_lies_that_may_come_late(tmpfs_folder: Path, lie: Lie) -> None:
    """Whether the lie is seen depends on when; nothing but the answer or an error comes of it."""
    with lying(tmpfs_folder, lie) as guest:
        seen = guest.vks("random", "16", ok=False)
    assert seen.status in {0, 1}
    assert seen.stdout in {b"", DRAWN}


def test_no_request_claims_a_user(tmpfs_folder: Path) -> None:
    """MUST-51, as the back-end sees it."""
    path = tmpfs_folder / "lying.sock"
    with LyingBackEnd(path, honest) as end:
        NativeGuest(path).vks("random", "16")
        assert set(end.seen_flags) == {0}


def listing(count: int) -> Lie:
    """So many versions of one key, page by page; the last one ends the list."""

    def lie(end: LyingBackEnd, ring: Ring, head: int) -> None:
        at, size, _, _ = ring.parts(head)
        after: Any = ffi.from_buffer("struct vks_list_request *", ring.memory[at + lib.VKS_HEAD_BYTES : at + size])
        first = after.after_version + 1
        entries: Any = ffi.new("struct vks_key_entry[]", min(lib.VKS_LIST_ENTRIES_MAX, count + 1 - first))
        for place, one in enumerate(entries):
            one.version, one.type, one.state = first + place, lib.VKS_KEY_TYPE_AES_256, lib.VKS_KEY_STATE_ACTIVE
            one.label = b"k"
        more = first + len(entries) <= count
        page: Any = ffi.new("struct vks_list_head *", {"entry_count": len(entries), "more": more})
        ring.put(head, end.answer(ring, head, bytes(ffi.buffer(page)) + bytes(ffi.buffer(entries))))
        ring.publish()
        end.signal()

    return lie


@pytest.mark.parametrize(("count", "listed"), [(300, 300), (GRANTED_MAX, GRANTED_MAX), (GRANTED_MAX + 1, None)])
def test_long_lists(tmpfs_folder: Path, count: int, listed: int | None) -> None:
    """All that a guest may be granted is listed; a list of more is a lie, and might never end."""
    with lying(tmpfs_folder, listing(count)) as guest:
        answered = guest.vks("list", "--json", ok=listed is not None)
    if listed is None:
        assert (answered.status, answered.stdout) == (1, b"")
        assert answered.stderr.startswith(f"vks: list: {SENSELESS}")
    else:
        assert len(json.loads(answered.stdout)) == listed


def number(value: int) -> bytes:
    """An answer with a number."""
    return struct.pack("<Q", value)


CONVERSATIONS: dict[str, tuple[dict[int, bytes], str]] = {
    "no features": ({Msg.GET_FEATURES: number(0)}, "the device is a virtio-crypto device"),
    "features without a protocol": ({Msg.GET_FEATURES: number(1 << 32)}, "the device is a virtio-crypto device"),
    "short answer": ({Msg.GET_FEATURES: b"1234"}, SENSELESS),
    "long answer": ({Msg.GET_FEATURES: bytes(100)}, SENSELESS),
    "memory refused": ({Msg.SET_MEM_TABLE: number(1)}, BROKEN),
    "ring refused": ({Msg.SET_VRING_ENABLE: number(1)}, BROKEN),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_lies_in_the_conversation(tmpfs_folder: Path, name: str) -> None:
    """One line, and no hanging."""
    replies, text = CONVERSATIONS[name]
    with lying(tmpfs_folder, honest, answers=lambda request, _payload: replies.get(request)) as guest:
        refused = guest.vks("random", "16", ok=False)
    assert refused.status == 1
    assert refused.stderr.startswith(f"vks: random: {text}")
