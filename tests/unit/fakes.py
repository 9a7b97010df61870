# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the processes behind the service's ports: they keep the ports' promises, in memory."""

import ipaddress
import itertools
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vmm_keystore.audit.keeper import AuditKeeper
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.audit.use_counts import UseCounts
from vmm_keystore.errors import CustodianError, ImportRefusedError, KeystoreError, SecretRefusedError, WorkerError
from vmm_keystore.policy.approval import ApprovalRules
from vmm_keystore.policy.certificate_names import AlternativeKind, CertificateNames
from vmm_keystore.policy.grant import PermittedKey
from vmm_keystore.policy.root_kind import RootKind
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.service.audit import Audit
from vmm_keystore.service.audit_key import AuditKey
from vmm_keystore.service.guest_keys import KeyLabels, StoreGuestKeys
from vmm_keystore.service.guest_values import Applied, ApplyOutcome, Guest, Latency, WorkerStatus
from vmm_keystore.service.key_values import (
    CustodianStatus,
    ImportOffer,
    KeyLoad,
    SealedBlob,
    SealedKey,
    Validity,
    WrappedKek,
    WrappedKey,
    WrappedSecret,
    WrappingOffer,
)
from vmm_keystore.service.keystore import Keystore
from vmm_keystore.service.ports import AuditSink, GuestKeys
from vmm_keystore.store.store import Store
from vmm_keystore.workers.root_file import RootFile


