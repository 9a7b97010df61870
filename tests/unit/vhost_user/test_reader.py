# SPDX-License-Identifier: Apache-2.0
"""Messages that are looked at before they are taken: whole ones only, each with its own descriptors."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from vmm_keystore.vhost_user.errors import ProtocolError
from vmm_keystore.vhost_user.protocol import Request
from vmm_keystore.vhost_user.reader import MessageReader

NO_FD = 0x100


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, MessageReader]]:
    """The front-end's end, and a reader on the other."""
    front, back = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with front, back:
        yield front, MessageReader(back)


@pytest.fixture
def fd() -> Iterator[int]:
    number = os.eventfd(7)
    yield number
    os.close(number)


def message(request: Request, payload: bytes = b"") -> bytes:
    return struct.pack("=III", request, 1, len(payload)) + payload


def u64(value: int) -> bytes:
    return struct.pack("=Q", value)


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a count


def test_looked_at_as_often_as_one_likes(pair: tuple[socket.socket, MessageReader], fd: int) -> None:
    """It stays in the socket with its descriptor until it is taken; what was received stays good after that."""
    front, reader = pair
    socket.send_fds(front, [message(Request.SET_VRING_CALL, u64(0))], [fd])
    seen = [reader.look() for _ in range(3)]
    fds = [number for whole in seen if whole is not None for number in whole.fds]
    assert len(fds) == 3
    assert seen[0] is not None
    assert seen[0].request is Request.SET_VRING_CALL
    reader.take(seen[0].size_bytes, with_fds=True)
    for number in fds:
        assert os.eventfd_read(number) == 7
        os.eventfd_write(number, 7)
        os.close(number)
    with pytest.raises(BlockingIOError):
        reader.look()


def test_descriptors_of_the_next_message_are_left_alone(pair: tuple[socket.socket, MessageReader], fd: int) -> None:
    """Linux shows them to whoever looks at a message without any."""
    front, reader = pair
    before = open_count()
    front.sendall(message(Request.SET_STATUS, u64(8)))
    socket.send_fds(front, [message(Request.SET_VRING_CALL, u64(0))], [fd])
    first = reader.look()
    assert first is not None
    assert first.fds == ()
    reader.take(first.size_bytes, with_fds=False)
    assert open_count() == before
    second = reader.look()
    assert second is not None
    assert len(second.fds) == 1
    os.close(second.fds[0])


@pytest.mark.parametrize("also", [False, True], ids=["nothing follows", "the next one has some"])
def test_announced_descriptor_that_is_missing(
    pair: tuple[socket.socket, MessageReader], fd: int, *, also: bool
) -> None:
    """Whatever looking showed, taking tells."""
    front, reader = pair
    front.sendall(message(Request.SET_VRING_CALL, u64(0)))
    if also:
        socket.send_fds(front, [message(Request.SET_VRING_ERR, u64(0))], [fd])
    whole = reader.look()
    assert whole is not None
    for shown in whole.fds:
        os.close(shown)
    with pytest.raises(ProtocolError):
        reader.take(whole.size_bytes, with_fds=True)


@pytest.mark.parametrize("request_type", [Request.SET_VRING_CALL, Request.SET_STATUS])
def test_descriptor_that_was_not_announced(
    pair: tuple[socket.socket, MessageReader], fd: int, request_type: Request
) -> None:
    """It is dropped by the kernel, and noticed."""
    front, reader = pair
    before = open_count()
    payload = u64(NO_FD if request_type is Request.SET_VRING_CALL else 1)
    socket.send_fds(front, [message(request_type, payload)], [fd])
    whole = reader.look()
    assert whole is not None
    assert whole.fds == ()
    with pytest.raises(ProtocolError):
        reader.take(whole.size_bytes, with_fds=False)
    assert open_count() == before


def test_message_in_pieces_is_none_yet(pair: tuple[socket.socket, MessageReader]) -> None:
    front, reader = pair
    whole = message(Request.SET_STATUS, u64(1))
    for cut in (1, 11, 12, 13, len(whole) - 1):
        front.sendall(whole[:cut])
        assert reader.look() is None
        front.sendall(whole[cut:])
        seen = reader.look()
        assert seen is not None
        assert seen.payload == u64(1)
        reader.take(seen.size_bytes)


def test_more_descriptors_than_any_message_carries(pair: tuple[socket.socket, MessageReader], fd: int) -> None:
    front, reader = pair
    before = open_count()
    socket.send_fds(front, [message(Request.SET_VRING_CALL, u64(0))], [fd] * 64)
    with pytest.raises(ProtocolError):
        reader.look()
    assert open_count() == before


def test_raw_key_does_not_become_an_object(pair: tuple[socket.socket, MessageReader]) -> None:
    """As many zeros stand for it."""
    front, reader = pair
    front.sendall(message(Request.CREATE_CRYPTO_SESSION, b"k" * 632))
    whole = reader.look()
    assert whole is not None
    assert whole.payload == bytes(632)
    reader.take(whole.size_bytes)
    assert not reader.has_input()


def test_end_of_the_connection(pair: tuple[socket.socket, MessageReader]) -> None:
    front, reader = pair
    front.close()
    assert reader.has_input()
    with pytest.raises(EOFError):
        reader.look()
    with pytest.raises(EOFError):
        reader.take(12)


def test_what_is_unread_is_known(pair: tuple[socket.socket, MessageReader]) -> None:
    """Of our answers, by the kernel's count."""
    front, reader = pair
    assert not reader.has_unread_output()
    reader._sock.sendall(b"answer")
    assert reader.has_unread_output()
    assert front.recv(6) == b"answer"
    assert not reader.has_unread_output()
