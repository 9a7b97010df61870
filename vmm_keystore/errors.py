# SPDX-License-Identifier: Apache-2.0
"""Every error the host's Python raises on purpose: one tree, one message line, one hint line.

::

    KeystoreError
    ├── RequestError               what was asked cannot be done; nothing was changed
    │   ├── InvalidRequestError    form, range or combination
    │   ├── NotFoundError          no such guest, key, version or grant
    │   ├── AlreadyExistsError     name, label or socket is taken
    │   ├── StateError             the key's state does not allow it
    │   ├── UnsupportedError       this host's libraries do not have it
    │   ├── ImportRefusedError     the custodian did not take the imported key
    │   ├── SecretRefusedError     the custodian did not take the passphrase or credential
    │   │   └── PinRefusedError    a token did not take its PIN, which cost one of a few tries
    │   ├── NotAllowedError        this peer may not ask for it
    │   ├── ApprovalNeededError    it takes the approval of several administrators
    │   └── TooLargeError          the request is larger than any that makes sense
    ├── StoreError                 the database could not do it; nothing was changed
    │   ├── StoreDamagedError      not a database, or failing its checks
    │   ├── StoreNewerError        written by a newer version
    │   ├── StoreFullError         no space left
    │   ├── StoreReadOnlyError     file or file system is read-only
    │   ├── StoreAccessError       missing rights on file or folder
    │   ├── StoreBusyError         another process holds it
    │   └── NonceLeasesUsedUpError a key version can make no further nonces
    ├── AuditError
    │   ├── AuditWriteError        a line could not be made durable
    │   ├── AuditDamagedError      a segment is not what was written
    │   └── AuditNoteError         no checkpoint, or not signed by the log's key
    ├── CustodianError             vks-custodian failed, died or does not answer
    │   └── RootOfTrustError       the KEK could not be opened
    │       └── RootLockedError    it takes a passphrase that nobody has given
    ├── WorkerError                a worker, its socket or its zygote failed
    └── DaemonError                keystored cannot be reached, or cannot start

``code`` is the word API and CLI give to programs; it never changes. Which HTTP status a code becomes is the control
API's business (``control/errors.py``), which exit code the CLI's. Messages are lowercase, name the cause, and never
carry key bytes.
"""

from typing import ClassVar


class KeystoreError(Exception):
    """An error with a cause in one line and, where something can be done about it, a hint in another."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.on_record = False
        """The audit log tells of it already."""


class RequestError(KeystoreError):
    """What was asked cannot be done; nothing was changed."""

    code = "refused"


class InvalidRequestError(RequestError):
    """A value has the wrong form, is out of range or does not go with another."""

    code = "invalid-request"


class NotFoundError(RequestError):
    """No such guest, key, version or grant."""

    code = "not-found"


class AlreadyExistsError(RequestError):
    """The name, label or socket is taken."""

    code = "already-exists"


class StateError(RequestError):
    """The key's life cycle has no such move, or its state does not allow what was asked."""

    code = "key-state"


class UnsupportedError(RequestError):
    """It takes a library that is newer than this host's."""

    code = "unsupported"


class ImportRefusedError(RequestError):
    """The custodian did not take the imported key."""

    code = "import-refused"


class SecretRefusedError(RequestError):
    """What was given opens no root of trust, or may not be what opens one."""

    code = "secret-refused"


class PinRefusedError(SecretRefusedError):
    """A token did not take the PIN: it gives a few tries, so nothing may try the same one again by itself."""

    code = "pin-refused"


class NotAllowedError(RequestError):
    """The peer may not use the control API."""

    code = "not-allowed"


class ApprovalNeededError(RequestError):
    """It takes the approval of several administrators."""

    code = "approval-needed"


class TooLargeError(RequestError):
    """The request is larger than any that makes sense."""

    code = "too-large"


class StoreError(KeystoreError):
    """The database could not do it; nothing was changed."""

    code = "store-failed"


class StoreDamagedError(StoreError):
    """The file is not a database of ours, or fails its checks."""

    code = "store-damaged"


class StoreNewerError(StoreError):
    """The store was written by a newer version."""

    code = "store-newer"


class StoreFullError(StoreError):
    """No space is left for the database."""

    code = "store-full"


class StoreReadOnlyError(StoreError):
    """The database or its file system is read-only."""

    code = "store-read-only"


class StoreAccessError(StoreError):
    """Rights on the database or its folder are missing or too wide."""

    code = "store-access"


class StoreBusyError(StoreError):
    """Another process holds the database."""

    code = "store-busy"


class NonceLeasesUsedUpError(StoreError):
    """All 2^32 nonce leases of a key version are spent."""

    code = "nonce-leases-used-up"


class BackupError(KeystoreError):
    """A backup cannot be made, or what was given is none that can be used; nothing was changed."""

    code = "backup"


class AuditError(KeystoreError):
    """The audit log failed."""

    code = "audit-failed"


class AuditWriteError(AuditError):
    """A line could not be made durable."""

    code = "audit-write-failed"


class AuditDamagedError(AuditError):
    """A segment is not what was written."""

    code = "audit-damaged"


class AuditNoteError(AuditError):
    """This is no checkpoint of the log: no signed note, another log's, or a signature that does not hold."""

    code = "audit-note"


class CustodianError(KeystoreError):
    """The custodian failed, died or does not answer."""

    code = "custodian-failed"


class RootOfTrustError(CustodianError):
    """The key encryption key could not be opened."""

    code = "root-of-trust"


class RootLockedError(RootOfTrustError):
    """The root of trust takes a passphrase that nobody has given since the custodian was started."""

    code = "locked"

    def __init__(self) -> None:
        super().__init__("the vault is locked: it takes a passphrase to open its keys", "vmm-keystore root unlock")


class WorkerError(KeystoreError):
    """A worker, its socket or the zygote failed."""

    code = "worker-failed"


class DaemonError(KeystoreError):
    """The daemon cannot be reached, or cannot start."""

    code = "daemon"
