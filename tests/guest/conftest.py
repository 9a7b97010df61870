# SPDX-License-Identifier: Apache-2.0
"""Guests for tests: images from the cache, booted on demand.

``make images`` makes the kernels beforehand; a test that has to build one runs into its timeout.
"""

from collections.abc import Generator

import pytest
from guest.boot import booting, running
from guest.driver_bench import benching, plugging

boot = pytest.fixture(booting, name="boot")
boot_for_module = pytest.fixture(booting, name="boot_for_module", scope="module")
plug = pytest.fixture(plugging, name="plug")
bench = pytest.fixture(benching, name="bench", params=["uml-plain", "uml-kasan"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the consoles of the running guests with a failure."""
    report = yield
    if report.failed:
        report.sections += [("guest console, its end", guest.console.tail()) for guest in running]
    return report
