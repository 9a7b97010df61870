# SPDX-License-Identifier: Apache-2.0
"""Descriptors that wait in the queue of a socket: as often as they are asked for, and never in a child."""

import os
import socket
from pathlib import Path

import pytest

from vmm_keystore.workers.descriptor_store import BAG_TEXT, FDS_MAX, open_bag, pack_bag


@pytest.fixture
def files() -> list[int]:
    """The most that a bag takes, all of them different."""
    return [os.memfd_create(f"file{number}") for number in range(FDS_MAX)]


def same(one: int, other: int) -> bool:
    """Whether two descriptors are of one file."""
    return os.path.sameopenfile(one, other)


@pytest.mark.parametrize("count", [1, 7, FDS_MAX])
def test_bag_gives_the_same_again_and_again(files: list[int], count: int) -> None:
    """Whoever opens it may die before it does anything with them: the next one finds them all."""
    bag = pack_bag(files[:count])
    for _ in range(3):
        found = open_bag(bag)
        assert len(found) == count
        assert all(same(*pair) for pair in zip(found, files, strict=False))
        for fd in found:
            os.close(fd)
    os.close(bag)


def test_children_get_none_of_it(files: list[int]) -> None:
    """A program started later must not have a guest's memory."""
    bag = pack_bag(files)
    assert not os.get_inheritable(bag)
    assert not any(os.get_inheritable(fd) for fd in open_bag(bag))


@pytest.mark.parametrize(("text", "count"), [(b"", 0), (b"vk", 1), (b"vkz", 1), (BAG_TEXT, FDS_MAX + 1)])
def test_what_is_no_bag_is_refused(files: list[int], text: bytes, count: int) -> None:
    """Empty, with another content, or with more than fits: an error, and no descriptor stays open."""
    bag, mouth = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with bag, mouth:
        if text:
            socket.send_fds(mouth, [text], [*files, files[0]][:count])
        mouth.close()
        open_before = open_count()
        with pytest.raises(OSError, match="not whole"):
            open_bag(bag.fileno())
        assert open_count() == open_before


def open_count() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
