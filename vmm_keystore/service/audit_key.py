# SPDX-License-Identifier: Apache-2.0
"""The key that signs the audit log's checkpoints: made once a store, used by the custodian alone."""

from typing import Protocol

from vmm_keystore.audit.line import START, Link
from vmm_keystore.audit.note import AuditPublicKey, checkpoint_text
from vmm_keystore.errors import AuditNoteError, CustodianError
from vmm_keystore.store.audit_key import (
    drop_retired_audit_key,
    find_audit_key,
    find_retired_audit_key,
    insert_audit_key,
)
from vmm_keystore.store.store import Store


class CheckpointCustodian(Protocol):
    """What the custodian does for the audit log; raises CustodianError."""

    def make_audit_key(self) -> tuple[bytes, bytes]:
        """Make a key: its public part, 32 bytes, and a sealed blob."""

    def sign_checkpoint(self, sealed: bytes, text: bytes) -> bytes:
        """Sign the text of a checkpoint with the key in *sealed*; anything else is refused.

        Raises:
            RootOfTrustError: it was sealed under another KEK.
        """


def check_kek(store: Store, custodian: CheckpointCustodian) -> None:
    """Refuse a KEK under which a restored store's keys are not sealed, where there is something that tells.

    The signature, of an empty log under a key that is out of use, goes nowhere.

    Raises:
        RootOfTrustError: they are not.
    """
    with store.read() as connection:
        retired = find_retired_audit_key(connection)
    if retired is None:
        return
    public, sealed = retired
    custodian.sign_checkpoint(sealed, checkpoint_text(AuditPublicKey(public).origin, START).encode())


class AuditKey:
    """The key of one log, ``audit.keeper.CheckpointSigner``.

    Raises:
        CustodianError: there is no key yet and none could be made.
        RootOfTrustError: the store was restored, and its keys are sealed under another KEK.
        StoreError: it could not be read or kept.
    """

    def __init__(self, store: Store, custodian: CheckpointCustodian) -> None:
        self._store = store
        self._custodian = custodian
        with store.read() as connection:
            found = find_audit_key(connection)
        if found is None:
            # Nothing may be sealed under a KEK that does not open what is there.
            check_kek(store, custodian)
            found = custodian.make_audit_key()
            with store.write() as connection:
                drop_retired_audit_key(connection)
                insert_audit_key(connection, *found)
        self.public = AuditPublicKey(found[0])

    def sign(self, head: Link) -> str:
        """Sign *head*; the note is checked before anybody relies on it."""
        text = checkpoint_text(self.public.origin, head)
        with self._store.read() as connection:
            found = find_audit_key(connection)  # it may have been sealed anew
        if found is None:
            raise CustodianError("the audit key is gone from the store")
        note = self.public.signed_note(text, self._custodian.sign_checkpoint(found[1], text.encode()))
        try:
            self.public.open_note(note)
        except AuditNoteError as error:
            raise CustodianError("the custodian's signature on a checkpoint does not hold") from error
        return note

    def open_note(self, note: str) -> Link:
        """Read the head of a note of ours; raises AuditNoteError."""
        return self.public.open_note(note)
