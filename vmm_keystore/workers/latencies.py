# SPDX-License-Identifier: Apache-2.0
"""Histograms of ``latency.h`` as values, as far as what a worker wrote there can be true."""

from typing import Any

from vmm_keystore._vks import ffi, lib
from vmm_keystore.service.ports import Latency, LatencyKind

ROWS_MAX: int = lib.VKS_LATENCY_MAX
COUNT_MAX = 1 << 53
"""A million requests a second for 285 years; and what a double still counts exactly."""
SUM_NS_MAX = 1 << 63

_KINDS = {
    lib.VKS_LATENCY_KEY: LatencyKind.KEY,
    lib.VKS_LATENCY_NONE: LatencyKind.NONE,
    lib.VKS_LATENCY_OTHER: LatencyKind.OTHER,
}


def read_latencies(state: Any) -> list[Latency]:
    """Copy what has counted anything in a mapped state memory; what cannot be true is left out.

    Whether a key is one of the guest's is for the caller to find out.
    """
    rows = ffi.new("struct vks_latency[]", ROWS_MAX)
    found = []
    for row in rows[0 : lib.vks_latency_read(state, rows)]:
        latency = _checked(row)
        if latency is not None:
            found.append(latency)
    return found


def _checked(row: Any) -> Latency | None:
    counts = tuple(row.bucket)
    kind = _KINDS[row.kind]
    if sum(counts) > COUNT_MAX or row.sum_ns > SUM_NS_MAX or row.op >= lib.VKS_OP_COUNT:
        return None
    return Latency(kind, bytes(row.key_id) if kind is LatencyKind.KEY else b"", row.op, counts, row.sum_ns)
