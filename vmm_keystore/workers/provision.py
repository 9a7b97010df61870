# SPDX-License-Identifier: Apache-2.0
"""What a guest may use, brought into its workers: keys through the custodian, then the snapshot that names them.

A guest's first keys are there before they are asked for, those used last before others. The rest, and what a worker
gives up for want of room, is brought when a request waits for it (``key_desk``).
"""

import logging
from collections.abc import Sequence

from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.service.ports import GuestKeys
from vmm_keystore.workers.budgets import Budgets, missing_budget
from vmm_keystore.workers.errors import ProgramLostError
from vmm_keystore.workers.key_channel import KeyVersion
from vmm_keystore.workers.snapshot import build_entries, build_snapshot
from vmm_keystore.workers.worker import Worker

log = logging.getLogger(__name__)

LOAD_ROUNDS_MAX = 4
HELD_MAX = 512
"""Key versions that a worker is given before they are asked for: a standby has these at once when it has to serve."""


def bring_up_to_date(
    keys: GuestKeys, budgets: Budgets, guest: str, workers: Sequence[Worker]
) -> tuple[list[bool], str]:
    """Load what each worker lacks, under leases of its own, then publish to all.

    Returns:
        For each whether it acknowledged, those that did not are dead; and what is wrong with a key, in one line.

    Raises:
        ProgramLostError: the custodian does not stay alive.
    """
    problems: list[str] = []
    permitted = keys.permitted_keys(guest)
    for attempts_left in reversed(range(LOAD_ROUNDS_MAX)):
        lacking = [(worker, missing) for worker in workers if (missing := missing_versions(keys, worker, permitted))]
        if not lacking or problems:
            break
        for worker, missing in lacking:
            try:
                problems += worker.keys.load(keys.lease_keys(guest, missing))
            except ProgramLostError:
                # The custodian died: its successor gets fresh leases. A dead worker shows when it is published to.
                if not worker.ended.is_set() and not attempts_left:
                    raise
        # Read again: what was revoked while keys were loaded must not be published.
        permitted = keys.permitted_keys(guest)
    for problem in problems:
        log.error("guest %s: %s", guest, problem)
    return publish(keys, budgets, guest, workers, permitted), problems[0] if problems else ""


def publish(
    keys: GuestKeys, budgets: Budgets, guest: str, workers: Sequence[Worker], permitted: Sequence[PermittedKey]
) -> list[bool]:
    """Put *permitted* in force in all workers at the same time, but for keys that cannot be loaded."""
    publications = []
    indices = budgets.assign(permitted)
    own_keys_max = keys.own_keys_max(guest)
    countable = [key for key in permitted if not missing_budget(key, indices)]
    built: dict[frozenset[KeyVersion], tuple[list[PermittedKey], frozenset[KeyVersion], bytes]] = {}
    for worker in workers:
        refused = worker.keys.refused
        if refused not in built:
            # Once for all that are alike: a guest may have very many keys.
            usable = [key for key in countable if (key.key_id, key.version) not in refused]
            built[refused] = (usable, frozenset(versions(usable)), build_entries(usable, indices))
        usable, named, entries = built[refused]
        worker.reach(usable)
        content = build_snapshot(
            guest, worker.generation + 1, entries, poll_us=worker.poll_us, own_keys_max=own_keys_max
        )
        publications.append(worker.publish(content, named))
    return [publication.settle() for publication in publications]


def missing_versions(keys: GuestKeys, worker: Worker, permitted: Sequence[PermittedKey]) -> list[KeyVersion]:
    """Name the key versions that a living worker lacks, as many as it is given unasked."""
    room = HELD_MAX - len(worker.keys.held)
    if worker.ended.is_set() or worker.keys.is_full or room <= 0:
        return []
    # What its snapshot names already comes when it is asked for: no change waits for that. What could not be loaded is
    # not in it, and is tried again.
    there = worker.keys.held | worker.named
    missing = [version for version in versions(permitted) if version not in there]
    if len(missing) > room:
        used = keys.keys_by_last_use(worker.guest, HELD_MAX)
        missing.sort(key=lambda version: used.get(version[0], len(used)))
    return missing[:room]


def versions(keys: Sequence[PermittedKey]) -> list[KeyVersion]:
    """Name the key versions."""
    return [(key.key_id, key.version) for key in keys]
