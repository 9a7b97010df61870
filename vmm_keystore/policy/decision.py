# SPDX-License-Identifier: Apache-2.0
"""The decision: may this request use this key version now, and why. ``cext/shared/policy.c`` must agree with it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from vmm_keystore.policy.budget import Usage, charge
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.lifecycle import state_allows
from vmm_keystore.policy.mechanisms import TYPE_MECHANISMS, mechanism_ops
from vmm_keystore.policy.vocabulary import MARKS, OWNER_OPS, RELEASING_OPS, Mechanism, Op, Status, Word


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


@dataclass(frozen=True, slots=True)
class Check:
    """One of the things that must hold; *status* is the answer where this is the first that does not."""

    rule: str
    holds: bool
    status: Status
    detail: str


def decide(key: PermittedKey | None, request: PolicyRequest) -> Status:
    """Decide one request.

    Args:
        key: the version asked for as this guest may use it; None where there is none, or it is not this guest's.
        request: what is asked, already checked for form.

    Returns:
        OK, NO_KEY, UNSUPPORTED, DENIED or KEY_STATE; where several apply the first in this order.
    """
    return verdict(checks(key, request))


def verdict(made: Iterable[Check]) -> Status:
    """The answer that checks in their order amount to."""
    return next((check.status for check in made if not check.holds), Status.OK)


def checks(key: PermittedKey | None, request: PolicyRequest, usage: Usage | None = None) -> Iterator[Check]:
    """Give every check in the order in which they count; none behind one that makes the others meaningless.

    The last ones are those of the grant's budget, where *usage* says what it has seen; its rate is left to the moment.
    """
    if key is None:
        yield Check("grant", holds=False, status=Status.NO_KEY, detail="the guest has no such key")
        return
    yield Check("grant", holds=True, status=Status.NO_KEY, detail=f"key {key.label}, version {key.version}")
    op = Op.find(request.op)
    if op is None or op in MARKS:
        no_op = f"there is no operation {request.op}" if op is None else f"{op.text} is not asked for by itself"
        yield Check("key type", holds=False, status=Status.UNSUPPORTED, detail=no_op)
        return
    supported = _type_supports(key, op, request.mechanism)
    detail = f"a key of type {key.key_type.text} {'does' if supported else 'does not'} {op.text}"
    if has_mechanism(op):
        detail += f" by {_word(Mechanism, request.mechanism)}"
    yield Check("key type", holds=supported, status=Status.UNSUPPORTED, detail=detail)
    if not supported:
        return
    yield from _grant_checks(key.permission, op, request)
    detail = f"version {key.version} is {key.state.text}"
    yield Check("key state", holds=state_allows(key.state, op), status=Status.KEY_STATE, detail=detail)
    if usage is not None and has_mechanism(op):
        yield from _budget_checks(key.permission, usage)


def has_mechanism(op: Op) -> bool:
    """Whether a mechanism does it: not so for the public key, and for what an owner does."""
    return op != Op.PUBLIC and op not in OWNER_OPS


def _type_supports(key: PermittedKey, op: Op, number: int) -> bool:
    if op == Op.PUBLIC:
        return key.key_type.has_public
    if op in OWNER_OPS:
        return True
    mechanism = Mechanism.find(number)
    return mechanism is not None and mechanism in TYPE_MECHANISMS[key.key_type] and op in mechanism_ops(mechanism)


def _grant_checks(permission: Permission, op: Op, request: PolicyRequest) -> Iterator[Check]:
    def check(rule: str, detail: str, *, holds: bool) -> Check:
        return Check(rule, holds=holds, status=Status.DENIED, detail=detail)

    if op in OWNER_OPS:
        owned = bool(permission.op_mask >> op & 1)
        yield check("owner", f"the key is {'' if owned else 'not '}the guest's own", holds=owned)
    # The public key of a granted key is no secret to its holder: it needs no operation of its own.
    if has_mechanism(op):
        named = f"the grant names {_words(Op, permission.op_mask)}"
        yield check("operation", named, holds=bool(permission.op_mask >> op & 1))
        named = f"the grant names {_words(Mechanism, permission.mechanism_mask)}"
        yield check("mechanism", named, holds=bool(permission.mechanism_mask >> request.mechanism & 1))
    if op in RELEASING_OPS:
        released = bool(permission.op_mask >> Op.RELEASE & 1)
        says = (
            "the secret may leave the vault" if released else "the grant does not name it: no secret leaves the vault"
        )
        yield check("release", says, holds=released)
    if permission.not_before_s:
        holds = request.now_s >= permission.not_before_s
        yield check("not before", _moment(permission.not_before_s), holds=holds)
    if permission.not_after_s:
        yield check("not after", _moment(permission.not_after_s), holds=request.now_s <= permission.not_after_s)
    if permission.uids:
        asked = "the request has none" if request.uid is None else f"the request has {request.uid}"
        named = f"{', '.join(map(str, permission.uids))}; {asked}"
        yield check("user", named, holds=request.uid in permission.uids)
    if permission.input_bytes_max:
        bound = f"at most {permission.input_bytes_max} bytes; the request has {request.input_bytes}"
        yield check("size", bound, holds=request.input_bytes <= permission.input_bytes_max)


def _budget_checks(permission: Permission, usage: Usage) -> Iterator[Check]:
    if permission.ops_max:
        status, _after = charge(replace(permission, ops_a_second=0), usage, 0)
        detail = f"{usage.used} of {permission.ops_max} operations are used"
        yield Check("budget", holds=status is Status.OK, status=Status.LIMIT, detail=detail)
    if permission.ops_a_second:
        detail = f"{permission.ops_a_second} operations a second, as long as it keeps to that"
        yield Check("rate", holds=True, status=Status.LIMIT, detail=detail)


def _words(kind: type[Word], bits: int) -> str:
    return ", ".join(member.text for member in kind if bits >> member & 1) or "none"


def _word(kind: type[Word], number: int) -> str:
    member = kind.find(number)
    return member.text if member is not None else f"number {number}"


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"second {seconds}"
