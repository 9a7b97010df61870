# SPDX-License-Identifier: Apache-2.0
"""Snapshots: laid out as snapshot.h says, in the order workers search, and unchangeable once published."""

import fcntl
import mmap
import os
from typing import Any

import pytest

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Mechanism, Op, mask
from vmm_keystore.workers.snapshot import build_entries, build_snapshot, seal_snapshot


def key(
    key_id: bytes = b"k" * 16, version: int = 1, *, current: bool = True, uids: tuple[int, ...] = ()
) -> PermittedKey:
    permission = Permission(
        op_mask=mask([Op.SIGN, Op.VERIFY]),
        mechanism_mask=mask([Mechanism.ECDSA_SHA256]),
        not_before_s=11,
        not_after_s=22,
        input_bytes_max=33,
        uids=uids,
    )
    return PermittedKey(key_id, version, KeyType.EC_P256, KeyState.ACTIVE, current, permission, "web-tls")


def test_entry_carries_every_field() -> None:
    """What the worker reads through the C structure is what was granted."""
    content = build_snapshot("guest-1", 7, build_entries([key(uids=(1000, 4294967295))]))
    head: Any = ffi.from_buffer("struct vks_snapshot_head *", content)
    assert (head.magic, head.version, head.generation, head.key_count) == (
        lib.VKS_SNAPSHOT_MAGIC,
        lib.VKS_SNAPSHOT_VERSION,
        7,
        1,
    )
    assert bytes(head.guest_name) == b"guest-1".ljust(64, b"\0")
    entry: Any = ffi.from_buffer("struct vks_snapshot_key *", content[ffi.sizeof("struct vks_snapshot_head") :])
    assert bytes(entry.key_id) == b"k" * 16
    assert (entry.version, entry.type, entry.state, entry.current) == (
        1,
        lib.VKS_KEY_TYPE_EC_P256,
        lib.VKS_KEY_STATE_ACTIVE,
        1,
    )
    assert entry.op_mask == 1 << lib.VKS_OP_SIGN | 1 << lib.VKS_OP_VERIFY
    assert entry.mechanism_mask == 1 << lib.VKS_MECHANISM_ECDSA_SHA256
    assert (entry.not_before_s, entry.not_after_s, entry.input_bytes_max) == (11, 22, 33)
    assert list(entry.uids)[: entry.uid_count] == [1000, 4294967295]
    assert bytes(entry.label) == b"web-tls".ljust(64, b"\0")


def test_entries_are_ordered_by_key_id_then_version() -> None:
    """A worker finds keys by binary search over unsigned bytes."""
    wanted = [(b"\x00" * 16, 1), (b"\x7f" * 16, 1), (b"\x7f" * 16, 2), (b"\x7f" * 16, 10), (b"\xff" * 16, 1)]
    shuffled = [wanted[index] for index in (4, 3, 1, 0, 2)]
    content = build_snapshot(
        "g", 1, build_entries([key(key_id, version, current=version == 1) for key_id, version in shuffled])
    )
    entries: Any = ffi.from_buffer("struct vks_snapshot_key[]", content[ffi.sizeof("struct vks_snapshot_head") :])
    assert [(bytes(entry.key_id), entry.version) for entry in entries] == wanted


def test_empty_snapshot_is_a_head() -> None:
    """A guest without grants has a snapshot too."""
    assert len(build_snapshot("g", 1, build_entries([]))) == ffi.sizeof("struct vks_snapshot_head")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([key(), key(current=False)], id="one version twice"),
        pytest.param([key(version=1), key(version=2)], id="two current versions"),
        pytest.param([key(key_id=b"short")], id="short key id"),
        pytest.param([key(uids=tuple(range(9)))], id="too many uids"),
    ],
)
def test_impossible_snapshots_are_not_built(keys: list[PermittedKey]) -> None:
    """What no worker would take is refused where the cause is known."""
    with pytest.raises(ValueError, match=r"twice|two current|bad key id"):
        build_snapshot("g", 1, build_entries(keys))


def test_sealed_memfd_cannot_change() -> None:
    """Whoever holds the descriptor, writing, growing, shrinking and writable mapping all fail."""
    content = build_snapshot("g", 1, build_entries([key()]))
    fd = seal_snapshot(content)
    try:
        assert os.pread(fd, len(content) + 1, 0) == content
        for change in (
            lambda: os.pwrite(fd, b"x", 0),
            lambda: os.ftruncate(fd, 0),
            lambda: os.ftruncate(fd, len(content) + 1),
            lambda: mmap.mmap(fd, len(content)),
            lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0),
        ):
            with pytest.raises(PermissionError):
                change()
    finally:
        os.close(fd)
