# SPDX-License-Identifier: Apache-2.0
"""Events: GET /v1/events and below it, POST and DELETE below /v1/dead-events, GET and POST /v1/event-handlers."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from vmm_keystore.control.models.words import Model
from vmm_keystore.policy.event import EventKind
from vmm_keystore.store.events import DeliveryState


class EventQuery(Model):
    """Which events to list; with *limit* the newest of them."""

    state: DeliveryState | None = None
    kind: EventKind | None = None
    limit: Annotated[int, Field(ge=1, le=100000)] | None = None


class DeliveryInfo(Model):
    """What became of an event at one handler; *due* is when it is tried next, *reason* why it failed last."""

    handler: str
    state: DeliveryState
    attempts: int
    changed: AwareDatetime
    due: AwareDatetime | None
    reason: str


class EventInfo(Model):
    """An event: what handlers get, and what became of that."""

    id: str
    time: AwareDatetime
    kind: EventKind
    state: DeliveryState
    subject: dict[str, str]
    facts: dict[str, int | str]
    text: str
    deliveries: list[DeliveryInfo]


class EventList(Model):
    """Events, the newest last."""

    events: list[EventInfo]


class EventsChanged(Model):
    """How many events are tried anew, or were dropped."""

    events: int


class EventHandlerInfo(Model):
    """A handler as the file says; counts of deliveries and failed attempts are since the daemon started."""

    name: str
    way: str
    target: str
    kinds: list[EventKind]
    attempts_max: int
    pending: int
    dead: int
    delivered: int
    failed: int


class EventHandlerList(Model):
    """Every handler, by name."""

    handlers: list[EventHandlerInfo]


class EventHandlerTested(Model):
    """What became of a test; *reason* is empty where the handler took it."""

    handler: str
    delivered: bool
    reason: str
