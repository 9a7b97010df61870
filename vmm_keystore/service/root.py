# SPDX-License-Identifier: Apache-2.0
"""The root of trust: what opens the KEK, and exchanging both while everything goes on.

A change makes another KEK, seals every key anew under it in one transaction, and puts its file in place. Killed at any
moment it is either not made, or finished by whoever starts next.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmm_keystore._vks import lib
from vmm_keystore.errors import InvalidRequestError, RootOfTrustError, StoreError
from vmm_keystore.policy.hsm import HsmToken
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.service.changes import Actor, Change, Changes
from vmm_keystore.service.key_values import ImportOffer, SealedBlob, WrappedKek, WrappedSecret
from vmm_keystore.service.ports import KeyCustodian
from vmm_keystore.service.sealing import Sealing
from vmm_keystore.store.audit_key import SealedAuditKey
from vmm_keystore.store.sealed import (
    SealedVersion,
    reseal_audit_keys,
    reseal_versions,
    root_file_name,
    set_root_file_name,
)
from vmm_keystore.store.store import Store

_logger = logging.getLogger(__name__)


class KekFile(Protocol):
    """The KEK file and the ones that may follow it, by name; durable when a method returns."""

    path: Path

    def successor(self) -> AbstractContextManager[tuple[str, int]]:
        """Make an empty file; its name and a descriptor."""

    def finish(self, name: str) -> None:
        """Put the successor of that name in place, unless it is."""

    def remove_successors(self, but: str = "") -> None:
        """Remove successors that nothing was sealed under."""


@dataclass(frozen=True, slots=True)
class RootView:
    """What opens the KEK; *kind* is None while the file could not be read, *kek_id* is empty while it is not open.

    *token* is the PKCS#11 token that opened it, where one did.
    """

    kind: RootKind | None
    is_open: bool
    file: Path
    kek_id: bytes = b""
    token: HsmToken | None = None


class Root:
    """Shows, opens and changes it."""

    def __init__(
        self, store: Store, custodian: KeyCustodian, changes: Changes, sealing: Sealing, file: KekFile
    ) -> None:
        self._store = store
        self._custodian = custodian
        self._changes = changes
        self._sealing = sealing
        self._file = file

    def recover(self) -> None:
        """Remove what changes left that an earlier daemon did not live to commit; its commits were finished before."""
        with self._store.read() as connection:
            self._file.remove_successors(root_file_name(connection))

    def show(self) -> RootView:
        """Say what opens the KEK, and whether it is open."""
        status = self._custodian.status()
        return RootView(status.root_kind, status.root_open, self._file.path, status.kek_id, status.token)

    def offer(self) -> ImportOffer:
        """Make a one-time key to wrap a passphrase to."""
        return self._custodian.offer_import()

    def unlock(self, actor: Actor, secret: WrappedSecret) -> RootView:
        """Open the root of trust with a passphrase.

        Raises:
            SecretRefusedError: it is open, or this does not open it.
        """
        with self._changes.begin(actor, "unlock-root"):
            self._custodian.unlock(secret)
        return self.show()

    def change(self, actor: Actor, kind: RootKind, secret: WrappedSecret | None) -> tuple[RootView, int]:
        """Exchange the KEK and what opens it; every key is sealed anew.

        Args:
            actor: who asks.
            kind: of the new root of trust.
            secret: the passphrase, for that kind and no other.

        Returns:
            The root of trust as it is now, and how many key versions were sealed anew.

        Raises:
            RootLockedError: the vault is locked; nothing was changed, as after the next two.
            SecretRefusedError: the secret is missing or no good.
            RootOfTrustError: the new file cannot be written.
        """
        if (secret is not None) != (kind is RootKind.PASSPHRASE):
            raise InvalidRequestError(f"a passphrase comes with kind passphrase, not with kind {kind.value}")
        with self._sealing.new_kek():
            try:
                with self._file.successor() as (name, fd):
                    # Argon2id takes a while; other changes go on meanwhile.
                    with self._changes.attempt(actor, "change-root", root=kind.value):
                        self._custodian.begin_root_change(fd, kind, secret)
                    with self._changes.begin(actor, "change-root", root=kind.value) as change:
                        count = self._reseal(change, name)
            except OSError as error:
                raise RootOfTrustError(f"cannot write a kek file: {(error.strerror or str(error)).lower()}") from error
            finally:
                self.recover()
        return self.show(), count

    def export_recovery(self, actor: Actor, offer: ImportOffer) -> WrappedKek:
        """Give the KEK to vks-recovery, which makes shares of it; nobody else can read it.

        Raises:
            RootLockedError: the vault is locked.
            SecretRefusedError: *offer* is no public key.
        """
        with self._changes.begin(actor, "export-recovery") as change:
            wrapped = self._custodian.export_kek(offer)
            change.note(kek=wrapped.kek_id.hex())
        return wrapped

    def _reseal(self, change: Change, name: str) -> int:
        count = reseal_versions(change.connection, self._reseal_versions)
        reseal_audit_keys(change.connection, self._reseal_audit_key)
        set_root_file_name(change.connection, name)
        change.note(resealed=count)
        change.afterwards(lambda: self._switch(name))
        return count

    def _switch(self, name: str) -> None:
        """Whatever becomes of the file: from the commit on nothing opens under the last KEK."""
        failed: OSError | None = None
        try:
            self._file.finish(name)
        except OSError as error:
            failed = error
        self._custodian.switch_root()
        try:
            self._store.scrub()
        except StoreError as error:
            _logger.warning("the write-ahead log still has keys sealed under the last kek: %s", error.message)
        if failed is not None:
            raise RootOfTrustError(
                f"the new kek file is not in place yet: {(failed.strerror or str(failed)).lower()}",
                f"it is {self._file.path}.{name}; keystored puts it in place when it starts again",
            )

    def _reseal_versions(self, versions: Sequence[SealedVersion]) -> list[bytes]:
        return self._custodian.reseal([SealedBlob(*version) for version in versions])

    def _reseal_audit_key(self, key: SealedAuditKey) -> bytes:
        return self._custodian.reseal([SealedBlob(bytes(16), 1, lib.VKS_TYPE_AUDIT_KEY, key.sealed)])[0]
