# SPDX-License-Identifier: Apache-2.0
"""The verbs for keys. Key material comes from the custodian sealed and is only carried to the store."""

import uuid
from base64 import b64encode
from collections.abc import Mapping
from textwrap import wrap

import sqlalchemy as sa

from vmm_keystore.errors import AlreadyExistsError, InvalidRequestError, StateError
from vmm_keystore.policy.hsm import TokenObject
from vmm_keystore.policy.lifecycle import check_move, rotated_state
from vmm_keystore.policy.moment import moment_text
from vmm_keystore.policy.tags import check_count
from vmm_keystore.policy.vocabulary import KeyState, KeyType
from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.guest_keys import KeyLabels
from vmm_keystore.service.guest_values import Applied
from vmm_keystore.service.key_maker import KeyMaker, Made, ObjectName
from vmm_keystore.service.key_names import check_free, named_key
from vmm_keystore.service.key_values import ImportOffer, WrappedKey, WrappingOffer
from vmm_keystore.service.key_versions import add_version, scrub
from vmm_keystore.service.ports import KeyCustodian, TokenKeys
from vmm_keystore.service.sealing import Sealing
from vmm_keystore.store.key_list import KeyFilter, list_keys
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.key_tags import set_tags
from vmm_keystore.store.key_uses import find_standing
from vmm_keystore.store.keys import (
    count_keys,
    find_token_object,
    get_key,
    insert_first_version,
    key_types,
    public_der,
    set_state,
)
from vmm_keystore.store.lost_leases import lost_leases
from vmm_keystore.store.store import Store

_MOVES = {
    KeyState.ACTIVE: "key-activate",
    KeyState.SUSPENDED: "key-suspend",
    KeyState.DEACTIVATED: "key-deactivate",
    KeyState.COMPROMISED: "key-compromise",
    KeyState.DESTROYED: "key-destroy",
}


