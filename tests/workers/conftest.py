# SPDX-License-Identifier: Apache-2.0
"""What several tests here start from: a running loop, a guest of a real keystored."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from framework.keystored import Keystored

from vmm_keystore.workers.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Give a loop on its own thread."""
    running = Loop("test-loop")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def guest_socket(vault: Keystored) -> Path:
    """A guest with a key it may sign with."""
    socket = vault.add_guest("g")
    vault.api.generate("key", "ec-p256")
    vault.api.grant("g", "key", ["sign"])
    return socket
