# SPDX-License-Identifier: Apache-2.0
"""What a guest may use, brought into its workers: keys through the custodian, then the snapshot that names them."""

import logging
from collections.abc import Sequence

from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.service.ports import GuestKeys
from vmm_keystore.workers.budgets import Budgets, missing_budget
from vmm_keystore.workers.errors import ProgramLostError
from vmm_keystore.workers.snapshot import build_snapshot
from vmm_keystore.workers.worker import KeyVersion, Worker

log = logging.getLogger(__name__)

LOAD_ROUNDS_MAX = 4


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
        lacking = [(worker, missing) for worker in workers if (missing := missing_versions(worker, permitted))]
        if not lacking or problems:
            break
        for worker, missing in lacking:
            try:
                problems += worker.load(keys.lease_keys(guest, missing))
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
    """Put *permitted* in force in all workers at the same time, as far as they hold the keys."""
    publications = []
    indices = budgets.assign(permitted)
    own_keys_max = keys.own_keys_max(guest)
    countable = [key for key in permitted if not missing_budget(key, indices)]
    for worker in workers:
        usable = [key for key in countable if (key.key_id, key.version) in worker.held]
        worker.reach(usable)
        content = build_snapshot(
            guest,
            worker.generation + 1,
            usable,
            poll_us=worker.poll_us,
            own_keys_max=own_keys_max,
            budgets=indices,
        )
        publications.append(worker.publish(content, frozenset(versions(usable))))
    return [publication.settle() for publication in publications]


def missing_versions(worker: Worker, permitted: Sequence[PermittedKey]) -> list[KeyVersion]:
    """Name the key versions that a living worker lacks."""
    if worker.ended.is_set():
        return []
    return [version for version in versions(permitted) if version not in worker.held]


def versions(keys: Sequence[PermittedKey]) -> list[KeyVersion]:
    """Name the key versions."""
    return [(key.key_id, key.version) for key in keys]
