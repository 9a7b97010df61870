# SPDX-License-Identifier: Apache-2.0
"""Keys that are a guest's own: ``GuestOrders``. Each order is carried out once, whoever dies meanwhile.

What it came to is stored with the change itself; asked for again, it is that. What is refused changes nothing and is
not stored: it may be decided otherwise when it is asked for again, which nobody but the guest sees.
"""

import logging
import os
import re
import uuid

import sqlalchemy as sa

from vmm_keystore.errors import (
    CustodianError,
    KeystoreError,
    NotFoundError,
    StateError,
    StoreError,
    UnsupportedError,
)
from vmm_keystore.policy.decision import PolicyRequest, decide
from vmm_keystore.policy.lifecycle import own_versions_left
from vmm_keystore.policy.mechanisms import own_permission
from vmm_keystore.policy.vocabulary import (
    KEY_NAME_BYTES_MAX,
    NAME_PATTERN,
    OWN_TYPES,
    OWNER_MARK,
    KeyState,
    Op,
    Status,
)
from vmm_keystore.service.changes import Actor, Change, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.guest_keys import KeyLabels
from vmm_keystore.service.guest_values import Order, Ordered
from vmm_keystore.service.key_maker import Made
from vmm_keystore.service.key_versions import add_version, scrub
from vmm_keystore.service.ports import KeyCustodian
from vmm_keystore.service.sealing import Sealing
from vmm_keystore.store.grants import Holder, insert_grant, permitted_keys
from vmm_keystore.store.guests import GuestRow, get_guest
from vmm_keystore.store.key_rows import KeyRow
from vmm_keystore.store.keys import find_key, insert_first_version
from vmm_keystore.store.own_keys import (
    OrderRow,
    find_order,
    find_own_key,
    forget_key,
    note_order,
    own_key,
)
from vmm_keystore.store.store import Store

_STATUS: tuple[tuple[type[KeystoreError], Status], ...] = (
    (NotFoundError, Status.NO_KEY),
    (StateError, Status.KEY_STATE),
    (UnsupportedError, Status.UNSUPPORTED),
    (CustodianError, Status.UNAVAILABLE),
    (StoreError, Status.UNAVAILABLE),
)
"""What the guest is told of an error."""

_logger = logging.getLogger(__name__)


