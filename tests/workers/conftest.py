# SPDX-License-Identifier: Apache-2.0
"""A running loop for tests of what lives on it."""

from collections.abc import Iterator

import pytest

from vmm_keystore.workers.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Give a loop on its own thread."""
    running = Loop("test-loop")
    running.start()
    yield running
    running.stop()
