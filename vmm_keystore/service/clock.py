# SPDX-License-Identifier: Apache-2.0
"""What time it is, for the store."""

import time


def now_s() -> int:
    """UNIX time in whole seconds."""
    return int(time.time())
