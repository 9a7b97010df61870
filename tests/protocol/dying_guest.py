# SPDX-License-Identifier: Apache-2.0
"""A ring whose workers die, and whoever asks on it: every answer is checked, every run accounted for."""

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from framework.checked_work import Ledger, Run, Work, check_records
from framework.guest_ram import GuestRam
from framework.kill_points import KillPoints
from framework.split_ring import SplitRing
from framework.vault import Vault
from protocol.worker_rig import RigKey, WorkerRig, Zygote, make_state

from vmm_keystore._vks import lib
from vmm_keystore.workers.data_plane import DataPlane

FIRST_INDEX = 0xFFE0
START_ID = 7


class DyingGuest:
    """A ring whose workers die: plays keystored, which starts the next one on the same state memory."""

    def __init__(
        self, zygote: Zygote, ram: GuestRam, ring: SplitRing, keys: Sequence[RigKey], data_plane: DataPlane
    ) -> None:
        """Start the first worker; *keys* with a budget have all that they are allowed leased."""
        self._zygote = zygote
        self._data_plane = data_plane
        self._keys = keys
        self._bounded = [key for key in keys if key.budget]
        self._ram = ram
        self.ring = ring
        self._lease = 0
        self.deaths = 0
        state_fd = make_state()
        try:
            self.points = KillPoints(state_fd)
            self.rig = WorkerRig(zygote, state_fd, data_plane)
        finally:
            os.close(state_fd)
        self.ledger = Ledger(Vault(ram, ring, slot_count=60, readable_bytes_max=256, writable_bytes_max=512))
        self.records: list[Any] = []
        for key in self._bounded:
            self.rig.open_budget(key, leased=key.ops_max)
        self.prepare()

    def prepare(self) -> None:
        """Give the present worker what keystored gives it; base is what keystored reads from state memory."""
        self._lease += 1
        self.rig.share(self._ram)
        self.rig.give(*(key.with_(nonce_lease=self._lease) for key in self._keys))
        begun = lib.vks_state_queue(self.rig.state, 0).start_id == START_ID
        base = lib.vks_state_next_base(self.rig.state, 0) if begun else FIRST_INDEX
        self.rig.post_start(self.ring, base=base, start_id=START_ID)

    def replace(self) -> None:
        """Wait for the death, then start the next worker."""
        self.rig.wait_ended()
        self.deaths += 1
        successor = WorkerRig(self._zygote, self.rig.state_fd, self._data_plane)
        self.rig.close()
        self.rig = successor
        self.prepare()

    def run(self, works: list[Work], *, refused: tuple[int, ...] = ()) -> None:
        """Ask for all at once, replace whoever dies, check every answer."""
        for work in works:
            self.ledger.submit(work)
        self.ring.kick(force=True)
        while self.ledger.asked:
            readable = select.select([self.ring.call_read_fd, self.rig.pidfd], [], [], 10)[0]
            assert readable, f"no answer to {len(self.ledger.asked)} requests"
            self.ring.take_call()
            for head, answer in self.ledger.vault.collect(0):
                self.ledger.check(head, answer, refused)
            if not self.rig.alive:
                self.replace()
        # The last answer may have come before the death.
        while not self.rig.alive or self.points.is_armed or self.deaths < self.points.hits:
            self.replace()
        self.records += self.rig.records()
        # Counted once each, however often they ran.
        for key in self._bounded:
            assert self.rig.used(key) == self.ledger.submitted[key.key_id]

    def attempts(self) -> dict[int, list[int]]:
        """Runs on record since the last look."""
        attempts = check_records(self.ledger, map(Run.of_record, self.records))
        self.ledger.sequences.clear()
        self.records.clear()
        return attempts


@contextmanager
def dying_guest(zygote: Zygote, keys: Sequence[RigKey], data_plane: DataPlane) -> Iterator[DyingGuest]:
    """Give a ring in the middle of its count, so that indices wrap."""
    with GuestRam(8 << 20) as ram, SplitRing(ram, 128) as ring:
        ring.set_avail_idx(FIRST_INDEX)
        ring.last_used = ring.used_head[1] = FIRST_INDEX
        running = DyingGuest(zygote, ram, ring, keys, data_plane)
        yield running
        running.points.__exit__()
        running.rig.close()