class Keys:
    """Making, changing and showing keys."""

    def __init__(
        self,
        store: Store,
        custodian: KeyCustodian,
        changes: Changes,
        sealing: Sealing,
        labels: KeyLabels,
        *,
        token: TokenKeys | None = None,
    ) -> None:
        self._store = store
        self._maker = KeyMaker(custodian, token)
        self._custodian = custodian
        self._changes = changes
        self._sealing = sealing
        self._labels = labels

    def generate(
        self,
        actor: Actor,
        label: str,
        key_type: KeyType,
        *,
        activate: bool,
        tags: Mapping[str, str] | None = None,
        in_token: bool = False,
    ) -> KeyRow:
        """Make a key in the custodian, or a key pair *in_token*.

        Raises:
            AlreadyExistsError: the label is taken.
            InvalidRequestError: it would have too many tags.
            CustodianError: it could not be made.
            SecretRefusedError: the token could not make it.
        """
        with self._sealing.new_key(), self._changes.attempt(actor, "key-generate", key=label, type=key_type.text):
            self._check_new(label, tags or {})
            key_id = uuid.uuid4().bytes
            made = self._maker.make(key_id, 1, key_type, label if in_token else None)
            return self._insert(actor, "key-generate", label, key_id, made, activate=activate, tags=tags or {})

    def adopt(
        self,
        actor: Actor,
        label: str,
        found_by: ObjectName,
        *,
        activate: bool,
        tags: Mapping[str, str] | None = None,
    ) -> KeyRow:
        """Take in a key pair that lies in the token already.

        Raises:
            AlreadyExistsError: the label is taken, or another key is this pair.
            SecretRefusedError: the token has no such pair, or it is none for us.
        """
        with self._sealing.new_key(), self._changes.attempt(actor, "key-adopt", key=label):
            self._check_new(label, tags or {})
            key_id = uuid.uuid4().bytes
            made = self._maker.adopt(key_id, found_by)
            return self._insert(actor, "key-adopt", label, key_id, made, activate=activate, tags=tags or {})

    def offer_import(self) -> ImportOffer:
        """Get a one-time public key to wrap an import to."""
        return self._custodian.offer_import()

    def import_key(
        self,
        actor: Actor,
        label: str,
        offer_id: bytes,
        wrapped: bytes,
        key_type: KeyType | None,
        *,
        activate: bool,
        tags: Mapping[str, str] | None = None,
    ) -> KeyRow:
        """Take a key that was wrapped to an offer.

        Args:
            actor: who asks.
            label: of the new key.
            offer_id: of the offer it was wrapped to; each is good for one import.
            wrapped: what vks-import gave.
            key_type: what it must be; None: whatever it is.
            activate: make it active at once.
            tags: that it shall have.

        Raises:
            AlreadyExistsError: the label is taken.
            ImportRefusedError: the custodian could not take it.
            InvalidRequestError: it is a key of another type, or would have too many tags.
        """
        with self._sealing.new_key(), self._changes.attempt(actor, "key-import", key=label):
            self._check_new(label, tags or {})
            key_id = uuid.uuid4().bytes
            sealed = self._custodian.import_key(offer_id, key_id, 1, wrapped)
            if key_type is not None and sealed.key_type != key_type:
                raise InvalidRequestError(
                    f"the key is of type {sealed.key_type.text}, not {key_type.text}",
                    "leave out --type to take it as it is",
                )
            return self._insert(actor, "key-import", label, key_id, Made(sealed), activate=activate, tags=tags or {})

    def offer_wrapping(self) -> WrappingOffer:
        """Get a one-time RSA public key for whoever has a key elsewhere."""
        return self._custodian.offer_wrapping()

    def import_wrapped(
        self, actor: Actor, label: str, wrapped: WrappedKey, *, activate: bool, tags: Mapping[str, str] | None = None
    ) -> KeyRow:
        """Take a key that was wrapped to such an offer.

        Raises:
            AlreadyExistsError: the label is taken; the offer is not used then.
            ImportRefusedError: the custodian could not take it.
        """
        with self._sealing.new_key(), self._changes.attempt(actor, "key-import", key=label):
            self._check_new(label, tags or {})
            key_id = uuid.uuid4().bytes
            sealed = self._custodian.import_wrapped(key_id, 1, wrapped)
            return self._insert(actor, "key-import", label, key_id, Made(sealed), activate=activate, tags=tags or {})

    def rotate(self, actor: Actor, name: str) -> tuple[KeyRow, tuple[Applied, ...]]:
        """Make a new active version current; the one before only processes from now on."""
        with self._sealing.new_key():
            return self._rotate(actor, name)

    def _rotate(self, actor: Actor, name: str) -> tuple[KeyRow, tuple[Applied, ...]]:
        with self._changes.attempt(actor, "key-rotate", key=name) as refused:
            before = self.show(name)
            label = refused["key"] = before.label
            rotated_state(before.state)
            _check_not_planned(before, before.current_version)
            version = before.versions[-1].version + 1
            made = self._maker.make(before.key_id, version, before.key_type, label if before.in_token else None)
        alias = {} if label == name else {"alias": name}
        with self._changes.begin(actor, "key-rotate", key=label, version=version, **alias) as change:
            key = get_key(change.connection, label)
            add_version(change, key, version, made)
            change.note(**made.noted)
            change.affects(*key.guests)
        return self.show(label), change.applied

    def move(self, actor: Actor, name: str, state: KeyState, version: int | None) -> tuple[KeyRow, tuple[Applied, ...]]:
        """Move a version along its life cycle.

        Args:
            actor: who asks.
            name: of the key.
            state: to move to.
            version: which; None: every version for DESTROYED, the current one for the others.

        Raises:
            NotFoundError: no such key or version.
            StateError: the life cycle has no such move.
            ApprovalNeededError: one administrator alone may not destroy it.
        """
        with self._changes.begin(actor, _MOVES[state], key=name) as change:
            key = named_key(change, name)
            numbers = _versions_to_move(key, state, version)
            change.note(**({"version": numbers[0]} if len(numbers) == 1 else {"versions": numbers}))
            if state == KeyState.DESTROYED:
                change.guard_destruction(key)
            for number in numbers:
                _move_version(change.connection, key, number, state)
            change.affects(*key.guests)
            if state == KeyState.DESTROYED:
                change.afterwards(lambda: scrub(self._store))
        return self.show(key.label), change.applied

    def show(self, name: str) -> KeyRow:
        """Return one key."""
        with self._store.read() as connection:
            return get_key(connection, name)

    def list(self, only: KeyFilter = KeyFilter()) -> tuple[KeyRow, ...]:  # noqa: B008 - frozen
        """Every key that *only* names, by label.

        Raises:
            InvalidRequestError: it is not known which keys were used since then.
        """
        with self._store.read() as connection:
            if only.unused_since_s is not None:
                _check_counted(connection, only.unused_since_s)
            return list_keys(connection, only)

    def types(self) -> dict[str, KeyType]:
        """Types of all keys by label."""
        with self._store.read() as connection:
            return key_types(connection)

    def count(self) -> int:
        """How many keys there are, destroyed ones too."""
        with self._store.read() as connection:
            return count_keys(connection)

    def public_pem(self, name: str, version: int | None) -> str:
        """Return the SubjectPublicKeyInfo of a version, the current one by default, as PEM (RFC 7468).

        Raises:
            InvalidRequestError: a symmetric key has none.
            StateError: it was destroyed.
        """
        with self._store.read() as connection:
            key = get_key(connection, name)
            number = key.current_version if version is None else version
            state = key.version(number).state
            der = public_der(connection, key, number)
        if not key.key_type.has_public:
            raise InvalidRequestError(f"key '{key.label}' is symmetric ({key.key_type.text}): it has no public key")
        if state == KeyState.DESTROYED:
            raise StateError(f"key '{key.label}' version {number} is destroyed")
        return public_pem(der)

    def _check_new(self, label: str, tags: Mapping[str, str]) -> None:
        check_count(label, len(tags))
        with self._store.read() as connection:
            check_free(connection, label)

    def _insert(
        self,
        actor: Actor,
        action: str,
        label: str,
        key_id: bytes,
        made: Made,
        *,
        activate: bool,
        tags: Mapping[str, str],
    ) -> KeyRow:
        sealed = made.sealed
        state = KeyState.ACTIVE if activate else KeyState.PRE_ACTIVATION
        detail = {"key": label, "key_id": key_id.hex(), "type": sealed.key_type.text, "state": state.text, **made.noted}
        with self._changes.begin(actor, action, **detail, **({"tags": dict(tags)} if tags else {})) as change:
            check_free(change.connection, label)
            if made.token is not None:
                _check_not_adopted(change.connection, made.token)
            insert_first_version(
                change.connection,
                key_id,
                label,
                sealed.key_type,
                state=state,
                sealed=sealed.sealed,
                public_der=sealed.public_der,
                now_s=now_s(),
                token=made.token,
            )
            set_tags(change.connection, label, tags)
            self._labels.add(key_id, label)
        return self.show(label)


