# SPDX-License-Identifier: Apache-2.0
"""The decision in Python and the compiled one agree on everything a guest or an operator can come up with."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.decision import PolicyRequest, decide
from vmm_keystore.policy.grant import Permission, PermittedKey
from vmm_keystore.policy.mechanisms import TYPE_MECHANISMS, mechanism_ops
from vmm_keystore.policy.vocabulary import OWNER_OPS, KeyState, KeyType, Mechanism, Op, Status, mask

TIMES = st.one_of(st.just(0), st.integers(999, 1001), st.integers(0, 2**63))
UIDS = st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1))
SIZES = st.one_of(st.just(0), st.integers(15, 17), st.integers(0, 2**32 - 1))

# Half of them allow everything: any one bound of the others denies most requests.
UNBOUNDED = Permission(op_mask=mask(Op), mechanism_mask=mask(Mechanism))
permissions = st.just(UNBOUNDED) | st.builds(
    Permission,
    op_mask=st.one_of(st.just(mask(Op)), st.integers(0, 2**64 - 1)),
    mechanism_mask=st.one_of(st.just(mask(Mechanism)), st.integers(0, 2**64 - 1)),
    not_before_s=TIMES,
    not_after_s=TIMES,
    input_bytes_max=SIZES,
    uids=st.one_of(st.just(()), st.lists(UIDS, max_size=8).map(tuple)),
)
keys = st.builds(
    PermittedKey,
    key_id=st.just(bytes(range(16))),
    version=st.just(1),
    key_type=st.sampled_from(KeyType),
    state=st.sampled_from(KeyState),
    current=st.booleans(),
    permission=permissions,
    label=st.just("key"),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[PermittedKey | None, PolicyRequest]:
    """Draw a key and a request that often fits it: random pairs alone would nearly always be unsupported."""
    key = None if draw(st.integers(0, 9)) == 9 else draw(keys)
    if key is not None and draw(st.booleans()):
        mechanism: int = draw(st.sampled_from(TYPE_MECHANISMS[key.key_type]))
        op: int = draw(st.sampled_from((*mechanism_ops(Mechanism(mechanism)), *sorted(OWNER_OPS))))
    else:
        op = draw(st.one_of(st.integers(0, lib.VKS_OP_COUNT + 1), st.integers(0, 2**32 - 1)))
        mechanism = draw(st.one_of(st.integers(0, lib.VKS_MECHANISM_COUNT + 1), st.integers(0, 2**32 - 1)))
    request = PolicyRequest(
        op=op,
        mechanism=mechanism,
        uid=draw(st.one_of(st.none(), UIDS)),
        input_bytes=draw(SIZES),
        now_s=draw(st.one_of(st.integers(999, 1001), st.integers(0, 2**64 - 1))),
    )
    return key, request


def compiled_decision(key: PermittedKey | None, request: PolicyRequest) -> Status:
    """Ask the C data plane's table."""
    c_request = ffi.new(
        "struct vks_policy_request *",
        {
            "op": request.op,
            "mechanism": request.mechanism,
            "flags": 0 if request.uid is None else lib.VKS_REQUEST_F_UID,
            "uid": request.uid or 0,
            "input_bytes": request.input_bytes,
            "now_s": request.now_s,
        },
    )
    if key is None:
        return Status(lib.vks_policy_decide(ffi.NULL, c_request))
    c_key = ffi.new(
        "struct vks_snapshot_key *",
        {
            "key_id": key.key_id,
            "version": key.version,
            "type": key.key_type,
            "state": key.state,
            "current": key.current,
            "op_mask": key.permission.op_mask,
            "mechanism_mask": key.permission.mechanism_mask,
            "not_before_s": key.permission.not_before_s,
            "not_after_s": key.permission.not_after_s,
            "input_bytes_max": key.permission.input_bytes_max,
            "uid_count": len(key.permission.uids),
            "uids": list(key.permission.uids),
        },
    )
    return Status(lib.vks_policy_decide(c_key, c_request))


@settings(max_examples=2000, deadline=None)
@given(cases())
def test_reference_and_compiled_decision_agree(case: tuple[PermittedKey | None, PolicyRequest]) -> None:
    """For any grant, key and request both sides give the same status."""
    key, request = case
    assert decide(key, request) == compiled_decision(key, request)


def test_cases_reach_every_status() -> None:
    """The property is worth something: every answer a decision can give comes up."""
    seen: Counter[Status] = Counter()
    owned: set[tuple[int, Status]] = set()

    @settings(max_examples=600, deadline=None, database=None, derandomize=True)
    @given(cases())
    def collect(case: tuple[PermittedKey | None, PolicyRequest]) -> None:
        status = decide(*case)
        seen[status] += 1
        owned.add((case[1].op, status))

    collect()
    assert owned >= {(op, status) for op in OWNER_OPS for status in (Status.OK, Status.DENIED, Status.KEY_STATE)}
    assert set(seen) == {Status.OK, Status.NO_KEY, Status.UNSUPPORTED, Status.DENIED, Status.KEY_STATE}
