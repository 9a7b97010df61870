# SPDX-License-Identifier: Apache-2.0
"""Line charts as SVG: panels in a grid, logarithmic or linear axes, each line with its name at its end.

Knows nothing of what is drawn. Colours are those of Okabe and Ito that show on white; marks and dashes say the same.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
MARKS = ("circle", "square", "diamond", "triangle")
PLOT_WIDTH, PLOT_HEIGHT = 300, 260
LEFT, RIGHT, TOP, BOTTOM = 72, 216, 44, 50
"""Room around each plot: numbers on its left, names on its right."""
HEAD = 58
FONT = 'font-family="DejaVu Sans, Arial, sans-serif" font-size="12"'
LABEL_GAP = 14
STEPS = (1.0, 2.0, 5.0)
TICKS_MAX = 9

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """Points with a name; *style* is any number, the same for the same thing in every panel."""

    name: str
    points: tuple[Point, ...]
    style: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot; *one_at* draws a line to compare with."""

    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    log_y: bool = True
    one_at: float | None = None


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


def draw(title: str, note: str, grid: Sequence[Sequence[Panel]], *, shared_y: bool) -> str:
    """Draw panels in rows.

    Args:
        title: of the picture.
        note: below it, one line.
        grid: panels, row by row.
        shared_y: a row's panels have one scale.
    """
    columns = max(len(row) for row in grid)
    cell_width, cell_height = LEFT + PLOT_WIDTH + RIGHT, TOP + PLOT_HEIGHT + BOTTOM
    width, height = columns * cell_width, HEAD + len(grid) * cell_height
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" {FONT}>',
        f'<rect {size} fill="white"/>',
        _text(16, 26, title, size=17),
        _text(16, 46, note, colour="#555"),
    ]
    for row_number, row in enumerate(grid):
        of_row = [y for panel in row for y in _ys(panel)]
        for column, panel in enumerate(row):
            x, y = column * cell_width + LEFT, HEAD + row_number * cell_height + TOP
            values = of_row if shared_y else _ys(panel)
            y_scale = axis(values, y + PLOT_HEIGHT, y, log=panel.log_y)
            parts += _panel(panel, x, y, y_scale)
    return "\n".join([*parts, "</svg>", ""])


def _ys(panel: Panel) -> list[float]:
    ys = [y for line in panel.lines for _x, y in line.points]
    return ys if panel.one_at is None else [*ys, panel.one_at]


def _panel(panel: Panel, left: float, top: float, y_scale: Scale) -> Iterator[str]:
    xs = sorted({x for line in panel.lines for x, _y in line.points})
    x_scale = axis(xs, left, left + PLOT_WIDTH, log=True)
    right, bottom = left + PLOT_WIDTH, top + PLOT_HEIGHT
    yield _text(left, top - 12, panel.title, size=13)
    for y in y_scale.ticks():
        yield _stroke(left, y_scale.at(y), right, y_scale.at(y), "#ddd")
        yield _text(left - 6, y_scale.at(y) + 4, number_text(y), anchor="end")
    for x in xs:
        yield _stroke(x_scale.at(x), bottom, x_scale.at(x), bottom + 5, "#555")
        yield _text(x_scale.at(x), bottom + 18, number_text(x), anchor="middle")
    yield f'<rect x="{left}" y="{top}" width="{PLOT_WIDTH}" height="{PLOT_HEIGHT}" fill="none" stroke="#555"/>'
    yield _text(left + PLOT_WIDTH / 2, bottom + 36, panel.x_title, anchor="middle")
    middle = f"translate({left - 48:.1f} {top + PLOT_HEIGHT / 2:.1f}) rotate(-90)"
    yield f'<text transform="{middle}" text-anchor="middle">{escape(panel.y_title)}</text>'
    if panel.one_at is not None:
        yield _stroke(left, y_scale.at(panel.one_at), right, y_scale.at(panel.one_at), "#555", dash="2 3")
    ends = [y_scale.at(line.points[-1][1]) for line in panel.lines]
    for line, label_y in zip(panel.lines, spread(ends, LABEL_GAP, bottom), strict=True):
        places = [(x_scale.at(x), y_scale.at(y)) for x, y in line.points]
        yield from _line(line, places, (right, label_y))


def _line(line: Line, places: list[Point], label: Point) -> Iterator[str]:
    colour = COLOURS[line.style % len(COLOURS)]
    dash = ' stroke-dasharray="6 3"' if line.style >= len(COLOURS) else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
    for x, y in places:
        yield _mark(MARKS[line.style % len(MARKS)], x, y, colour)
    (x, y), (label_x, label_y) = places[-1], label
    yield _stroke(x + 5, y, label_x + 12, label_y, colour, width=0.6)
    yield _mark(MARKS[line.style % len(MARKS)], label_x + 18, label_y, colour)
    yield _text(label_x + 27, label_y + 4, line.name)


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    corners: dict[str, list[Point]] = {
        "square": [(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)],
        "diamond": [(0, -5), (5, 0), (0, 5), (-5, 0)],
        "triangle": [(0, -5), (4.6, 3.6), (-4.6, 3.6)],
    }
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[kind])
    return f'<polygon points="{path}" fill="{colour}"/>'


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#000") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
