# SPDX-License-Identifier: Apache-2.0
"""Line charts as SVG: panels in a grid, logarithmic or linear axes, each line with its name at its end.

Knows nothing of what is drawn. Colours are those of Okabe and Ito that show on white; marks and dashes say the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bench.scale import Scale, axis, number_text, spread

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
MARKS = ("circle", "square", "diamond", "triangle")
PLOT_WIDTH, PLOT_HEIGHT = 300, 260
LEFT, RIGHT, TOP, BOTTOM = 72, 216, 44, 50
"""Room around each plot: numbers on its left, names on its right."""
HEAD = 58
FONT = 'font-family="DejaVu Sans, Arial, sans-serif" font-size="12"'
LABEL_GAP = 14
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
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
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
