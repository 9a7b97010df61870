# SPDX-License-Identifier: Apache-2.0
"""``ipc_order.h`` as values, as far as what a worker sends there can be true."""

import re
from typing import Any

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.vocabulary import NAME_PATTERN, KeyType, Op
from vmm_keystore.service.guest_values import Order, Ordered
from vmm_keystore.workers.ipc import pack

SEQUENCE_MAX = (lib.VKS_STATE_QUEUES_MAX << lib.VKS_STATE_SEQUENCE_SHIFT) - 1
"""No ring of a guest has requests beyond: the store keeps an order for each ring."""
_ORDERS = frozenset({Op.GENERATE, Op.ROTATE, Op.DESTROY})
_LABEL = re.compile(NAME_PATTERN.encode())


def checked_order(body: Any) -> Order | None:
    """Take over a ``vks_worker_order``; None where no worker of ours would send it."""
    op = Op.find(body.op)
    if op is None or op not in _ORDERS or not 0 < body.request_sequence <= SEQUENCE_MAX:
        return None
    label = bytes(ffi.buffer(body.label)).rstrip(b"\0")
    return Order(
        sequence=body.request_sequence,
        op=op,
        key_type=KeyType.find(body.type),
        key_id=bytes(body.key_id),
        label=label.decode() if _LABEL.fullmatch(label) else "",
        uid=body.uid if body.flags & lib.VKS_ORDER_F_UID else None,
    )


def pack_ordered(order: Order, ordered: Ordered) -> bytes:
    """The ``vks_worker_ordered`` that answers *order*."""
    return pack(
        "vks_worker_ordered",
        {
            "request_sequence": order.sequence,
            "status": int(ordered.status),
            "key_version": ordered.version,
            "key_id": ordered.key_id,
        },
    )