class FakeCustodian:
    """Seals nothing: its blobs only say what they belong to. Every key pair of its is one of Ed25519."""

    def __init__(self) -> None:
        self.broken = False
        self.offers: dict[bytes, bytes] = {}
        self.pairs: dict[tuple[bytes, int], Ed25519PrivateKey] = {}
        self._numbers = itertools.count(1)
        self._kind = self._next_kind = RootKind.FILE

    def status(self) -> CustodianStatus:
        """Answer unless broken."""
        self._check()
        return CustodianStatus(4711, "memfd-secret", root_open=True, root_kind=self._kind, kek_id=b"kek-id-1")

    def enroll(self, key_id: bytes, version: int, key_type: KeyType, public_der: bytes) -> SealedKey:
        """Make a blob that names the key."""
        self._check()
        return SealedKey(key_type, b"public of " + key_id + bytes([version]), public_der)

    def generate(self, key_id: bytes, version: int, key_type: KeyType) -> SealedKey:
        """Make a blob that names its key."""
        self._check()
        public = b""
        if key_type.has_public:
            pair = self.pairs[key_id, version] = Ed25519PrivateKey.generate()
            public = _spki(pair)
        return SealedKey(key_type, b"sealed:" + key_id + bytes([version]) * 64, public)

    def offer_import(self) -> ImportOffer:
        """Make an offer that is good once."""
        self._check()
        offer = ImportOffer(next(self._numbers).to_bytes(16), bytes(32))
        self.offers[offer.offer_id] = offer.public_key
        return offer

    def import_key(self, offer_id: bytes, key_id: bytes, version: int, wrapped: bytes) -> SealedKey:
        """Take bytes that are the word of a key type."""
        self._check()
        if self.offers.pop(offer_id, None) is None:
            raise ImportRefusedError("unknown or used offer", "import again")
        return self.generate(key_id, version, KeyType.from_text(wrapped.decode()))

    def offer_wrapping(self) -> WrappingOffer:
        """Make an offer that is good once; its key belongs to nobody."""
        self._check()
        offer = WrappingOffer(next(self._numbers).to_bytes(16), _spki(Ed25519PrivateKey.generate()))
        self.offers[offer.offer_id] = offer.public_der
        return offer

    def import_wrapped(self, key_id: bytes, version: int, key: WrappedKey) -> SealedKey:
        """Take any bytes."""
        self._check()
        if self.offers.pop(key.offer_id, None) is None:
            raise ImportRefusedError("unknown or used offer", "import again")
        return self.generate(key_id, version, key.key_type)

    def certify(self, key: SealedBlob, names: CertificateNames, validity: Validity | None) -> bytes:
        """Sign with a library that is not the custodian's."""
        self._check()
        pair = self.pairs[key.key_id, key.version]
        subject = x509.Name.from_rfc4514_string(names.subject_text)
        alternatives = x509.SubjectAlternativeName([_general_name(one.kind, one.text) for one in names.alternatives])
        if validity is None:
            request = x509.CertificateSigningRequestBuilder().subject_name(subject)
            request = request.add_extension(alternatives, critical=False) if names.alternatives else request
            return request.sign(pair, None).public_bytes(Encoding.DER)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(pair.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(validity.not_before_s, UTC))
            .not_valid_after(datetime.fromtimestamp(validity.not_after_s, UTC))
            .add_extension(x509.BasicConstraints(ca=validity.is_ca, path_length=None), critical=True)
        )
        certificate = certificate.add_extension(alternatives, critical=False) if names.alternatives else certificate
        return certificate.sign(pair, None).public_bytes(Encoding.DER)

    def make_audit_key(self) -> tuple[bytes, bytes]:
        """Make a key that is sealed by nothing."""
        self._check()
        key = Ed25519PrivateKey.generate()
        return key.public_key().public_bytes_raw(), b"sealed:" + key.private_bytes_raw()

    def sign_checkpoint(self, sealed: bytes, text: bytes) -> bytes:
        """Sign."""
        self._check()
        return Ed25519PrivateKey.from_private_bytes(sealed.removeprefix(b"sealed:")).sign(text)

    def unlock(self, secret: WrappedSecret) -> None:  # noqa: ARG002
        """It is never locked."""
        raise SecretRefusedError("the vault is not locked")

    def begin_root_change(self, fd: int, kind: RootKind, secret: WrappedSecret | None) -> None:  # noqa: ARG002
        """Write the kind, which is all there is of a KEK."""
        self._check()
        os.write(fd, kind.value.encode())
        self._next_kind = kind

    def reseal(self, blobs: Sequence[SealedBlob]) -> list[bytes]:
        """Nothing was sealed, so nothing changes."""
        self._check()
        return [blob.sealed for blob in blobs]

    def export_kek(self, offer: ImportOffer) -> WrappedKek:
        """What names the offer that it is for."""
        self._check()
        return WrappedKek(b"kek-id-1", offer.offer_id)

    def switch_root(self) -> None:
        """The kind of the last change."""
        self._kind = self._next_kind

    def _check(self) -> None:
        if self.broken:
            raise CustodianError("the custodian does not answer")


def _spki(pair: Ed25519PrivateKey) -> bytes:
    return pair.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _general_name(kind: AlternativeKind, text: str) -> x509.GeneralName:
    match kind:
        case AlternativeKind.DNS:
            return x509.DNSName(text)
        case AlternativeKind.IP:
            return x509.IPAddress(ipaddress.ip_address(text))
        case AlternativeKind.EMAIL:
            return x509.RFC822Name(text)
        case AlternativeKind.URI:
            return x509.UniformResourceIdentifier(text)


