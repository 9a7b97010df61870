# SPDX-License-Identifier: Apache-2.0
"""Budgets in Python and the compiled ones agree, and hold what they promise."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmm_keystore._vks import ffi, lib
from vmm_keystore.policy.budget import SECOND_NS, Usage, charge
from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.vocabulary import Status

RATES = st.one_of(st.integers(1, 5), st.integers(1, lib.VKS_SNAPSHOT_RATE_MAX))
permissions = st.builds(
    Permission,
    op_mask=st.just(1),
    mechanism_mask=st.just(1),
    ops_max=st.one_of(st.just(0), st.integers(1, 8), st.integers(1, 2**53)),
    ops_a_second=st.one_of(st.just(0), RATES),
)
PAUSES = st.one_of(st.just(0), st.integers(0, 1000), st.integers(0, 3 * SECOND_NS))


def compiled_charge(permission: Permission, usage: Usage, now_ns: int) -> tuple[Status, Usage]:
    """Ask the C data plane."""
    key = ffi.new("struct vks_snapshot_key *", {"ops_max": permission.ops_max, "ops_a_second": permission.ops_a_second})
    c_usage: Any = ffi.new(
        "struct vks_policy_usage *", {"used": usage.used, "next_ns": usage.next_ns, "now_ns": now_ns}
    )
    status = Status(lib.vks_policy_charge(key, c_usage))
    return status, Usage(c_usage.used, c_usage.next_ns)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(permissions, st.integers(0, 2**60), st.lists(PAUSES, max_size=40), st.integers(0, 10))
def test_reference_and_compiled_budget_agree(
    permission: Permission, start_ns: int, pauses: list[int], used: int
) -> None:
    """Over any row of operations both sides allow and refuse the same ones, and count the same."""
    now_ns, usage = start_ns, Usage(used)
    for pause_ns in pauses:
        now_ns += pause_ns
        status, after = charge(permission, usage, now_ns)
        assert (status, after) == compiled_charge(permission, usage, now_ns)
        assert (status is Status.OK) == (after != usage)
        usage = after


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 50), st.lists(st.integers(0, SECOND_NS // 20), min_size=1, max_size=300))
def test_no_second_has_more_than_twice_the_rate(rate: int, pauses: list[int]) -> None:
    """A second's worth may come at once, and the rate besides; over longer times only the rate counts."""
    permission = Permission(1, 1, ops_a_second=rate)
    usage, now_ns, allowed = Usage(), 0, []
    for pause_ns in pauses:
        now_ns += pause_ns
        status, usage = charge(permission, usage, now_ns)
        if status is Status.OK:
            allowed.append(now_ns)
    assert len(allowed) <= rate + rate * now_ns // SECOND_NS + 1
    for index, first_ns in enumerate(allowed):
        assert sum(first_ns <= at_ns < first_ns + SECOND_NS for at_ns in allowed[index:]) <= 2 * rate


def test_rest_gives_a_second_back_and_no_more() -> None:
    """Who waits an hour may do what makes up a second, not an hour."""
    permission = Permission(1, 1, ops_a_second=3)
    usage = Usage()
    for now_ns in (0, 3600 * SECOND_NS):
        statuses = []
        for _ in range(5):
            status, usage = charge(permission, usage, now_ns)
            statuses.append(status)
        assert statuses == [Status.OK] * 3 + [Status.LIMIT] * 2


@pytest.mark.parametrize("ops_max", [1, 5])
def test_in_all(ops_max: int) -> None:
    """Exactly so many, whenever."""
    permission, usage, count = Permission(1, 1, ops_max=ops_max), Usage(), 0
    for hour in range(2 * ops_max):
        status, usage = charge(permission, usage, hour * 3600 * SECOND_NS)
        count += status is Status.OK
    assert count == usage.used == ops_max
