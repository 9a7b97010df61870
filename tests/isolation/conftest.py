# SPDX-License-Identifier: Apache-2.0
"""Real workers, one for each guest."""

from collections.abc import Iterator

import pytest
from protocol.worker_rig import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Give the installed zygote, warmed up once."""
    with Zygote() as running:
        yield running