class FakeWorkers:
    """One imaginary worker a guest, with what it was told last."""

    def __init__(self, guest_keys: GuestKeys, audit: AuditSink) -> None:
        self.guest_keys = guest_keys
        self.audit = audit
        self.sockets: dict[str, Guest] = {}
        self.in_force: dict[str, tuple[PermittedKey, ...]] = {}
        self.loads: list[KeyLoad] = []
        self.rings: dict[str, bytes] = {}
        self.used: dict[str, dict[int, int]] = {}
        self.times: list[tuple[str, Latency]] = []
        self.refuse_add: KeystoreError | None = None
        self.refuse_apply: KeystoreError | None = None
        self.refuse_remove: KeystoreError | None = None
        self.outcome = ApplyOutcome.ACKNOWLEDGED
        self.hold = threading.Event()
        self.hold.set()
        self.entered = threading.Event()

    def add_guest(self, guest: Guest) -> None:
        """Listen."""
        if self.refuse_add is not None:
            raise self.refuse_add
        if guest.name in self.sockets:
            raise WorkerError("added twice")
        self.sockets[guest.name] = guest
        self.apply(guest.name)

    def remove_guest(self, name: str) -> None:
        """Forget it."""
        del self.sockets[name], self.in_force[name]
        if self.refuse_remove is not None:
            raise self.refuse_remove

    def apply(self, guest: str) -> Applied:
        """Load and publish what is committed, as a real pool does."""
        self.entered.set()
        assert self.hold.wait(10)
        if self.refuse_apply is not None:
            raise self.refuse_apply
        known = {(key.key_id, key.version) for key in self.in_force.get(guest, ())}
        permitted = self.guest_keys.permitted_keys(guest)
        new = [(key.key_id, key.version) for key in permitted if (key.key_id, key.version) not in known]
        self.loads += self.guest_keys.lease_keys(guest, new)
        self.in_force[guest] = self.guest_keys.permitted_keys(guest)
        return Applied(guest, self.outcome)

    def worker_status(self, guest: str) -> WorkerStatus:
        """Say what a healthy worker says."""
        alive = WorkerStatus(4712, "memfd-secret", len(self.loads), front_end_pid=None)
        return alive if guest in self.sockets else replace(alive, pid=None, problem="no worker")

    def operations_used(self, guest: str) -> dict[int, int]:
        """Say what the test set."""
        return self.used.get(guest, {})

    def latencies(self) -> list[tuple[str, Latency]]:
        """Say what the test set."""
        return self.times

    def drain_audit(self) -> None:
        """Move what the test put into the rings."""
        for guest, records in self.rings.items():
            self.audit.append_records(guest, records)
        self.rings.clear()


@dataclass
class FakeDaemon:
    """The service over a real store and a real log, with imaginary processes."""

    state_dir: Path
    rules: ApprovalRules = ApprovalRules()  # noqa: RUF009 - frozen
    store: Store = field(init=False)
    audit: AuditLog = field(init=False)
    custodian: FakeCustodian = field(init=False)
    workers: FakeWorkers = field(init=False)
    keeper: AuditKeeper = field(init=False)
    keystore: Keystore = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.state_dir / "keystore.db")
        labels = KeyLabels(self.store)
        self.audit = AuditLog(self.state_dir / "audit", labels.find)
        self.custodian = FakeCustodian()
        uses = UseCounts(self.audit, labels.find)
        self.workers = FakeWorkers(StoreGuestKeys(self.store), uses)
        for guest in self.workers.guest_keys.guests():
            self.workers.add_guest(guest)
        audit_key = AuditKey(self.store, self.custodian)
        self.keeper = AuditKeeper(self.audit, audit_key)
        audit = Audit(self.keeper, audit_key.public, self.workers)
        self.keystore = Keystore(
            *(self.store, self.custodian, self.workers, audit, labels),
            uses=uses,
            kek=RootFile(self.state_dir / "kek"),
            rules=self.rules,
        )
        self.keystore.recover()

    def close(self) -> None:
        """Stop; another may be opened over the same directory."""
        self.keystore.close()
        self.audit.close()
        self.store.close()

    def admin_lines(self) -> list[dict[str, Any]]:
        """Audit lines of admin changes."""
        return [line for line in self.keystore.audit.page(0, 1000)[0] if line["kind"] == "admin"]

    def states(self, guest: str = "vm1") -> list[tuple[int, KeyState, bool]]:
        """Version, state and whether it is the current one, of what is in force in *guest*."""
        return [(key.version, key.state, key.current) for key in self.workers.in_force[guest]]
