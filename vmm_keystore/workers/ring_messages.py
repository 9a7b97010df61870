# SPDX-License-Identifier: Apache-2.0
"""The bodies of the messages about memory and rings, from the values of ``vhost_user``."""

from collections.abc import Sequence

from vmm_keystore._vks import lib
from vmm_keystore.vhost_user.backend import MemoryRegion, Vring
from vmm_keystore.workers.ipc import pack


def mem_table(regions: Sequence[MemoryRegion]) -> bytes:
    """Lay out a memory table; its descriptors go beside it."""
    entries = [
        {"gpa": region.gpa, "uva": region.uva, "size_bytes": region.size_bytes, "mmap_offset": region.mmap_offset}
        for region in regions
    ]
    return pack("vks_worker_mem_table", {"region_count": len(entries), "regions": entries})


def ring_start(vring: Vring) -> tuple[bytes, list[int]]:
    """Lay out a ring, and its descriptors in the order of the layout."""
    flags = (lib.VKS_RING_F_CALL if vring.call_fd is not None else 0) | (
        lib.VKS_RING_F_ERR if vring.err_fd is not None else 0
    )
    body = pack(
        "vks_worker_ring_start",
        {
            "queue": vring.index,
            "size": vring.size,
            "base": vring.base,
            "flags": flags,
            "features": vring.features,
            "start_id": vring.start_id,
            "desc_uva": vring.desc_uva,
            "avail_uva": vring.avail_uva,
            "used_uva": vring.used_uva,
        },
    )
    return body, [fd for fd in (vring.kick_fd, vring.call_fd, vring.err_fd) if fd is not None]


def ring_body(index: int) -> bytes:
    """Name a ring."""
    return pack("vks_worker_ring", {"queue": index})
