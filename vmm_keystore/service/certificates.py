# SPDX-License-Identifier: Apache-2.0
"""The verbs for certificates: requests and self-signed ones made by the custodian, and chains made elsewhere.

A chain belongs to a version: a rotation makes another public key, which needs a certificate of its own.
"""

from dataclasses import dataclass
from hashlib import sha256

import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import Encoding

from vmm_keystore.errors import InvalidRequestError, NotFoundError, StateError
from vmm_keystore.policy.certificate_chain import CertificateFacts, Chain, check_chain, read_chain
from vmm_keystore.policy.certificate_names import CertificateNames, WantedNames
from vmm_keystore.policy.lifecycle import effective_state, state_allows
from vmm_keystore.policy.moment import moment_text
from vmm_keystore.policy.vocabulary import KeyState, Op
from vmm_keystore.service.certified import checked_certificate, checked_request
from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.key_names import named_key
from vmm_keystore.service.key_values import SealedBlob, Validity
from vmm_keystore.service.ports import KeyCustodian
from vmm_keystore.store.certificates import drop_chain, find_chain, list_ends, put_chain
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.keys import get_key, public_der, sealed_blob
from vmm_keystore.store.store import Store

DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Signed:
    """What was made with a version of a key, as PEM; *sha256* is of its DER."""

    label: str
    version: int
    subject: str
    alternatives: tuple[str, ...]
    sha256: str
    pem: str


@dataclass(frozen=True, slots=True)
class Attached:
    """The chain of a version."""

    label: str
    version: int
    chain: Chain


