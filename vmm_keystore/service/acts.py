# SPDX-License-Identifier: Apache-2.0
"""What can be proposed: the changes that several administrators must approve of, in words and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from vmm_keystore.policy.moment import moment_text
from vmm_keystore.policy.vocabulary import Mechanism, Op, Word
from vmm_keystore.service.grants import GrantRequest


@dataclass(frozen=True, slots=True)
class DestroyKey:
    """Destroy a version of a key, or all; at *at_s*, or at once."""

    kind: ClassVar[str] = "key-destroy"
    key: str
    version: int | None = None
    at_s: int | None = None

    @property
    def text(self) -> str:
        """What it is, in words."""
        which = f" version {self.version}" if self.version else " with all its versions"
        when = f" at {moment_text(self.at_s)}" if self.at_s else ""
        return f"destroy key {self.key}{which}{when}"


@dataclass(frozen=True, slots=True)
class UnguardKey:
    """Take the guard from a key."""

    kind: ClassVar[str] = "key-unguard"
    key: str

    @property
    def text(self) -> str:
        """What it is, in words."""
        return f"take the guard from key {self.key}"


@dataclass(frozen=True, slots=True)
class AddGrant:
    """Grant a key to a guest or ``@role``."""

    kind: ClassVar[str] = "grant-add"
    request: GrantRequest

    @property
    def text(self) -> str:
        """What it is, in words; with every bound, since that is what people approve of."""
        asked = self.request
        to = f"every guest with role {asked.guest[1:]}" if asked.guest.startswith("@") else f"guest {asked.guest}"
        bounds = {
            "mechanisms": _words(asked.mechanisms or ()),
            "bytes of a request": asked.input_bytes_max,
            "operations": asked.ops_max,
            "operations a second": asked.ops_a_second,
            "users": ", ".join(map(str, asked.uids)),
            "from": asked.not_before_s and moment_text(asked.not_before_s),
            "until": asked.not_after_s and moment_text(asked.not_after_s),
        }
        words = [f"{name} {value}" for name, value in bounds.items() if value]
        return f"let {to} use key {asked.key}: {_words(asked.ops)}" + (f" ({'; '.join(words)})" if words else "")


@dataclass(frozen=True, slots=True)
class AssignRole:
    """Give a role, and with it its keys, to guests."""

    kind: ClassVar[str] = "role-assign"
    role: str
    guests: tuple[str, ...]

    @property
    def text(self) -> str:
        """What it is, in words."""
        first, more = ", ".join(self.guests[:GUESTS_SHOWN]), len(self.guests) - GUESTS_SHOWN
        who = "guest" if len(self.guests) == 1 else "guests"
        return f"give role {self.role} to {who} {first}" + (f" and {more} more" if more > 0 else "")


Act = DestroyKey | UnguardKey | AddGrant | AssignRole
GUESTS_SHOWN = 10


def act_fields(act: Act) -> dict[str, Any]:
    """An act as JSON, which ``read_act`` reads; words of the vocabulary by their texts."""
    match act:
        case AddGrant(asked):
            mechanisms = None if asked.mechanisms is None else _texts(asked.mechanisms)
            lists = {"ops": _texts(asked.ops), "mechanisms": mechanisms, "uids": list(asked.uids)}
            return asdict(asked) | lists
        case AssignRole():
            return asdict(act) | {"guests": list(act.guests)}
    return asdict(act)


def read_act(kind: str, fields: Mapping[str, Any]) -> Act:
    """Read what ``act_fields`` gave."""
    match kind:
        case AddGrant.kind:
            ops, mechanisms = fields["ops"], fields["mechanisms"]
            found = {
                "ops": [Op.from_text(op) for op in ops],
                "mechanisms": None if mechanisms is None else [Mechanism.from_text(text) for text in mechanisms],
            }
            return AddGrant(GrantRequest(**{**fields, **found}))
        case AssignRole.kind:
            return AssignRole(fields["role"], tuple(fields["guests"]))
        case UnguardKey.kind:
            return UnguardKey(**fields)
        case DestroyKey.kind:
            return DestroyKey(**fields)
    raise AssertionError(kind)


def _texts(words: Sequence[Word]) -> list[str]:
    return [word.text for word in words]


def _words(words: Sequence[Word]) -> str:
    return ", ".join(_texts(words))
