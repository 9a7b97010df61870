# SPDX-License-Identifier: Apache-2.0
"""How often one thing about one guest is logged: what a front-end or guest can cause must not fill the disk.

Pure but for the clock that it is given.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

LINES_MAX = 50
PERIOD_S = 10.0
KEYS_MAX = 4096
"""Older ones are forgotten: a few lines too many, at worst."""


class LogLimit(logging.Filter):
    """Lets ``LINES_MAX`` lines of one text about one guest pass each ``PERIOD_S``; says how many it kept back.

    A text is the message before its arguments are put in; the guest is the first argument, where the text begins with
    ``guest %s``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # Start of the period, lines that passed, lines that did not.
        self._counts: OrderedDict[tuple[str, str], tuple[float, int, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about one line."""
        text = str(record.msg)
        arguments = record.args if isinstance(record.args, tuple) else ()
        guest = str(arguments[0]) if arguments and text.startswith("guest %s") else ""
        now_s = self._clock()
        began_s, passed, held = self._counts.pop((text, guest), (now_s, 0, 0))
        if now_s - began_s >= PERIOD_S:
            if held:
                record.msg = f"{text} ({held} lines like this were left out)"
            began_s, passed, held = now_s, 0, 0
        may_pass = passed < LINES_MAX
        self._counts[text, guest] = (began_s, passed + may_pass, held + (not may_pass))
        if len(self._counts) > KEYS_MAX:
            self._counts.popitem(last=False)
        return may_pass
