# SPDX-License-Identifier: Apache-2.0
"""The budgets of one guest's grants: where in state memory they are counted, and how much is on disk as used.

The worker counts, exactly, whoever is killed. A crash of the host takes its counters along, so a block of operations
is on disk as used before the first of it may begin: then too many count as used, never too few. What a worker that
has fallen writes into the counters costs its own guest's budgets only.
"""

import logging
import threading
from collections.abc import Mapping, Sequence

from vmm_keystore.errors import StoreError
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.service.ports import BUDGETS_MAX, GuestKeys
from vmm_keystore.workers.state_memory import StateMemory

log = logging.getLogger(__name__)

BLOCK_MIN, BLOCK_MAX = 16, 65536
BLOCK_PARTS = 16
"""A crash of the host costs at most such a part of a budget."""


def block_ops(ops_max: int) -> int:
    """How many operations are leased at once from a budget of *ops_max*."""
    return min(BLOCK_MAX, max(BLOCK_MIN, ops_max // BLOCK_PARTS))


class Budgets:
    """Indices in state memory and leases of one guest. From any thread."""

    def __init__(self, keys: GuestKeys, guest: str, state: StateMemory) -> None:
        self._keys = keys
        self._guest = guest
        self._lock = threading.Lock()
        self._indices: dict[int, int] = {}
        self._wanted: dict[int, Permission] = {}
        self._leased: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self.attach(state)

    def attach(self, state: StateMemory) -> None:
        """Go on with the counters in *state*, which a keystored before this one may have left."""
        with self._lock:
            self._state = state
            self._indices = {budget_id: index for index, budget_id in enumerate(state.budget_ids()) if budget_id}
            self._leased, self._seen = {}, {}

    def assign(self, permitted: Sequence[PermittedKey]) -> dict[int, int]:
        """Have a counter for every budget of *permitted*, with something leased.

        Returns:
            The index of each budget by its id; one for which there is no room is missing, and must not be used.
        """
        wanted = {key.budget_id: key.permission for key in permitted if key.budget_id}
        with self._lock:
            # What the last snapshot named may still be counted in: it is given to nobody else before the next one.
            for budget_id in [b for b in self._indices if b not in wanted and b not in self._wanted]:
                self._state.open_budget(self._indices.pop(budget_id), 0, 0)
                self._leased.pop(budget_id, None)
                self._seen.pop(budget_id, None)
            self._wanted = wanted
            self._open([budget_id for budget_id in wanted if budget_id not in self._indices])
            self._lease()
            return {budget_id: index for budget_id, index in self._indices.items() if budget_id in wanted}

    def refill(self) -> bool:
        """Lease more where little is left; false when the store takes nothing."""
        with self._lock:
            return self._lease()

    def used(self) -> dict[int, int]:
        """Operations that have begun, by budget; before the first :meth:`assign` those that the last keystored left."""
        with self._lock:
            known = [budget_id for budget_id in self._indices if budget_id in self._wanted or not self._wanted]
            return {budget_id: self._used(budget_id) for budget_id in known}

    def settle(self) -> None:
        """Give back what was leased and not used, once no worker is left."""
        with self._lock:
            unused = {b: self._used(b) for b in self._leased if b in self._indices}
            unused = {b: used for b, used in unused.items() if used < self._leased[b]}
            try:
                self._keys.settle_budgets(unused)
            except StoreError as error:
                log.warning("guest %s: what is left of its leases counts as used: %s", self._guest, error)
            self._leased = {}

    def _open(self, budget_ids: Sequence[int]) -> None:
        if not budget_ids:
            return
        spent = self._keys.spent_budgets(self._guest)
        free = iter(sorted(set(range(BUDGETS_MAX)) - set(self._indices.values())))
        for budget_id in budget_ids:
            index = next(free, None)
            if index is None:
                log.error("guest %s: more than %d budgets, the rest is not usable", self._guest, BUDGETS_MAX)
                return
            self._indices[budget_id] = index
            used = spent.get(budget_id, 0)
            self._state.open_budget(index, budget_id, used)
            if self._wanted[budget_id].ops_max:
                self._leased[budget_id] = used

    def _lease(self) -> bool:
        """Put more on disk as used where less than half a block is left, then let the worker have it."""
        bounded = {b: p.ops_max for b, p in self._wanted.items() if p.ops_max and b in self._indices}
        unknown = [budget_id for budget_id in bounded if budget_id not in self._leased]
        if unknown:
            spent = self._keys.spent_budgets(self._guest)
            self._leased |= {budget_id: spent.get(budget_id, 0) for budget_id in unknown}
            # What state memory says may be more than is on disk: its last keystored gave the rest back.
            for budget_id in unknown:
                self._state.lease_budget(self._indices[budget_id], self._leased[budget_id], 0)
        more: dict[int, int] = {}
        for budget_id, ops_max in bounded.items():
            leased = self._leased[budget_id]
            used = self._used(budget_id)
            if leased < ops_max and leased - used <= block_ops(ops_max) // 2:
                more[budget_id] = min(ops_max, used + block_ops(ops_max))
        try:
            self._keys.lease_budgets(more)
        except StoreError as error:
            log.error("guest %s: operations under its budgets wait: %s", self._guest, error)
            return False
        self._leased |= more
        for budget_id, leased in more.items():
            ops_max = bounded[budget_id]
            low = leased - block_ops(ops_max) // 2 if leased < ops_max else 0
            self._state.lease_budget(self._indices[budget_id], leased, low)
        return True

    def _used(self, budget_id: int) -> int:
        """What the worker says, as far as it can be right: not less than before, not more than was leased."""
        used = max(self._state.budget_used(self._indices[budget_id]), self._seen.get(budget_id, 0))
        used = min(used, self._leased.get(budget_id, used))
        self._seen[budget_id] = used
        return used


def missing_budget(key: PermittedKey, indices: Mapping[int, int]) -> bool:
    """Whether *key* has a budget for which there was no room."""
    return bool(key.budget_id) and key.budget_id not in indices
