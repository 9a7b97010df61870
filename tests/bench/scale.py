# SPDX-License-Identifier: Apache-2.0
"""From values to pixels: axes, their round numbers, and labels that must not overlap. Pure."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

STEPS = (1.0, 2.0, 5.0)
TICKS_MAX = 9


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value is on an axis: *low* at *start*, *high* at *end*."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        """Its place in pixels."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = math.log(value) if self.log else value
        share = (value - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers in it."""
        if self.log:
            return log_ticks(self.low, self.high)
        step = next(
            step for step in round_numbers(10 ** math.floor(math.log10(self.high / 10))) if self.high / step < 8
        )
        return [number * step for number in range(int(self.high / step) + 1)]


def round_numbers(low: float) -> Iterator[float]:
    """1, 2 and 5 times every power of ten, from *low*, which is one, on."""
    while True:
        yield from (low * step for step in STEPS)
        low *= 10


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 where these are few, else powers of ten."""
    found = []
    for number in round_numbers(10 ** math.floor(math.log10(low))):
        if number > high * 1.0001:
            break
        if number >= low * 0.9999:
            found.append(number)
    tens = [number for number in found if abs(math.log10(number) - round(math.log10(number))) < 1e-6]
    return found if len(found) <= TICKS_MAX or len(tens) < 2 else tens


def axis(values: Iterable[float], start: float, end: float, *, log: bool) -> Scale:
    """An axis with room for *values*: a bit more on both sides where it is logarithmic, from 0 where it is linear."""
    values = list(values)
    if log:
        low, high = min(values), max(values)
        room = max((high / low) ** 0.04, 1.05)
        return Scale(low / room, high * room, start, end, log)
    return Scale(0, max(*values, 1e-9) * 1.08, start, end, log)


def spread(places: Sequence[float], gap: float, end: float) -> list[float]:
    """Move labels apart: at least *gap* between them, in the same order, the last not beyond *end*."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    limit = end
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def number_text(value: float) -> str:
    """As short as it stays exact: 0.05, 20, 5k, 1M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit * 0.9999:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
