# SPDX-License-Identifier: Apache-2.0
"""A real keystored with an operator's program that is told of events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from framework.event_program import EventProgram
from framework.keystored import Keystored


@pytest.fixture
def program() -> Iterator[EventProgram]:
    """Give a program."""
    with EventProgram() as made:
        yield made


@pytest.fixture
def vault(program: EventProgram) -> Iterator[Keystored]:
    """Run keystored with it."""
    with Keystored(arguments=program.arguments) as keystored:
        yield keystored


def soon() -> str:
    """A time that is near for a grant's end."""
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


def make_event(vault: Keystored, name: str = "web1") -> None:
    """Have something to tell of: a grant to a guest *name* that ends soon; stored with the change itself."""
    vault.add_guest(name)
    vault.api.generate(f"key-{name}", "ed25519")
    vault.api.grant(name, f"key-{name}", ["sign"], not_after=soon())
