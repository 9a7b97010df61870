# SPDX-License-Identifier: Apache-2.0
"""What one guest may do, in the layout of ``snapshot.h``, and as the sealed memfd that a worker takes over.

A worker finds keys by binary search: the order of entries is part of the layout.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.grant import PermittedKey

KEYS_MAX: int = lib.VKS_SNAPSHOT_KEYS_MAX
ENTRY_BYTES: int = ffi.sizeof("struct vks_snapshot_key")
UIDS_MAX: int = lib.VKS_SNAPSHOT_UIDS_MAX
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def build_snapshot(guest: str, generation: int, entries: bytes, *, poll_us: int = 0, own_keys_max: int = 0) -> bytes:
    """Lay out a snapshot.

    Args:
        guest: its name.
        generation: grows with each publication to a worker.
        entries: what :func:`build_entries` made.
        poll_us: how long the worker looks at its ring before it sleeps.
        own_keys_max: how many keys of its own the guest may have.
    """
    head = ffi.new(
        "struct vks_snapshot_head *",
        {
            "magic": lib.VKS_SNAPSHOT_MAGIC,
            "version": lib.VKS_SNAPSHOT_VERSION,
            "generation": generation,
            "key_count": len(entries) // ENTRY_BYTES,
            "poll_us": poll_us,
            "own_keys_max": own_keys_max,
            "guest_name": padded(guest),
        },
    )
    return bytes(ffi.buffer(head)) + entries


def build_entries(keys: Sequence[PermittedKey], budgets: Mapping[int, int] | None = None) -> bytes:
    """Lay out the entries of a snapshot.

    Args:
        keys: in any order.
        budgets: where each budget is counted, an index in state memory by the budget's id.

    Raises:
        ValueError: two entries are the same version of a key, two versions of a key are current, or a count is
            beyond the layout.
    """
    ordered = sorted(keys, key=attrgetter("key_id", "version"))
    check_entries(ordered)
    entries = ffi.new(
        "struct vks_snapshot_key[]",
        [
            {
                "key_id": key.key_id,
                "version": key.version,
                "type": key.key_type,
                "state": key.state,
                "current": key.current,
                "op_mask": key.permission.op_mask,
                "mechanism_mask": key.permission.mechanism_mask,
                "not_before_s": key.permission.not_before_s,
                "not_after_s": key.permission.not_after_s,
                "input_bytes_max": key.permission.input_bytes_max,
                "uid_count": len(key.permission.uids),
                "uids": key.permission.uids,
                "ops_max": key.permission.ops_max,
                "budget_id": key.budget_id,
                "ops_a_second": key.permission.ops_a_second,
                "budget": (budgets or {})[key.budget_id] + 1 if key.budget_id else 0,
                "label": padded(key.label),
            }
            for key in ordered
        ],
    )
    return bytes(ffi.buffer(entries))


def check_entries(ordered: Sequence[PermittedKey]) -> None:
    """Refuse what a worker would refuse, where the cause is still known."""
    if len(ordered) > KEYS_MAX:
        raise ValueError(f"{len(ordered)} key versions, a snapshot holds {KEYS_MAX}")
    for key in ordered:
        if len(key.key_id) != lib.VKS_KEY_ID_BYTES or len(key.permission.uids) > UIDS_MAX:
            raise ValueError(f"key {key.label}: bad key id or more than {UIDS_MAX} uids")
    for before, after in pairwise(ordered):
        if before.key_id == after.key_id and before.version == after.version:
            raise ValueError(f"key {after.label}: version {after.version} twice")
    current = [key.key_id for key in ordered if key.current]
    if len(current) != len(set(current)):
        raise ValueError("two current versions of one key")


def padded(text: str) -> bytes:
    """Encode a name; at least one NUL must remain behind it."""
    name = text.encode()
    if len(name) >= lib.VKS_LABEL_BYTES:
        raise ValueError(f"name of {len(name)} bytes, at most {lib.VKS_LABEL_BYTES - 1}")
    return name


def seal_snapshot(content: bytes) -> int:
    """Put a snapshot into a memfd that nobody can change any more; the caller closes it."""
    fd = os.memfd_create("vks-snapshot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