class Certificates:
    """Making, attaching and showing them."""

    def __init__(self, store: Store, custodian: KeyCustodian, changes: Changes) -> None:
        self._store = store
        self._custodian = custodian
        self._changes = changes

    def request(self, actor: Actor, label: str, version: int | None, wanted: WantedNames) -> Signed:
        """Make a certification request (PKCS#10), signed with the key.

        Raises:
            NotFoundError: no such key or version.
            InvalidRequestError: a key of this type does not sign, or a name cannot be had.
            StateError: this version may not.
            CustodianError: it could not be made.
        """
        with self._changes.begin(actor, "key-csr", key=label) as change:
            names = wanted.read()
            key, number = _signing(named_key(change, label), version)
            der = self._custodian.certify(_blob(change.connection, key, number), names, None)
            pem = checked_request(der, names, public_der(change.connection, key, number))
            made = _signed(key, number, names, der, pem)
            change.note(**_noted(made))
        return made

    def self_sign(
        self, actor: Actor, label: str, version: int | None, wanted: WantedNames, *, days: int, is_ca: bool
    ) -> Signed:
        """Make a certificate whose issuer is its subject, good from now on; raises as :meth:`request` does."""
        with self._changes.begin(actor, "key-self-sign", key=label, days=days, ca=is_ca) as change:
            names = wanted.read()
            if not names.subject:
                raise InvalidRequestError("a self-signed certificate needs a subject: it is its issuer as well")
            key, number = _signing(named_key(change, label), version)
            begin_s = now_s()
            # The last second counts (RFC 5280, 4.1.2.5).
            validity = Validity(begin_s, begin_s + days * DAY_S - 1, is_ca)
            der = self._custodian.certify(_blob(change.connection, key, number), names, validity)
            public = public_der(change.connection, key, number)
            certificate = checked_certificate(der, names, public, is_ca=is_ca)
            made = _signed(key, number, names, der, certificate.public_bytes(Encoding.PEM).decode())
            change.note(**_noted(made), not_after=certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return made

    def attach(self, actor: Actor, label: str, version: int | None, pem: str) -> Attached:
        """Attach a chain to a version, the current one by default, in place of one that it has.

        Raises:
            NotFoundError: no such key or version.
            InvalidRequestError: it is no chain, or not one for this key.
            StateError: the version is destroyed.
        """
        with self._changes.begin(actor, "key-certificate-set", key=label) as change:
            key, number = _version(named_key(change, label), version)
            if not key.key_type.has_public:
                raise InvalidRequestError(
                    f"key '{key.label}' is symmetric ({key.key_type.text}): it has no certificate"
                )
            if key.version(number).state == KeyState.DESTROYED:
                raise StateError(f"key '{key.label}' version {number} is destroyed")
            chain = read_chain(pem)
            check_chain(chain, public_der(change.connection, key, number), now_s())
            put_chain(change.connection, key.row_id, number, chain)
            facts = chain.facts
            not_after = moment_text(facts.not_after_s)
            change.note(version=number, subject=facts.subject, sha256=facts.sha256, not_after=not_after)
        return Attached(key.label, number, chain)

    def show(self, label: str, version: int | None) -> Attached:
        """The chain of a version.

        Raises:
            NotFoundError: no such key or version, or it has none.
        """
        with self._store.read() as connection:
            key, number = _version(get_key(connection, label), version)
            chain = find_chain(connection, key.row_id, number)
        if chain is None:
            raise _none(key.label, number)
        return Attached(key.label, number, chain)

    def remove(self, actor: Actor, label: str, version: int | None) -> CertificateFacts:
        """Take a version's chain away; say which it was.

        Raises:
            NotFoundError: no such key or version, or it has none.
        """
        with self._changes.begin(actor, "key-certificate-remove", key=label) as change:
            key, number = _version(named_key(change, label), version)
            chain = find_chain(change.connection, key.row_id, number)
            if chain is None:
                raise _none(key.label, number)
            drop_chain(change.connection, key.row_id, number)
            change.note(version=number, subject=chain.facts.subject, sha256=chain.facts.sha256)
        return chain.facts

    def ends(self) -> list[tuple[str, int, int]]:
        """Label, version and UNIX time at which its certificate ends, of versions that sign."""
        with self._store.read() as connection:
            return list_ends(connection)


def _version(key: KeyRow, version: int | None) -> tuple[KeyRow, int]:
    return key, key.version(key.current_version if version is None else version).version


def _signing(key: KeyRow, version: int | None) -> tuple[KeyRow, int]:
    """The key and the version, which may sign now."""
    key, number = _version(key, version)
    if key.key_type.signs and not key.key_type.certifies:
        raise InvalidRequestError(
            f"no certificates are made with keys of type {key.key_type.text}", "key public gives the public key"
        )
    if not key.key_type.signs:
        kind = "for key agreement" if key.key_type.has_public else "symmetric"
        raise InvalidRequestError(f"key '{key.label}' is {kind} ({key.key_type.text}): it does not sign")
    if key.in_token:
        raise InvalidRequestError(
            f"key '{key.label}' lies in a token, which signs for guests only",
            "have the request made in a guest that may sign with it, or by the token's own tools; "
            f"vmm-keystore key certificate set {key.label} CHAIN.pem attaches what comes of it",
        )
    found = key.version(number)
    planned = found.destroy_at_s is not None
    state = effective_state(found.state, set_aside=planned or number < key.min_process_version)
    if not state_allows(state, Op.SIGN):
        why = "its destruction is planned" if planned and found.state == KeyState.ACTIVE else f"it is {state.text}"
        raise StateError(f"key '{key.label}' version {number} does not sign: {why}", "only an active version does")
    return key, number


def _blob(connection: sa.Connection, key: KeyRow, number: int) -> SealedBlob:
    return SealedBlob(key.key_id, number, int(key.key_type), sealed_blob(connection, key, number))


def _signed(key: KeyRow, number: int, names: CertificateNames, der: bytes, pem: str) -> Signed:
    digest = sha256(der).hexdigest()
    return Signed(key.label, number, names.subject_text, tuple(names.alternative_texts), digest, pem)


def _noted(made: Signed) -> dict[str, object]:
    return {
        "version": made.version,
        "subject": made.subject,
        "alternatives": list(made.alternatives),
        "sha256": made.sha256,
    }


def _none(label: str, number: int) -> NotFoundError:
    return NotFoundError(
        f"key '{label}' version {number} has no certificate", f"vmm-keystore key certificate set {label} CHAIN.pem"
    )