def public_pem(der: bytes) -> str:
    """A SubjectPublicKeyInfo as PEM (RFC 7468)."""
    lines = "\n".join(wrap(b64encode(der).decode(), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"


def _check_not_adopted(connection: sa.Connection, token: TokenObject) -> None:
    """A key pair under two labels would have two life cycles."""
    label = find_token_object(connection, token)
    if label is not None:
        raise AlreadyExistsError(
            f"this key pair of the token is key '{label}' already",
            f"vmm-keystore key alias gives '{label}' another name",
        )


def _check_counted(connection: sa.Connection, since_s: int) -> None:
    standing = find_standing(connection)
    if standing is None or standing.since_s > since_s:
        since = moment_text(standing.since_s) if standing else "soon"
        raise InvalidRequestError(
            f"uses of keys are known from {since} on, not before",
            "ask for a time after that, or look into the audit log",
        )


def _versions_to_move(key: KeyRow, state: KeyState, version: int | None) -> list[int]:
    if version is not None:
        return [version]
    if state != KeyState.DESTROYED:
        return [key.current_version]
    return remaining_versions(key)


def remaining_versions(key: KeyRow) -> list[int]:
    """Versions that are not destroyed.

    Raises:
        StateError: all are.
    """
    remaining = [version.version for version in key.versions if version.state != KeyState.DESTROYED]
    if not remaining:
        raise StateError(f"key '{key.label}' is destroyed already")
    return remaining


def _check_not_planned(key: KeyRow, number: int) -> None:
    if key.version(number).destroy_at_s is not None:
        raise StateError(
            f"the destruction of key '{key.label}' version {number} is planned",
            f"vmm-keystore key destroy {key.label} --cancel takes it back",
        )


def _move_version(connection: sa.Connection, key: KeyRow, number: int, state: KeyState) -> None:
    try:
        check_move(key.version(number).state, state)
    except StateError as error:
        raise StateError(f"key '{key.label}' version {number}: {error.message}", error.hint) from error
    if state not in {KeyState.DESTROYED, KeyState.COMPROMISED}:
        _check_not_planned(key, number)
    if state == KeyState.ACTIVE and (key.key_id, number) in lost_leases(connection):
        raise StateError(
            f"key '{key.label}' version {number} came from a backup, which does not know the nonces used after it",
            "key deactivate lets it decrypt, key rotate makes a version that encrypts",
        )
    set_state(connection, key, number, state, now_s())
