# SPDX-License-Identifier: Apache-2.0
"""Guests and their workers, as the service and whoever runs the workers tell each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from vmm_keystore.policy.vocabulary import KeyType, Op, Status


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest: its name and the vhost-user socket its front-end connects to.

    *owner_uid* is the uid the front-end must have; None: the daemon's own.
    """

    name: str
    socket: str
    owner_uid: int | None = None
    own_keys_max: int = 0
    """How many keys of its own it may have."""


class ApplyOutcome(Enum):
    """How a change came into force in a guest's worker."""

    ACKNOWLEDGED = "acknowledged"
    WORKER_KILLED = "worker-killed"
    """It did not acknowledge in time, or could not load its keys; another one takes its place."""
    NO_WORKER = "no-worker"
    """None is running; the next one starts with the change."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a change in one guest."""

    guest: str
    outcome: ApplyOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A guest's worker and front-end as they are now; *secret_memory* is ``memfd-secret``, ``mlock`` or empty."""

    pid: int | None
    secret_memory: str
    generation: int
    front_end_pid: int | None
    problem: str = ""
    """Why there is no worker or no listening socket, or why the next one waits, in one line."""
    replaced_count: int = 0
    """How often a worker died and another one took its place, since the daemon started."""
    set_aside_count: int = 0
    """Requests answered as an internal error because two workers died over them, since the daemon started."""
    in_flight: int = 0
    """Requests taken from the ring and not answered yet."""
    records_waiting: int = 0
    """Audit records that are committed and not stored yet; the ring takes requests while there is room for more."""
    keys_filled_count: int = 0
    """Keys brought to this worker when a request waited for them."""
    sandbox: str = ""
    """How the worker is confined, in one line."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Who computes what other engines than libcrypto could, by the function's name."""
    listening: bool = True
    """A front-end can come; where not, *problem* says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a guest asks for of keys of its own, as its worker says: nothing of it was checked but its form."""

    sequence: int
    """Of the request."""
    op: Op
    """Generate, rotate or destroy."""
    key_type: KeyType | None
    """To be made; None: no such type, or none is made."""
    key_id: bytes
    label: str
    """That the guest wants; empty where it could be no key's."""
    uid: int | None
    """Of the guest's user, where its kernel stamped one."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """What an order came to."""

    status: Status
    key_id: bytes = bytes(16)
    version: int = 0
    """That was made."""


class LatencyKind(Enum):
    """What a histogram is of."""

    KEY = "key"
    NONE = "none"
    """Requests without a key, or whose key is not the guest's."""
    OTHER = "other"
    """Keys for which there was no room."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a guest's requests with one key and operation took, by its worker's word."""

    kind: LatencyKind
    key_id: bytes
    """Empty unless it is of a key, which the guest has."""
    op: int
    """0: none that has a name."""
    counts: tuple[int, ...]
    """Requests of each bucket alone, ``latency.h``."""
    sum_ns: int
