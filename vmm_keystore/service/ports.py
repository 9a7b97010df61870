# SPDX-License-Identifier: Apache-2.0
"""Where the service meets the processes that hold keys: the ports it calls, and what it offers to them.

This file knows call signatures only; no process, no socket. What is handed over: ``key_values``, ``guest_values``.

How the parts meet::

    service ── KeyCustodian ──► vks-custodian          generate, import; sealed blobs come back
    service ── GuestWorkers ──► one vks-worker a guest  add, remove, apply, drain
    workers ── GuestKeys ─────► store                   what a guest may use now, sealed blobs with fresh nonce leases
    workers ── AuditSink ─────► audit files             records, durable on return
    workers ── GuestOrders ───► service                 what a guest asks for of keys of its own
    service ── EventHandler ──► operators' handlers     one event at a time

Rules:

* Every method blocks, may be called from any thread, and raises only errors of ``vmm_keystore.errors``.
* The service calls GuestWorkers one change at a time, after the change is committed. ``GuestKeys`` takes no lock of the
  service, so a worker may be replaced while a change waits for it.
* ``apply`` reads the guest's keys through ``GuestKeys`` after it was called: what it publishes is never older than the
  change it was called for. Publications to one worker are in the order of their reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from vmm_keystore.policy.certificate_names import CertificateNames
from vmm_keystore.policy.event import Event, EventKind
from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.policy.hsm import TokenStatus
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.policy.vocabulary import KeyType
from vmm_keystore.service.guest_values import Applied, Guest, Latency, Order, Ordered, WorkerStatus
from vmm_keystore.service.key_values import (
    CustodianStatus,
    ImportOffer,
    KeyLoad,
    SealedBlob,
    SealedKey,
    TokenPair,
    Validity,
    WrappedKek,
    WrappedKey,
    WrappedSecret,
    WrappingOffer,
)

BUDGETS_MAX = 1024
"""Grants of one guest that bound operations: so many counters there are beside its ring."""


class TokenKeys(Protocol):
    """The token that keys may lie in."""

    def status(self) -> TokenStatus:
        """Say how it is; never waits."""

    def generate(self, key_type: KeyType, label: str) -> TokenPair:
        """Make a key pair that never leaves the token.

        Raises:
            SecretRefusedError: it is not there, or refuses.
            CustodianError: nobody could ask it.
        """

    def find(self, label: str, object_id: bytes) -> TokenPair:
        """Find a key pair by its id, or where that is empty by its label; raises as :meth:`generate`."""


class KeyCustodian(Protocol):
    """The process with the KEK."""

    def status(self) -> CustodianStatus:
        """Ask how it is; raises CustodianError when it does not answer."""

    def generate(self, key_id: bytes, version: int, key_type: KeyType) -> SealedKey:
        """Make a key and seal it to (*key_id*, *version*, *key_type*).

        Raises:
            UnsupportedError: the host's libcrypto has no keys of this type.
        """

    def enroll(self, key_id: bytes, version: int, key_type: KeyType, public_der: bytes) -> SealedKey:
        """Seal the public half of a key pair that lies in a token.

        Raises:
            SecretRefusedError: it is no public key of this type.
        """

    def offer_import(self) -> ImportOffer:
        """Make a one-time key to wrap an import to."""

    def import_key(self, offer_id: bytes, key_id: bytes, version: int, wrapped: bytes) -> SealedKey:
        """Unwrap an import and seal it.

        Raises:
            ImportRefusedError: unknown or used offer, damaged wrap, not a key, or a key of no supported type.
        """

    def offer_wrapping(self) -> WrappingOffer:
        """Make a one-time RSA key, which lives for a day."""

    def import_wrapped(self, key_id: bytes, version: int, key: WrappedKey) -> SealedKey:
        """Unwrap a key and seal it; whatever becomes of it, the offer is used.

        Raises:
            ImportRefusedError: unknown or used offer, damaged wrap, or not a key of this type.
        """

    def certify(self, key: SealedBlob, names: CertificateNames, validity: Validity | None) -> bytes:
        """Make a self-signed certificate with *key*, or a certification request where it has no *validity*; as DER.

        Raises:
            InvalidRequestError: the names are more than a certificate of ours has.
            CustodianError: it could not be made.
        """

    def unlock(self, secret: WrappedSecret) -> None:
        """Open the root of trust with a passphrase.

        Raises:
            SecretRefusedError: it is open, or this does not open it.
        """

    def begin_root_change(self, fd: int, kind: RootKind, secret: WrappedSecret | None) -> None:
        """Make another KEK and write it, durably, into the empty file *fd*; the one in force stays in force.

        Raises:
            SecretRefusedError: the secret that this kind takes is missing or no good.
        """

    def reseal(self, blobs: Sequence[SealedBlob]) -> list[bytes]:
        """Seal *blobs* under the KEK of the change that has begun, in their order."""

    def export_kek(self, offer: ImportOffer) -> WrappedKek:
        """Wrap the KEK to a one-time key of vks-recovery.

        Raises:
            RootLockedError: none is open.
            SecretRefusedError: *offer* is no public key.
        """

    def switch_root(self) -> None:
        """Have the KEK of that change in force; never fails, since that change is stored."""


class GuestWorkers(Protocol):
    """The workers of all guests and the sockets their front-ends connect to."""

    def add_guest(self, guest: Guest) -> None:
        """Listen on the guest's socket and start its worker; called before the guest is committed to the store.

        Raises:
            WorkerError: path taken or not writable, or no worker could be started; then nothing of it remains.
        """

    def remove_guest(self, name: str) -> None:
        """Disconnect the front-end, end the worker, remove the socket. Its audit records are drained first."""

    def apply(self, guest: str) -> Applied:
        """Bring the guest's keys as committed into force; returns when no older operation can start any more."""

    def worker_status(self, guest: str) -> WorkerStatus:
        """Say how the guest's worker is; never blocks on the worker."""

    def operations_used(self, guest: str) -> Mapping[int, int]:
        """Operations that have begun under each budget of the guest's grants, by the budget's id; never waits."""

    def latencies(self) -> Iterable[tuple[str, Latency]]:
        """How long the requests of each guest took, since its state memory was made; never waits."""

    def drain_audit(self) -> None:
        """Move every record committed so far from the audit rings to the audit sink."""


