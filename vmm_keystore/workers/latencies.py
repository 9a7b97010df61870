# SPDX-License-Identifier: Apache-2.0
"""Histograms of ``latency.h`` as values, as far as what a worker wrote there can be true."""

from collections.abc import Iterable
from typing import Any

from vmm_keystore._vks import ffi, lib
from vmm_keystore.service.guest_values import Latency, LatencyKind

COUNT_MAX = 1 << 53
"""A million requests a second for 285 years; and what a double still counts exactly."""
SUM_NS_MAX = 1 << 63

_KINDS = {
    lib.VKS_LATENCY_KEY: LatencyKind.KEY,
    lib.VKS_LATENCY_NONE: LatencyKind.NONE,
    lib.VKS_LATENCY_OTHER: LatencyKind.OTHER,
}


def checked_latencies(rows: Iterable[Any]) -> list[Latency]:
    """Take over what ``vks_latency_read`` copied; what cannot be true is left out.

    Whether a key is one of the guest's is for the caller to find out.
    """
    return [latency for row in rows if (latency := _checked(row)) is not None]


def _checked(row: Any) -> Latency | None:
    counts = tuple(ffi.unpack(row.bucket, lib.VKS_LATENCY_BUCKETS))
    kind = _KINDS[row.kind]
    if sum(counts) > COUNT_MAX or row.sum_ns > SUM_NS_MAX or row.op >= lib.VKS_OP_COUNT:
        return None
    return Latency(kind, bytes(row.key_id) if kind is LatencyKind.KEY else b"", row.op, counts, row.sum_ns)
