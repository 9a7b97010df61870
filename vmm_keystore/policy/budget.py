# SPDX-License-Identifier: Apache-2.0
"""What a grant allows over time: so many operations in all, and a second. ``vks_policy_charge`` must agree with it."""

from dataclasses import dataclass, replace

from vmm_keystore.policy.grant import Permission
from vmm_keystore.policy.vocabulary import Status

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What a budget has seen.

    *used* are operations; *next_ns* is when one more would be right on time at the grant's rate, on a clock that never
    goes back; 0: none came yet.
    """

    used: int = 0
    next_ns: int = 0


def charge(permission: Permission, usage: Usage, now_ns: int) -> tuple[Status, Usage]:
    """Charge one operation that the decision allows.

    The rate is the generic cell rate algorithm (ITU-T I.371, 4.4.1.2.1): operations are due one interval apart, and
    may come early by what makes up a second.

    Returns:
        OK and the usage with it, or LIMIT and the usage as it was.
    """
    if permission.ops_max and usage.used >= permission.ops_max:
        return Status.LIMIT, usage
    if permission.ops_a_second:
        interval_ns = -(-SECOND_NS // permission.ops_a_second)
        due_ns = max(usage.next_ns, now_ns)
        if due_ns - now_ns > interval_ns * (permission.ops_a_second - 1):
            return Status.LIMIT, usage
        usage = replace(usage, next_ns=due_ns + interval_ns)
    return Status.OK, replace(usage, used=usage.used + 1)
