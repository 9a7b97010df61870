# SPDX-License-Identifier: Apache-2.0
"""The decision: may this request use this key version now? The reference that ``cext/shared/policy.c`` must agree with."""

from dataclasses import dataclass

from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.lifecycle import state_allows
from vmm_keystore.policy.mechanisms import TYPE_MECHANISMS, mechanism_ops
from vmm_keystore.policy.vocabulary import Mechanism, Op, Status


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What a decision depends on.

    *op* and *mechanism* are numbers as asked, known or not; *uid* is None where the guest's kernel stamped none.
    """

    op: int
    mechanism: int
    uid: int | None
    input_bytes: int
    now_s: int


def decide(key: PermittedKey | None, request: PolicyRequest) -> Status:
    """Decide one request.

    Args:
        key: the version asked for as this guest may use it; None where there is none, or it is not this guest's.
        request: what is asked, already checked for form.

    Returns:
        OK, NO_KEY, UNSUPPORTED, DENIED or KEY_STATE; where several apply the first in this order.
    """
    if key is None:
        return Status.NO_KEY
    op = Op.find(request.op)
    if op is None or not _type_supports(key, op, request.mechanism):
        return Status.UNSUPPORTED
    if not (_grant_names(key.permission, op, request.mechanism) and _within_bounds(key.permission, request)):
        return Status.DENIED
    return Status.OK if state_allows(key.state, op) else Status.KEY_STATE


def _type_supports(key: PermittedKey, op: Op, number: int) -> bool:
    if op == Op.PUBLIC:
        return key.key_type.has_public
    mechanism = Mechanism.find(number)
    return mechanism is not None and mechanism in TYPE_MECHANISMS[key.key_type] and op in mechanism_ops(mechanism)


def _grant_names(permission: Permission, op: Op, mechanism: int) -> bool:
    # The public key of a granted key is no secret to its holder: it needs no operation of its own.
    return op == Op.PUBLIC or bool(permission.op_mask >> op & permission.mechanism_mask >> mechanism & 1)


def _within_bounds(permission: Permission, request: PolicyRequest) -> bool:
    if permission.not_before_s and request.now_s < permission.not_before_s:
        return False
    if permission.not_after_s and request.now_s > permission.not_after_s:
        return False
    if permission.uids and request.uid not in permission.uids:
        return False
    return not permission.input_bytes_max or request.input_bytes <= permission.input_bytes_max
