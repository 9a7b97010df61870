# SPDX-License-Identifier: Apache-2.0
"""Real workers and custodians, looked at and tampered with as only root can."""

import os
from collections.abc import Iterator

import pytest
from protocol.worker_rig import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Give the installed zygote, warmed up once."""
    with Zygote() as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("what only root may try: run as root")
