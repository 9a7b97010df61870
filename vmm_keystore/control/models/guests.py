# SPDX-License-Identifier: Apache-2.0
"""Guests: POST /v1/guests, GET /v1/guests, GET and DELETE /v1/guests/{name}."""

from pydantic import AwareDatetime, Field

from vmm_keystore.control.models.words import Model, Name, Uid


class GuestCreate(Model):
    """A new guest; *socket* is an absolute path, *owner_uid* the uid of its QEMU (default: the daemon's)."""

    name: Name
    socket: str = Field(pattern=r"^/", max_length=107)
    owner_uid: Uid | None = None


class WorkerInfo(Model):
    """The guest's worker and its front-end."""

    running: bool
    pid: int | None
    secret_memory: str
    generation: int
    connected: bool
    front_end_pid: int | None
    problem: str = ""
    replaced: int = 0
    set_aside: int = 0
    in_flight: int = 0
    records_waiting: int = 0
    sandbox: str = ""


class GuestInfo(Model):
    """A guest."""

    name: str
    socket: str
    owner_uid: int | None
    created: AwareDatetime
    grants: int
    worker: WorkerInfo


class GuestList(Model):
    """Every guest, by name."""

    guests: list[GuestInfo]


class GuestRemoved(Model):
    """Answer to DELETE /v1/guests/{name}."""

    name: str
    grants_removed: int
