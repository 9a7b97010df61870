# SPDX-License-Identifier: Apache-2.0
"""Orders between workers and the service: turns of guests, and what a worker that has fallen could send."""

import threading
from typing import Any

import pytest
from framework.patience import wait_for

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.vocabulary import KeyType, Op, Status
from vmm_keystore.service.guest_values import Order, Ordered
from vmm_keystore.workers.ipc import pack
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.order_messages import checked_order, pack_ordered
from vmm_keystore.workers.orders import OrderDesk


def order(sequence: int) -> Order:
    """Any."""
    return Order(sequence, Op.GENERATE, KeyType.EC_P256, bytes(16), "k", None)


class Service:
    """Notes whose orders it is given, and carries out none before it may."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.go_on = threading.Event()

    def carry_out(self, guest: str, order: Order) -> Ordered:
        """See ``GuestOrders``."""
        self.taken.append((guest, order.sequence))
        assert self.go_on.wait(10)
        if guest == "broken":
            raise RuntimeError("a mistake of ours")
        return Ordered(Status.OK, bytes(16), order.sequence)


def test_guests_take_turns(loop: Loop) -> None:
    """One that has ordered just now comes behind others that come later; a mistake costs its own order only."""
    service, desk, answers = Service(), OrderDesk(loop), []
    answered = threading.Semaphore(0)

    def answer(ordered: Ordered) -> None:
        answers.append(ordered.status)
        answered.release()

    def take() -> None:
        desk.take("greedy", order(1), answer)
        desk.take("greedy", order(2), answer)
        desk.take("broken", order(1), answer)
        desk.take("modest", order(1), answer)

    desk.start(service)
    loop.call_soon(take)
    service.go_on.set()
    assert all(answered.acquire(timeout=10) for _ in range(4))
    desk.stop()
    assert service.taken == [("greedy", 1), ("broken", 1), ("modest", 1), ("greedy", 2)]
    assert answers == [Status.OK, Status.INTERNAL, Status.OK, Status.OK]


def test_orders_wait_for_the_service(loop: Loop) -> None:
    """What comes while keystored starts is carried out when it has; what is left when it ends, by nobody."""
    service, desk = Service(), OrderDesk(loop)
    answered = threading.Event()
    taken = threading.Event()

    def take() -> None:
        desk.take("g", order(1), lambda _ordered: answered.set())
        taken.set()

    loop.call_soon(take)
    assert taken.wait(10)
    assert service.taken == []
    service.go_on.set()
    desk.start(service)
    assert answered.wait(10)
    service.go_on.clear()

    def take_more() -> None:
        for guest in ("h", "i", "k"):
            desk.take(guest, order(1), lambda _ordered: None)

    loop.call_soon(take_more)
    wait_for(lambda: len(service.taken) == 2)
    stopping = threading.Thread(target=desk.stop)
    stopping.start()
    wait_for(desk._stopping.is_set)
    service.go_on.set()
    stopping.join(10)
    assert service.taken == [("g", 1), ("h", 1)]


def body(**fields: Any) -> Any:
    """A ``vks_worker_order``."""
    good = {"request_sequence": 7, "op": lib.VKS_OP_GENERATE, "type": lib.VKS_KEY_TYPE_EC_P256, "label": b"k"}
    return ffi.from_buffer("struct vks_worker_order *", pack("vks_worker_order", good | fields))


def test_what_a_worker_sends() -> None:
    """Is taken over field by field."""
    assert checked_order(body(flags=lib.VKS_ORDER_F_UID, uid=5, key_id=bytes(range(16)))) == Order(
        7, Op.GENERATE, KeyType.EC_P256, bytes(range(16)), "k", 5
    )
    assert checked_order(body(uid=5, type=99)) == Order(7, Op.GENERATE, None, bytes(16), "k", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"request_sequence": 0},
        {"request_sequence": lib.VKS_STATE_QUEUES_MAX << lib.VKS_STATE_SEQUENCE_SHIFT},
        {"op": lib.VKS_OP_SIGN},
        {"op": 1 << 31},
    ],
)
def test_what_no_worker_of_ours_sends(fields: dict[str, int]) -> None:
    """Ends it: it has fallen."""
    assert checked_order(body(**fields)) is None


@pytest.mark.parametrize("label", [b"", b"a b", b"a\0b", b"\xff", b"g:k", b"k\n", b"l" * 64])
def test_labels_that_are_none(label: bytes) -> None:
    """No bytes of a guest's reach the store as a name that is none."""
    found = checked_order(body(label=label))
    assert found is not None
    assert found.label == ""


def test_answer() -> None:
    """It names the request."""
    packed: Any = ffi.from_buffer("struct vks_worker_ordered *", pack_ordered(order(9), Ordered(Status.EXISTS)))
    assert (packed.request_sequence, packed.status, packed.key_version) == (9, lib.VKS_STATUS_EXISTS, 0)
