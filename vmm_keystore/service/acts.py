# SPDX-License-Identifier: Apache-2.0
"""What can be proposed: the changes that several administrators must approve of, in words and as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from vmm_keystore.audit.line import time_text
from vmm_keystore.policy.vocabulary import Mechanism, Op
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
        when = f" at {time_text(self.at_s * 10**9)[:19]}Z" if self.at_s else ""
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
    """Grant a key to a guest or ``@role``; operations and mechanisms by their names."""

    kind: ClassVar[str] = "grant-add"
    guest: str
    key: str
    ops: tuple[str, ...]
    mechanisms: tuple[str, ...] | None = None
    input_bytes_max: int = 0
    not_before_s: int = 0
    not_after_s: int = 0
    uids: tuple[int, ...] = ()
    ops_max: int = 0
    ops_a_second: int = 0

    @classmethod
    def of(cls, request: GrantRequest) -> "AddGrant":
        """What a request asks for."""
        return cls(
            request.guest,
            request.key,
            tuple(op.text for op in request.ops),
            None if request.mechanisms is None else tuple(mechanism.text for mechanism in request.mechanisms),
            request.input_bytes_max,
            request.not_before_s,
            request.not_after_s,
            tuple(request.uids),
            request.ops_max,
            request.ops_a_second,
        )

    @property
    def request(self) -> GrantRequest:
        """The request."""
        mechanisms = self.mechanisms
        return GrantRequest(
            self.guest,
            self.key,
            [Op.from_text(op) for op in self.ops],
            None if mechanisms is None else [Mechanism.from_text(mechanism) for mechanism in mechanisms],
            self.input_bytes_max,
            self.not_before_s,
            self.not_after_s,
            self.uids,
            self.ops_max,
            self.ops_a_second,
        )

    @property
    def text(self) -> str:
        """What it is, in words; with every bound, since that is what people approve of."""
        to = f"every guest with role {self.guest[1:]}" if self.guest.startswith("@") else f"guest {self.guest}"
        bounds = {
            "mechanisms": ", ".join(self.mechanisms or ()),
            "bytes of a request": self.input_bytes_max,
            "operations": self.ops_max,
            "operations a second": self.ops_a_second,
            "users": ", ".join(map(str, self.uids)),
            "from": _moment(self.not_before_s),
            "until": _moment(self.not_after_s),
        }
        words = [f"{name} {value}" for name, value in bounds.items() if value]
        return f"let {to} use key {self.key}: {', '.join(self.ops)}" + (f" ({'; '.join(words)})" if words else "")


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
_ACTS: dict[str, type[Act]] = {act.kind: act for act in (DestroyKey, UnguardKey, AddGrant, AssignRole)}
KINDS = tuple(_ACTS)


def act_fields(act: Act) -> dict[str, Any]:
    """An act as JSON."""
    return asdict(act)


def read_act(kind: str, fields: Mapping[str, Any]) -> Act:
    """Read what ``act_fields`` gave."""
    act: Callable[..., Act] = _ACTS[kind]
    return act(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


def _moment(at_s: int) -> str:
    return f"{time_text(at_s * 10**9)[:19]}Z" if at_s else ""
