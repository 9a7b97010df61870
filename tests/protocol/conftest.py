# SPDX-License-Identifier: Apache-2.0
"""The real worker behind a ring whose other end is the test.

``VKS_TEST_LIBEXEC`` names another folder with the programs: tools/test-c has the worker built with sanitizers tested.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from framework.guest_ram import GuestRam
from framework.split_ring import SplitRing
from framework.vault import Vault
from protocol.worker_rig import Bench, WorkerRig, Zygote

from vmm_keystore.workers import programs


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Give the zygote, warmed up once."""
    with pytest.MonkeyPatch.context() as patch:
        if folder := os.environ.get("VKS_TEST_LIBEXEC"):
            patch.setattr(programs, "LIBEXEC", Path(folder).resolve())
        running = Zygote()
    with running:
        yield running


@pytest.fixture
def bench(zygote: Zygote) -> Iterator[Bench]:
    """Give a worker with a running ring and no keys; it is still alive afterwards, whatever the test sent."""
    with ExitStack() as stack:
        ram = stack.enter_context(GuestRam(64 << 20))
        ring = stack.enter_context(SplitRing(ram, 512))
        rig = stack.enter_context(WorkerRig(zygote))
        rig.share(ram)
        rig.start(ring)
        yield Bench(rig, ram, ring, Vault(ram, ring, slot_count=112, readable_bytes_max=32 << 10))
        assert rig.alive
