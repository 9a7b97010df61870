# SPDX-License-Identifier: Apache-2.0
"""Which keys a worker is given before they are asked for."""

import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.service.ports import GuestKeys
from vmm_keystore.workers.provision import HELD_MAX, missing_versions
from vmm_keystore.workers.worker import Worker


class Uses:
    """Says which keys were used last."""

    def __init__(self, *numbers: int) -> None:
        self.ranks = {key(number).key_id: rank for rank, number in enumerate(numbers)}
        self.asked = 0

    def keys_by_last_use(self, _guest: str, count: int) -> Mapping[bytes, int]:
        """See ``GuestKeys``."""
        self.asked += 1
        assert count == HELD_MAX
        return self.ranks


def key(number: int) -> PermittedKey:
    """One of many."""
    return PermittedKey(
        number.to_bytes(16, "big"), 1, KeyType.ED25519, KeyState.ACTIVE, True, Permission(1, 1), f"k{number}"
    )


def worker(held: Any = (), refused: Any = (), named: Any = ()) -> Any:
    """One that lives."""
    channel = SimpleNamespace(held=frozenset(held), refused=frozenset(refused), is_full=False)
    return SimpleNamespace(guest="g", ended=threading.Event(), keys=channel, named=frozenset(named))


def missing(uses: Uses, its_worker: Any, count: int) -> list[int]:
    """Numbers of what is loaded of so many keys."""
    found = missing_versions(
        cast("GuestKeys", uses), cast("Worker", its_worker), [key(number) for number in range(count)]
    )
    return [int.from_bytes(key_id, "big") for key_id, _version in found]


def test_all_where_there_is_room() -> None:
    """Without asking when they were used; not those that are there, once more those that could not be loaded."""
    uses = Uses()
    assert missing(uses, worker([(key(0).key_id, 1)], [(key(2).key_id, 1)]), 5) == [1, 2, 3, 4]
    assert uses.asked == 0
    full = worker()
    full.keys.is_full = True
    assert missing(uses, full, 5) == []
    ended = worker()
    ended.ended.set()
    assert missing(uses, ended, 5) == []


def test_what_its_snapshot_names_is_not_loaded_by_a_change() -> None:
    """It was given up, or never came: a change that takes another key away does not wait for it."""
    named = [(key(number).key_id, 1) for number in range(4)]
    assert missing(Uses(), worker(named[:2], named=named), 4) == []
    assert missing(Uses(), worker(named[:2], named=named), 6) == [4, 5]


def test_those_used_last_first() -> None:
    """The others in their order, as far as there is room; nothing when it is full."""
    count = HELD_MAX + 100
    last = [HELD_MAX + 99, 7, HELD_MAX + 50]
    found = missing(Uses(*last), worker(), count)
    assert found[:3] == last
    assert found[3:] == [number for number in range(HELD_MAX - 2) if number != 7]
    assert len(found) == HELD_MAX
    held = [(key(number).key_id, 1) for number in range(HELD_MAX - 1)]
    assert missing(Uses(*last), worker(held), count) == [HELD_MAX + 99]
    assert missing(Uses(*last), worker([*held, (key(HELD_MAX - 1).key_id, 1)]), count) == []
