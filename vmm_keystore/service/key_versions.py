# SPDX-License-Identifier: Apache-2.0
"""Steps with versions of keys that more than one verb takes, in the transaction of its change."""

import logging

from vmm_keystore.errors import StateError, StoreError
from vmm_keystore.policy.lifecycle import rotated_state
from vmm_keystore.policy.vocabulary import KeyState
from vmm_keystore.service.changes import Change
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.key_maker import Made
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.keys import insert_version, set_state
from vmm_keystore.store.store import Store

_logger = logging.getLogger(__name__)


def add_version(change: Change, key: KeyRow, version: int, made: Made) -> None:
    """Make *version* the active and current one; the one before only processes from then on.

    Raises:
        StateError: there is such a version already.
    """
    if key.versions[-1].version + 1 != version:
        raise StateError(f"key '{key.label}' was rotated meanwhile", "look at it and try again")
    old_state = rotated_state(key.state)
    if old_state != key.state:
        set_state(change.connection, key, key.current_version, old_state, now_s())
    insert_version(
        change.connection,
        key.row_id,
        version,
        state=KeyState.ACTIVE,
        sealed=made.sealed.sealed,
        public_der=made.sealed.public_der,
        now_s=now_s(),
        token=made.token,
    )


def scrub(store: Store) -> None:
    """Leave nothing of what was destroyed in the write-ahead log."""
    try:
        store.scrub()
    except StoreError as error:
        # The blob is gone from the database; only the log still has it, until it is overwritten.
        _logger.warning("the write-ahead log was not scrubbed yet: %s", error.message)
