# SPDX-License-Identifier: Apache-2.0
"""One guest cannot fill the log, nor keep another one's lines out of it."""

import logging

from vmm_keystore.log_limit import LINES_MAX, PERIOD_S, LogLimit


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def line(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("vmm_keystore.x", logging.INFO, "x.py", 1, text, arguments, None)


def test_a_flood_is_cut_and_counted() -> None:
    """So many lines pass in a period; the first one of the next says how many did not."""
    clock = Clock()
    limit = LogLimit(clock)
    passed = [limit.filter(line("guest %s: came %d", "a", i)) for i in range(LINES_MAX + 7)]
    assert passed == [True] * LINES_MAX + [False] * 7
    assert limit.filter(line("guest %s: came %d", "b", 1))
    assert limit.filter(line("guest %s: went", "a"))
    clock.now_s += PERIOD_S
    later = line("guest %s: came %d", "a", 1)
    assert limit.filter(later)
    assert later.getMessage() == "guest a: came 1 (7 lines like this were left out)"
    again = line("guest %s: came %d", "a", 2)
    assert limit.filter(again)
    assert again.getMessage() == "guest a: came 2"


def test_guests_and_texts_without_number_do_not_fill_memory() -> None:
    """What is remembered is bounded."""
    limit = LogLimit(Clock())
    for i in range(10_000):
        assert limit.filter(line("guest %s: came", f"guest-{i}"))
    assert len(limit._counts) <= 4096


def test_lines_about_nobody_are_limited_by_their_text() -> None:
    """Whatever argument comes first."""
    limit = LogLimit(Clock())
    passed = sum(limit.filter(line("%s ended; killed", i)) for i in range(LINES_MAX * 2))
    assert passed == LINES_MAX
