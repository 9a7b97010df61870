# SPDX-License-Identifier: Apache-2.0
"""Routes of events and of the handlers that are told of them."""

from typing import Annotated

from fastapi import Query

from vmm_keystore.control import answers, models
from vmm_keystore.control.routes.common import Caller, Service, router
from vmm_keystore.store.events import EventFilter


@router.get("/events")
def list_events(service: Service, only: Annotated[models.EventQuery, Query()]) -> models.EventList:
    """Every event that the query names, the newest last; what was delivered is kept for a while."""
    found = service.events.list(EventFilter(only.state, only.kind, only.limit or 0))
    return models.EventList(events=[answers.event_info(row) for row in found])


@router.get("/events/{event_id}")
def show_event(event_id: str, service: Service) -> models.EventInfo:
    """One event, with what became of it at each handler."""
    return answers.event_info(service.events.show(event_id))


@router.post("/events/{event_id}/retry")
def retry_event(event_id: str, service: Service, caller: Caller) -> models.EventsChanged:
    """Have an event delivered anew where it is not yet."""
    return models.EventsChanged(events=service.events.retry(caller, event_id))


@router.post("/dead-events/retry")
def retry_events(service: Service, caller: Caller) -> models.EventsChanged:
    """Have every dead event delivered anew."""
    return models.EventsChanged(events=service.events.retry(caller, None))


@router.delete("/events/{event_id}")
def drop_event(event_id: str, service: Service, caller: Caller) -> models.EventsChanged:
    """Forget an event, delivered or not."""
    return models.EventsChanged(events=service.events.drop(caller, event_id))


@router.delete("/dead-events")
def drop_events(service: Service, caller: Caller) -> models.EventsChanged:
    """Forget every dead event."""
    return models.EventsChanged(events=service.events.drop(caller, None))


@router.get("/event-handlers")
def list_event_handlers(service: Service) -> models.EventHandlerList:
    """Every handler, and how it does."""
    return models.EventHandlerList(handlers=answers.event_handlers(service.events))


@router.post("/event-handlers/{name}/test")
def test_event_handler(name: str, service: Service, caller: Caller) -> models.EventHandlerTested:
    """Deliver an event that says it is a test, once; it is not stored."""
    reason = service.events.test(caller, name)
    return models.EventHandlerTested(handler=name, delivered=not reason, reason=reason)