class GuestKeys(Protocol):
    """What a worker needs to know about its guest; reads see what is committed."""

    def guests(self) -> Sequence[Guest]:
        """Every guest, to start their workers when the daemon starts."""

    def permitted_keys(self, guest: str) -> tuple[PermittedKey, ...]:
        """Key versions granted to *guest*, ordered by key id, then version; destroyed ones never.

        An unknown guest has none.
        """

    def lease_keys(self, guest: str, versions: Sequence[tuple[bytes, int]]) -> tuple[KeyLoad, ...]:
        """Sealed blobs of those of *versions* that are permitted, each with a nonce lease committed before the return.

        A version destroyed or revoked meanwhile is missing from the answer: read ``permitted_keys`` again before
        publishing.
        """

    def keys_by_last_use(self, guest: str, count: int) -> Mapping[bytes, int]:
        """Ranks of the *count* keys of *guest* that were used last, by key id; 0 is the latest."""

    def own_keys_max(self, guest: str) -> int:
        """How many keys of its own a guest may have."""

    def forget_orders(self, guest: str) -> None:
        """The guest's requests are numbered anew: none of them was carried out before."""

    def spent_budgets(self, guest: str) -> Mapping[int, int]:
        """Operations that count as used of each budget of the guest's grants, by the budget's id."""

    def lease_budgets(self, used: Mapping[int, int]) -> None:
        """Count at least so many operations as used; committed before the return.

        Raises:
            StoreError: none of it counts.
        """

    def settle_budgets(self, used: Mapping[int, int]) -> None:
        """Count exactly so many operations as used: fewer than were leased, once nobody can use the rest.

        Raises:
            StoreError: it stays as it was.
        """


class GuestOrders(Protocol):
    """Who carries out what guests order."""

    def carry_out(self, guest: str, order: Order) -> Ordered:
        """Make, renew or destroy a key that is the guest's own; in force in its worker when this returns.

        An order that was carried out already comes to what it came to then. Raises nothing: what fails is a status.
        """


class AuditSink(Protocol):
    """Where audit records go."""

    def append_records(self, guest: str, records: bytes) -> None:
        """Store whole ``struct vks_audit_record``; durable when it returns.

        Records already stored by an earlier call that crashed before it could take them are left out.

        Raises:
            AuditWriteError: nothing of *records* counts as stored; leave them in the ring and try again.
        """


class DeliveryError(Exception):
    """A handler did not take an event; the text says why, and may come from anywhere."""


class DeliveryStoppedError(Exception):
    """keystored is stopping: whether the handler took it nobody knows."""


class EventHandler(Protocol):
    """What an operator has for events: a program, or a server."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def way(self) -> str:
        """``exec`` or ``webhook``."""

    @property
    def target(self) -> str:
        """What may be shown of where it is: nothing that lets anybody in there."""

    @property
    def kinds(self) -> frozenset[EventKind]:
        """What it is to get."""

    @property
    def attempts_max(self) -> int:
        """After how many attempts an event is given up."""

    @property
    def first_wait_s(self) -> float:
        """How long to wait after the first attempt."""

    def deliver(self, event: Event, stop_fd: int) -> None:
        """Hand the event over, within a time of its own; breaks off when *stop_fd* is readable.

        Raises:
            DeliveryError: it was not taken.
            DeliveryStoppedError: it was broken off.
        """
