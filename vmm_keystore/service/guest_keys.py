# SPDX-License-Identifier: Apache-2.0
"""What the workers read: the store seen through the ports ``GuestKeys``, and labels for the audit log."""

from collections import deque
from collections.abc import Mapping, Sequence

from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.service.guest_values import Guest
from vmm_keystore.service.key_values import KeyLoad
from vmm_keystore.store.budgets import spend_budgets, spent_budgets
from vmm_keystore.store.grants import SealedVersion, permitted_keys, sealed_versions
from vmm_keystore.store.guests import list_guests, own_keys_max
from vmm_keystore.store.key_uses import last_used
from vmm_keystore.store.keys import key_labels, take_nonce_lease
from vmm_keystore.store.own_keys import forget_orders, has_orders
from vmm_keystore.store.store import Store

FORGOTTEN_MAX = 1000
"""Labels of keys that are gone."""


class StoreGuestKeys:
    """``GuestKeys`` over the store; takes no lock but the store's own, and that only to spend leases."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def guests(self) -> Sequence[Guest]:
        """See ``GuestKeys``."""
        with self._store.read() as connection:
            return [Guest(row.name, row.socket, row.owner_uid) for row in list_guests(connection)]

    def permitted_keys(self, guest: str) -> tuple[PermittedKey, ...]:
        """See ``GuestKeys``."""
        with self._store.read() as connection:
            return permitted_keys(connection, guest)

    def lease_keys(self, guest: str, versions: Sequence[tuple[bytes, int]]) -> tuple[KeyLoad, ...]:
        """See ``GuestKeys``."""
        wanted = frozenset(versions)
        with self._store.read() as connection:
            found = sealed_versions(connection, guest, wanted)
        if not any(version.key_type.makes_nonces for version in found):
            return tuple(_load(version, 0) for version in found)
        with self._store.write() as connection:
            return tuple(
                _load(
                    version,
                    take_nonce_lease(connection, version.version_row) if version.key_type.makes_nonces else 0,
                )
                for version in sealed_versions(connection, guest, wanted)
            )

    def keys_by_last_use(self, guest: str, count: int) -> Mapping[bytes, int]:
        """See ``GuestKeys``."""
        with self._store.read() as connection:
            return {key_id: rank for rank, key_id in enumerate(last_used(connection, guest, count))}

    def own_keys_max(self, guest: str) -> int:
        """See ``GuestKeys``."""
        with self._store.read() as connection:
            return own_keys_max(connection, guest)

    def forget_orders(self, guest: str) -> None:
        """See ``GuestKeys``."""
        with self._store.read() as connection:
            if not has_orders(connection, guest):
                return
        with self._store.write() as connection:
            forget_orders(connection, guest)

    def spent_budgets(self, guest: str) -> Mapping[int, int]:
        """See ``GuestKeys``."""
        with self._store.read() as connection:
            return spent_budgets(connection, guest)

    def lease_budgets(self, used: Mapping[int, int]) -> None:
        """See ``GuestKeys``."""
        self._spend(used, only_more=True)

    def settle_budgets(self, used: Mapping[int, int]) -> None:
        """See ``GuestKeys``."""
        self._spend(used, only_more=False)

    def _spend(self, used: Mapping[int, int], *, only_more: bool) -> None:
        if used:
            with self._store.write() as connection:
                spend_budgets(connection, used, only_more=only_more)


class KeyLabels:
    """Labels by key id for the audit log; labels never change, so none is read twice."""

    def __init__(self, store: Store) -> None:
        with store.read() as connection:
            self._labels = key_labels(connection)
        self._forgotten: deque[bytes] = deque()

    def add(self, key_id: bytes, label: str) -> None:
        """Learn a new key before any guest can use it."""
        self._labels[key_id] = label

    def forget(self, key_id: bytes) -> None:
        """A key is gone; for a while its label is still known, for records of it that are on their way."""
        self._forgotten.append(key_id)
        if len(self._forgotten) > FORGOTTEN_MAX:
            self._labels.pop(self._forgotten.popleft(), None)

    def find(self, key_id: bytes) -> str | None:
        """Return the label, None for an id that is no key of ours."""
        return self._labels.get(key_id)


def _load(version: SealedVersion, lease: int) -> KeyLoad:
    return KeyLoad(version.key_id, version.version, version.key_type, lease, version.sealed, in_token=version.in_token)