class _RefusedError(Exception):
    """What the guest is told, where no administrator could be told the same."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self.status = status


class OwnKeys:
    """Making, renewing and destroying them."""

    def __init__(
        self, store: Store, custodian: KeyCustodian, changes: Changes, sealing: Sealing, labels: KeyLabels
    ) -> None:
        self._store = store
        self._custodian = custodian
        self._changes = changes
        self._sealing = sealing
        self._labels = labels

    def carry_out(self, guest: str, order: Order) -> Ordered:
        """See ``GuestOrders``."""
        try:
            found = self._first_result(guest, order)
            if found is None:
                self._carry_out(guest, order)
                found = self._first_result(guest, order)
        except _RefusedError as refusal:
            return Ordered(refusal.status)
        except KeystoreError as error:
            return self._failed(guest, order, error)
        return found or Ordered(Status.INTERNAL)

    def _carry_out(self, guest: str, order: Order) -> None:
        actor = Actor(os.geteuid(), os.getpid(), guest=guest, guest_uid=order.uid)
        if order.op is Op.GENERATE:
            with self._sealing.new_key():
                self._generate(actor, guest, order)
        elif order.op is Op.ROTATE:
            with self._sealing.new_key():
                self._rotate(actor, guest, order)
        else:
            self._destroy(actor, guest, order)

    def _first_result(self, guest: str, order: Order) -> Ordered | None:
        with self._store.read() as connection:
            done = find_order(connection, guest, order.sequence)
        if done is None:
            return None
        return Ordered(Status.OK, done.key_id, done.version)

    def _failed(self, guest: str, order: Order, error: KeystoreError) -> Ordered:
        """It may have been stored all the same: then it has been carried out, and what failed is on its way."""
        _logger.warning("guest %s: %s of request %d: %s", guest, order.op.text, order.sequence, error.message)
        try:
            found = self._first_result(guest, order)
        except StoreError:
            found = None
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), Status.INTERNAL)
        return found or Ordered(status)

    def _generate(self, actor: Actor, guest: str, order: Order) -> None:
        label = _label(guest, order.label)
        if order.key_type is None or order.key_type not in OWN_TYPES:
            raise _RefusedError(Status.UNSUPPORTED)
        with self._store.read() as connection:
            _check_room(get_guest(connection, guest))
            _check_name(connection, guest, order.label, label)
        key_id = uuid.uuid4().bytes
        sealed = self._custodian.generate(key_id, 1, order.key_type)
        detail = {"key": label, "key_id": key_id.hex(), "type": order.key_type.text, "state": KeyState.ACTIVE.text}
        with self._changes.begin(actor, "key-generate", **detail) as change:
            owner = get_guest(change.connection, guest)
            _check_room(owner)
            _check_name(change.connection, guest, order.label, label)
            row = insert_first_version(
                change.connection,
                key_id,
                label,
                order.key_type,
                state=KeyState.ACTIVE,
                sealed=sealed.sealed,
                public_der=sealed.public_der,
                now_s=now_s(),
            )
            own_key(change.connection, row, owner.row_id)
            holder = Holder(guest, (guest,), (owner.row_id,))
            insert_grant(change.connection, holder, row, own_permission(order.key_type), now_s())
            self._labels.add(key_id, label)
            change.affects(guest)
            _settle(change, guest, order, key_id, 1)

    def _rotate(self, actor: Actor, guest: str, order: Order) -> None:
        with self._store.read() as connection:
            key = _own_key(connection, guest, order)
        _check_rotation(key)
        version = key.versions[-1].version + 1
        sealed = self._custodian.generate(key.key_id, version, key.key_type)
        with self._changes.begin(actor, "key-rotate", key=key.label, version=version) as change:
            key = _own_key(change.connection, guest, order)
            _check_rotation(key)
            add_version(change, key, version, Made(sealed))
            change.affects(*key.guests)
            _settle(change, guest, order, key.key_id, version)

    def _destroy(self, actor: Actor, guest: str, order: Order) -> None:
        with self._store.read() as connection:
            self._check_destruction(_own_key(connection, guest, order))
        with self._changes.begin(actor, "key-destroy", key_id=order.key_id.hex()) as change:
            key = _own_key(change.connection, guest, order)
            change.note(key=key.label)
            self._check_destruction(key)
            forget_key(change.connection, key)
            self._labels.forget(key.key_id)
            change.affects(*key.guests)
            _settle(change, guest, order, key.key_id, 0)
            change.afterwards(lambda: scrub(self._store))

    def _check_destruction(self, key: KeyRow) -> None:
        """What takes several administrators is not for a guest, and what one of them set aside is left as it is."""
        if key.guarded_s is not None or self._changes.rules.every_destruction:
            raise _RefusedError(Status.DENIED)
        for version in key.versions:
            if version.state == KeyState.SUSPENDED or version.destroy_at_s is not None:
                raise _RefusedError(Status.KEY_STATE)


def _settle(change: Change, guest: str, order: Order, key_id: bytes, version: int) -> None:
    """Store what the order came to, with the change itself."""
    row = get_guest(change.connection, guest).row_id
    note_order(change.connection, row, OrderRow(order.sequence, key_id, version))
    change.note(request=order.sequence)


def _label(guest: str, name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise _RefusedError(Status.MALFORMED)
    label = f"{guest}{OWNER_MARK}{name}"
    if len(label) > KEY_NAME_BYTES_MAX:
        raise _RefusedError(Status.INPUT_SIZE)
    return label


def _check_room(guest: GuestRow) -> None:
    if guest.own_keys_max == 0:
        raise _RefusedError(Status.DENIED)
    if guest.own_key_count >= guest.own_keys_max:
        raise _RefusedError(Status.LIMIT)


def _check_name(connection: sa.Connection, guest: str, name: str, label: str) -> None:
    """Whatever this guest sees under that name; what others have is none of its business."""
    seen = {key.label for key in permitted_keys(connection, guest)}
    if name in seen or find_key(connection, label) is not None:
        raise _RefusedError(Status.EXISTS)


def _own_key(connection: sa.Connection, guest: str, order: Order) -> KeyRow:
    """Decided as the worker decides, which does not where it asks again, and may have fallen."""
    held = permitted_keys(connection, guest)
    current = next((key for key in held if key.key_id == order.key_id and key.current), None)
    status = decide(current, PolicyRequest(order.op, 0, order.uid, 0, now_s()))
    if status is not Status.OK:
        raise _RefusedError(status)
    key = find_own_key(connection, guest, order.key_id)
    if key is None:
        raise _RefusedError(Status.NO_KEY)
    return key


def _check_rotation(key: KeyRow) -> None:
    if own_versions_left([version.state for version in key.versions]) <= 0:
        raise _RefusedError(Status.LIMIT)
