# SPDX-License-Identifier: Apache-2.0
"""Guests for tests: images from the cache, booted on demand.

``make images`` makes the kernels beforehand; a test that has to build one runs into its timeout.
"""

import pytest
from guest.boot import booting

boot = pytest.fixture(booting, name="boot")
boot_for_module = pytest.fixture(booting, name="boot_for_module", scope="module")
