# SPDX-License-Identifier: Apache-2.0
"""Waiting for what has no event to wait for: processes outside, files, answers that change."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 20.0


def wait_for(condition: Callable[[], Any]) -> Any:
    """Ask until the answer is true; the answer.

    Raises:
        AssertionError: it did not become true in time.
    """
    end_s = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        if time.monotonic() > end_s:
            raise AssertionError("it did not happen")
        time.sleep(0.01)
    return result
