# SPDX-License-Identifier: Apache-2.0
"""The real worker behind a ring whose other end is the test.

``VKS_TEST_LIBEXEC`` names another folder with the programs: tools/test-c has the worker built with sanitizers tested.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from protocol.worker_rig import Bench, Zygote, running_bench, running_zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Give the zygote, warmed up once."""
    folder = os.environ.get("VKS_TEST_LIBEXEC")
    with running_zygote(Path(folder).resolve() if folder else None) as zygote:
        yield zygote


@pytest.fixture
def bench(zygote: Zygote) -> Iterator[Bench]:
    """Give a worker with a running ring and no keys; it is still alive afterwards, whatever the test sent."""
    with running_bench(zygote) as bench:
        yield bench
