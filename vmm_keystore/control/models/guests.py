# SPDX-License-Identifier: Apache-2.0
"""Guests: POST and GET /v1/guests, GET and DELETE /v1/guests/{name}, POST /v1/guests/{name}/own-keys."""

from pydantic import AwareDatetime, Field

from vmm_keystore.control.models.words import AppliedTo, KeyCount, Model, Name, Uid


class GuestCreate(Model):
    """A new guest; *socket* is an absolute path, *owner_uid* the uid of its QEMU (default: the daemon's).

    *own_keys_max*: how many keys of its own it may make.
    """

    name: Name
    socket: str = Field(pattern=r"^/", max_length=107)
    owner_uid: Uid | None = None
    own_keys_max: KeyCount = 0


class GuestOwnKeys(Model):
    """How many keys of its own a guest may have; those that it has stay."""

    max: KeyCount


class WorkerInfo(Model):
    """The guest's worker and its front-end."""

    running: bool
    pid: int | None
    secret_memory: str
    generation: int
    connected: bool
    front_end_pid: int | None
    listening: bool = True
    problem: str = ""
    replaced: int = 0
    set_aside: int = 0
    keys_filled: int = 0
    in_flight: int = 0
    records_waiting: int = 0
    sandbox: str = ""
    engines: dict[str, str] = Field(default_factory=dict)


class GuestInfo(Model):
    """A guest."""

    name: str
    socket: str
    owner_uid: int | None
    created: AwareDatetime
    grants: int
    own_keys: int
    own_keys_max: int
    worker: WorkerInfo


class GuestChanged(GuestInfo):
    """A guest after a change."""

    applied: list[AppliedTo]


class GuestList(Model):
    """Every guest, by name."""

    guests: list[GuestInfo]


class GuestRemoved(Model):
    """Answer to DELETE /v1/guests/{name}."""

    name: str
    grants_removed: int
    keys_left: int
    """That were its own; they are the vault's now."""
