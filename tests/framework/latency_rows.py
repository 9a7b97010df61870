# SPDX-License-Identifier: Apache-2.0
"""The latency histograms in a mapped state memory, as the worker wrote them."""

from typing import Any

from vmm_keystore._vks import ffi, lib


def latency_rows(state: Any) -> list[Any]:
    """Every histogram that has counted anything."""
    rows = ffi.new("struct vks_latency[]", lib.VKS_LATENCY_MAX)
    count = lib.vks_latency_read(state, rows)
    return [ffi.new("struct vks_latency *", rows[i]) for i in range(count)]


def requests_counted(state: Any) -> int:
    """Requests in all of them."""
    return sum(sum(row.bucket) for row in latency_rows(state))
