# SPDX-License-Identifier: Apache-2.0
"""Every test here must leave as many descriptors open as it found."""

import os
import threading
from collections.abc import Iterator

import pytest


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only, and quick


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    """Compare /proc/self/fd before and after; wait for descriptors that are closed on a thread of their own."""
    before = len(open_fds())
    yield
    for thread in threading.enumerate():
        if thread.name == "vhost-user-close":
            thread.join()
    assert len(open_fds()) == before
