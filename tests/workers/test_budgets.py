# SPDX-License-Identifier: Apache-2.0
"""Where budgets are counted and what is on disk: over a real store and real state memory, without a worker."""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vmm_keystore._vks import lib
from vmm_keystore.errors import StoreFullError
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.service.guest_keys import StoreGuestKeys
from vmm_keystore.service.ports import BUDGETS_MAX
from vmm_keystore.store.grants import get_holder, insert_grant
from vmm_keystore.store.guests import insert_guest
from vmm_keystore.store.keys import insert_key, insert_version
from vmm_keystore.store.store import Store
from vmm_keystore.workers.budgets import Budgets, block_ops
from vmm_keystore.workers.state_memory import StateMemory

LARGE, BLOCK = 16000, 1000


class Vault:
    """A guest with one key a grant."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "keystore.db")
        self.keys = StoreGuestKeys(self.store)
        with self.store.write() as connection:
            insert_guest(connection, "g", "/nowhere", None, 1)

    def grant(self, label: str, **limits: Any) -> int:
        """A grant with a budget; the budget's id."""
        with self.store.write() as connection:
            row = insert_key(connection, os.urandom(16), label, KeyType.HMAC_SHA256, 1)
            insert_version(connection, row, 1, state=KeyState.ACTIVE, sealed=b"s", public_der=b"", now_s=1)
            insert_grant(connection, get_holder(connection, "g"), row, Permission(1, 1, **limits), 1)
        return next(key.budget_id for key in self.permitted() if key.label == label)

    def permitted(self) -> tuple[PermittedKey, ...]:
        """What the guest may use."""
        return self.keys.permitted_keys("g")

    def spent(self, budget_id: int) -> int:
        """What is on disk."""
        return self.keys.spent_budgets("g")[budget_id]


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    found = Vault(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def state() -> Iterator[StateMemory]:
    path = Path("/dev/shm") / f"vks-test-{os.getpid()}.state"
    with StateMemory(path) as found:
        yield found
    path.unlink()


def use(state: StateMemory, index: int, count: int) -> None:
    """What a worker does."""
    words: Any = lib.vks_state_budget(state._state, index)
    words.used += count


def leased(state: StateMemory, index: int) -> int:
    """What a worker may use."""
    words: Any = lib.vks_state_budget(state._state, index)
    return int(words.leased)


def test_block_is_on_disk_before_it_may_be_used(vault: Vault, state: StateMemory) -> None:
    """One block at first, the next one when half of it is used, and the budget's end is never passed."""
    budget_id = vault.grant("k", ops_max=LARGE)
    budgets = Budgets(vault.keys, "g", state)
    index = budgets.assign(vault.permitted())[budget_id]
    used = 0
    while used < LARGE:
        assert leased(state, index) <= vault.spent(budget_id) <= min(LARGE, used + BLOCK)
        step = min(300, leased(state, index) - used)
        assert step > 0
        use(state, index, step)
        used += step
        assert budgets.refill()
        assert budgets.used() == {budget_id: used}
    assert leased(state, index) == vault.spent(budget_id) == LARGE


@pytest.mark.parametrize(("ops_max", "block"), [(1, 16), (1000, 62), (LARGE, BLOCK), (2**53, 65536)])
def test_block_sizes(ops_max: int, block: int) -> None:
    """A sixteenth, within bounds."""
    assert block_ops(ops_max) == block


def test_next_keystored_goes_on(vault: Vault, state: StateMemory) -> None:
    """State memory that survived counts exactly."""
    budget_id = vault.grant("k", ops_max=LARGE)
    index = Budgets(vault.keys, "g", state).assign(vault.permitted())[budget_id]
    use(state, index, 700)
    budgets = Budgets(vault.keys, "g", state)
    assert budgets.assign(vault.permitted()) == {budget_id: index}
    assert budgets.used() == {budget_id: 700}
    assert vault.spent(budget_id) == 1700


def test_lost_state_memory_costs_at_most_a_block(vault: Vault, state: StateMemory, tmp_path: Path) -> None:
    """After a crash of the host all that was leased counts as used: never less than what was."""
    budget_id = vault.grant("k", ops_max=LARGE)
    budgets = Budgets(vault.keys, "g", state)
    index = budgets.assign(vault.permitted())[budget_id]
    use(state, index, 400)
    shutil.copy(state.path, tmp_path / "lost")
    state.path.unlink()
    with StateMemory(state.path) as fresh:
        assert fresh.is_new
        after = Budgets(vault.keys, "g", fresh)
        after.assign(vault.permitted())
        assert after.used() == {budget_id: 1000}
        budgets.attach(fresh)
        budgets.assign(vault.permitted())
        assert budgets.used() == {budget_id: 1000}


def test_rest_is_given_back(vault: Vault, state: StateMemory) -> None:
    """At the end of the workers exactly what was used stays used."""
    budget_id = vault.grant("k", ops_max=LARGE)
    budgets = Budgets(vault.keys, "g", state)
    index = budgets.assign(vault.permitted())[budget_id]
    use(state, index, 17)
    budgets.settle()
    assert vault.spent(budget_id) == 17


def test_fallen_worker_gets_no_more_than_was_leased(vault: Vault, state: StateMemory) -> None:
    """Whatever it writes into its counters: what earlier leases allowed stays used, and nothing is leased for it."""
    budget_id = vault.grant("k", ops_max=LARGE)
    budgets = Budgets(vault.keys, "g", state)
    index = budgets.assign(vault.permitted())[budget_id]
    for _ in range(4):
        use(state, index, BLOCK // 2)
        budgets.refill()
    assert vault.spent(budget_id) == 3000
    words: Any = lib.vks_state_budget(state._state, index)
    for lie in (0, 5, 2**64 - 1):
        words.used, words.leased = lie, 2**63
        words.id = words.id if lie else 99
        budgets.refill()
        assert 2000 <= budgets.used()[budget_id] <= vault.spent(budget_id)
        assert vault.spent(budget_id) <= 3000 + 2 * BLOCK
    budgets.settle()
    assert vault.spent(budget_id) >= 2000


def test_given_back_is_not_leased_any_more(vault: Vault, state: StateMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """State memory of before says more than is on disk: nothing of that is used when the store takes nothing."""
    budget_id = vault.grant("k", ops_max=LARGE)
    budgets = Budgets(vault.keys, "g", state)
    index = budgets.assign(vault.permitted())[budget_id]
    use(state, index, 17)
    budgets.settle()
    assert leased(state, index) == BLOCK

    def full(_used: object) -> None:
        raise StoreFullError("the disk is full")

    monkeypatch.setattr(vault.keys, "lease_budgets", full)
    Budgets(vault.keys, "g", state).assign(vault.permitted())
    assert leased(state, index) == vault.spent(budget_id) == 17


def test_bound_that_is_lowered(vault: Vault, state: StateMemory) -> None:
    """What was used stays what it was, and is not more than that."""
    budget_id = vault.grant("k", ops_max=LARGE)
    budgets = Budgets(vault.keys, "g", state)
    index = budgets.assign(vault.permitted())[budget_id]
    use(state, index, 17)
    lower = [dataclasses.replace(key, permission=Permission(1, 1, ops_max=100)) for key in vault.permitted()]
    budgets.assign(lower)
    assert budgets.used() == {budget_id: 17}
    budgets.settle()
    assert vault.spent(budget_id) == 17


def test_places_are_used_again_and_only_when_nobody_counts_there(vault: Vault, state: StateMemory) -> None:
    """A removed grant's counters stay its own until the snapshot that named them is gone."""
    first = vault.grant("a", ops_a_second=5)
    budgets = Budgets(vault.keys, "g", state)
    budgets.assign(vault.permitted())
    second = vault.grant("b", ops_max=5)
    without_a = [key for key in vault.permitted() if key.label != "a"]
    indices = budgets.assign(without_a)
    assert indices == {second: 1}
    assert state.budget_ids()[:2] == [first, second]
    budgets.assign(without_a)
    assert state.budget_ids()[:2] == [0, second]
    third = vault.grant("c", ops_max=5)
    without_a = [key for key in vault.permitted() if key.label != "a"]
    assert budgets.assign(without_a) == {second: 1, third: 0}


def test_no_place_left(vault: Vault, state: StateMemory) -> None:
    """Whoever is beyond the room gets no counters, and everybody else keeps theirs."""
    many = [
        PermittedKey(
            key_id=number.to_bytes(16, "big"),
            version=1,
            key_type=KeyType.HMAC_SHA256,
            state=KeyState.ACTIVE,
            current=True,
            permission=Permission(1, 1, ops_a_second=1),
            label=f"k{number}",
            budget_id=number,
        )
        for number in range(1, BUDGETS_MAX + 11)
    ]
    indices = Budgets(vault.keys, "g", state).assign(many)
    assert len(indices) == len(set(indices.values())) == BUDGETS_MAX


def test_store_that_takes_nothing(vault: Vault, state: StateMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is leased that is not on disk; it is, once the store takes it."""
    budget_id = vault.grant("k", ops_max=LARGE)
    budgets = Budgets(vault.keys, "g", state)

    def full(_used: object) -> None:
        raise StoreFullError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(vault.keys, "lease_budgets", full)
        index = budgets.assign(vault.permitted())[budget_id]
        assert not budgets.refill()
        assert leased(state, index) == 0
    assert budgets.refill()
    assert leased(state, index) == vault.spent(budget_id) == BLOCK
