# SPDX-License-Identifier: Apache-2.0
"""What operators are told of, when it is time to, and in which words. Pure.

An event names guests, roles and keys, whose names have no letter that could mean anything to a terminal or a shell, and
carries numbers and words of ours: nothing that a guest wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vmm_keystore.policy.lifecycle import ENCRYPTIONS_MAX
from vmm_keystore.policy.moment import moment_text

BUDGET_LOW_SHARE = 0.9
BUDGET_HELD_SHARE = 0.8
"""Below it a budget may become low once more."""
EXPIRY_NEAR_S = 7 * 86400
DESTRUCTION_NEAR_S = 86400
DEATH_QUIET_S = 60
"""Deaths of one guest's workers within it are told of together."""


class EventKind(StrEnum):
    """What an event is about."""

    BUDGET_LOW = "budget-low"
    GRANT_EXPIRY_NEAR = "grant-expiry-near"
    KEY_DESTRUCTION_NEAR = "key-destruction-near"
    REFUSAL_BURST = "refusal-burst"
    WORKER_DEATH = "worker-death"
    VAULT_LOCKED = "vault-locked"
    KEY_WORN = "key-worn"
    PROPOSAL_WAITS = "proposal-waits"
    TEST = "test"
    """Sent when somebody tries a handler, to that one only."""


KINDS = tuple(kind for kind in EventKind if kind is not EventKind.TEST)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to tell of, once: *edge* is what it is known by until it is over."""

    kind: EventKind
    edge: str
    text: str
    subject: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A finding as handlers get it; *event_id* stays the same however often it is delivered."""

    event_id: str
    at_s: int
    kind: EventKind
    text: str
    subject: Mapping[str, str]
    facts: Mapping[str, int | str]

    def as_json(self) -> dict[str, object]:
        """What a handler reads."""
        return {
            "id": self.event_id,
            "time": moment_text(self.at_s),
            "kind": self.kind.value,
            "subject": dict(self.subject),
            "facts": dict(self.facts),
            "text": self.text,
        }


def is_low(ops_used: int, ops_max: int) -> bool:
    """Whether so little is left of a budget that somebody should know."""
    return ops_used >= BUDGET_LOW_SHARE * ops_max


def was_low(ops_used: int, ops_max: int) -> bool:
    """Whether a budget that was low still counts as such."""
    return ops_used >= BUDGET_HELD_SHARE * ops_max


def budget_low(guest: str, key: str, budget_id: int, ops_used: int, ops_max: int) -> Finding:
    """A guest has used most of the operations that it may do in all."""
    return Finding(
        EventKind.BUDGET_LOW,
        str(budget_id),
        f"guest {guest} has used {ops_used} of the {ops_max} operations it may do with key {key}; "
        "after the last one it is refused",
        {"guest": guest, "key": key},
        {"operations_used": ops_used, "operations_max": ops_max},
    )


def is_expiry_near(not_after_s: int, now_s: int) -> bool:
    """Whether a grant is in force for a short time yet."""
    return 0 < not_after_s - now_s <= EXPIRY_NEAR_S


def expiry_edge(grant_row: int, not_after_s: int) -> str:
    """What the end of a grant is known by."""
    return f"{grant_row} {not_after_s}"


def grant_expiry_near(holder: str, key: str, grant_row: int, not_after_s: int) -> Finding:
    """A grant, to a guest or with ``@`` a role, ends soon."""
    kind, name = ("role", holder[1:]) if holder.startswith("@") else ("guest", holder)
    return Finding(
        EventKind.GRANT_EXPIRY_NEAR,
        expiry_edge(grant_row, not_after_s),
        f"the grant of key {key} to {kind} {name} ends {moment_text(not_after_s)}; after that it is refused",
        {kind: name, "key": key},
        {"not_after": moment_text(not_after_s)},
    )


def is_destruction_near(at_s: int, now_s: int) -> bool:
    """Whether a planned destruction comes soon."""
    return at_s - now_s <= DESTRUCTION_NEAR_S


def destruction_edge(key: str, at_s: int) -> str:
    """What the destruction of versions of a key is known by."""
    return f"{key} {at_s}"


def key_destruction_near(key: str, versions: list[int], at_s: int) -> Finding:
    """Versions of a key are destroyed soon, and can still be kept."""
    which = "version" if len(versions) == 1 else "versions"
    numbers = ",".join(map(str, versions[:20])) + (",…" if len(versions) > 20 else "")
    return Finding(
        EventKind.KEY_DESTRUCTION_NEAR,
        destruction_edge(key, at_s),
        f"{which} {numbers} of key {key} will be destroyed {moment_text(at_s)}; "
        f"vmm-keystore key destroy {key} --cancel keeps what is left",
        {"key": key},
        {"versions": numbers, "destroy_at": moment_text(at_s)},
    )


def key_worn(key: str, version: int, encryptions: int, *, is_rotated: bool) -> Finding:
    """The current version of a key has encrypted nearly as often as one may."""
    then = "rotated" if is_rotated else "deactivated: it decrypts, and encrypts no more"
    return Finding(
        EventKind.KEY_WORN,
        f"{key} {version}",
        f"version {version} of key {key} has encrypted {encryptions} times; after {ENCRYPTIONS_MAX} it is {then}; "
        f"vmm-keystore key rotate {key} makes a new version",
        {"key": key},
        {"version": version, "encryptions": encryptions, "encryptions_max": ENCRYPTIONS_MAX},
    )


def refusal_burst(guest: str, refusals: int, window_s: int) -> Finding:
    """A guest asks again and again for what it may not do."""
    return Finding(
        EventKind.REFUSAL_BURST,
        guest,
        f"guest {guest} was refused {refusals} operations within {window_s} s: a grant is missing, "
        "or somebody in it tries keys",
        {"guest": guest},
        {"refusals": refusals, "window_s": window_s},
    )


def worker_death(guest: str, deaths: int) -> Finding:
    """Workers of a guest died; others took their place."""
    what = "the worker" if deaths == 1 else f"{deaths} workers"
    return Finding(
        EventKind.WORKER_DEATH,
        guest,
        f"{what} of guest {guest} died; vmm-keystore guest show {guest} and keystored's log say more",
        {"guest": guest},
        {"deaths": deaths},
    )


def vault_locked() -> Finding:
    """It takes a passphrase that nobody has given yet."""
    return Finding(
        EventKind.VAULT_LOCKED,
        "vault",
        "the vault is locked: guests that need a new worker wait until somebody gives the passphrase to "
        "vmm-keystore root unlock",
    )


def proposal_waits(proposal_id: str, what: str, uid: int, expires_s: int) -> Finding:
    """Somebody proposed what several administrators must approve of."""
    return Finding(
        EventKind.PROPOSAL_WAITS,
        proposal_id,
        f"uid {uid} proposes to {what}; vmm-keystore proposal approve {proposal_id} approves, until {moment_text(expires_s)}",
        {"proposal": proposal_id},
        {"uid": uid, "expires": moment_text(expires_s)},
    )


def handler_test(handler: str) -> Finding:
    """Somebody tries a handler."""
    return Finding(EventKind.TEST, handler, f"a test of event handler {handler}: nothing has happened")
