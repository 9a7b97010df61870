# SPDX-License-Identifier: Apache-2.0
"""A real keystored for whichever test asks for one."""

from collections.abc import Iterator

import pytest
from framework.keystored import Keystored


@pytest.fixture
def vault() -> Iterator[Keystored]:
    """Run keystored on a fresh state directory, for this test alone."""
    with Keystored() as keystored:
        yield keystored


@pytest.fixture(scope="module")
def shared_vault() -> Iterator[Keystored]:
    """Run keystored for a whole module; its tests use names of their own."""
    with Keystored() as keystored:
        yield keystored
