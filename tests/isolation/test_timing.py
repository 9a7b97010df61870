# SPDX-License-Identifier: Apache-2.0
"""Guest B cannot tell a key of guest A from none by the time that the answer takes.

**Statistic.** Requests come in pairs, one for a foreign key and one for an absent one, in an order drawn for each pair;
what is compared is which of the two took longer. The absent id differs from the foreign one in its last bit: where an
id lies among B's own is no secret, and costs a few nanoseconds that as many pairs do show. Where time does not depend on the key, that is a fair coin whatever
the machine does meanwhile: over ``PAIRS`` pairs the difference from half, in standard deviations, exceeds
``DEVIATIONS_MAX`` once in two million runs. Ties count for neither. **Control.** The same statistic tells, with as many
pairs, a MAC of B's own from a refusal: a few hundred nanoseconds of honest work among microseconds of wake-ups.
"""

import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import Op

pytestmark = pytest.mark.alone

PAIRS = 20000
DEVIATIONS_MAX = 5.0
KEY_COUNT = 16
SPIN_S = 0.01


@dataclass(frozen=True, slots=True)
class Guests:
    """Guest B, and ids of keys that A has, that nobody has, and that B has."""

    b: RingGuest
    foreign: Sequence[bytes]
    absent: Sequence[bytes]
    own: Sequence[bytes]


@pytest.fixture(scope="module")
def guests(shared_vault: Keystored) -> Iterator[Guests]:
    api = shared_vault.api
    shared_vault.add_guest("time-a")
    socket = shared_vault.add_guest("time-b")
    ids: dict[str, list[bytes]] = {"time-a": [], "time-b": []}
    for number in range(KEY_COUNT):
        for guest, found in ids.items():
            label = f"{guest}-{number}"
            found.append(bytes.fromhex(api.generate(label, "hmac-sha256")["id"]))
            api.grant(guest, label, ["mac"])
    with ring_guest(socket) as b:
        yield Guests(b, ids["time-a"], [neighbour(key_id) for key_id in ids["time-a"]], ids["time-b"])


def neighbour(key_id: bytes) -> bytes:
    """An id that nobody has, next to one that somebody has."""
    return key_id[:-1] + bytes([key_id[-1] ^ 1])


def took_ns(guest: RingGuest, op: int, key_id: bytes) -> int:
    """The time from the kick to the used element, as a guest that polls sees it."""
    head, slot = guest.vault.take()
    slot.fill(op, key_id=key_id, data=b"" if op == Op.PUBLIC else bytes(32), output_bytes=64)
    guest.vault.send(head)
    before_ns = time.perf_counter_ns()
    guest.ring.kick()
    guest.vault.collect(spin_s=SPIN_S)
    return time.perf_counter_ns() - before_ns


def deviations(guest: RingGuest, op: int, one: Sequence[bytes], other: Sequence[bytes]) -> float:
    """How far from a fair coin it is that a request of *one* takes longer, in standard deviations."""
    chance = random.Random(os.urandom(8))  # noqa: S311 - an order, not a key
    pairs = list(zip(one, other, strict=True))
    longer = count = 0
    for _ in range(PAIRS):
        first, second = chance.choice(pairs)
        if chance.random() < 0.5:
            difference = took_ns(guest, op, first) - took_ns(guest, op, second)
        else:
            difference = -(took_ns(guest, op, second) - took_ns(guest, op, first))
        longer += difference > 0
        count += difference != 0
    return (longer - count / 2) / math.sqrt(count / 4)


@pytest.mark.parametrize("op", [Op.MAC, Op.SIGN, Op.PUBLIC], ids=lambda op: op.text)
def test_foreign_key_takes_as_long_as_none(guests: Guests, op: Op) -> None:
    """By the sign test described above."""
    assert abs(deviations(guests.b, op, guests.foreign, guests.absent)) < DEVIATIONS_MAX


def test_control_finds_a_real_difference(guests: Guests) -> None:
    """The statistic is worth something: it sees one HMAC."""
    assert deviations(guests.b, lib.VKS_OP_MAC, guests.own, guests.absent) > DEVIATIONS_MAX
