# SPDX-License-Identifier: Apache-2.0
"""What a change of a guarded key needs besides its own rights: that several administrators approved of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vmm_keystore.errors import ApprovalNeededError

APPROVALS_MIN = 2
"""One person alone needs nobody's approval."""
APPROVALS_MAX = 16


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """How many administrators must approve, and whether of every destruction or of those of guarded keys only."""

    count: int = APPROVALS_MIN
    every_destruction: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """What stands behind a change: enough administrators, for these keys, by this proposal; or a plan of before."""

    keys: frozenset[str]
    proposal_id: str = ""
    uids: Sequence[int] = ()


@dataclass(slots=True)
class Rehearsal:
    """A change that is made and forgotten; *keys* are those that it would need an approval for."""

    keys: list[str] = field(default_factory=list)


class RehearsedError(Exception):
    """Every step of a rehearsal was taken, and its transaction is to be forgotten."""


def guarded_error(label: str, rules: ApprovalRules) -> ApprovalNeededError:
    """Say that a key is guarded."""
    return ApprovalNeededError(
        f"key '{label}' is guarded: this takes the approval of {rules.count} administrators", _HINT
    )


def destruction_error(label: str, rules: ApprovalRules) -> ApprovalNeededError:
    """Say that no key here is destroyed by one person."""
    return ApprovalNeededError(f"destroying key '{label}' takes the approval of {rules.count} administrators", _HINT)


_HINT = "the same command with --propose asks for it"
