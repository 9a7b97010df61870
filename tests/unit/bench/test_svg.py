# SPDX-License-Identifier: Apache-2.0
"""Pictures: values are where they belong, numbers are round, names do not overlap, and the file is XML."""

import math
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench.pictures import write_pictures
from bench.result import make_row
from bench.scale import Scale, axis, number_text, spread
from bench.svg import Line, Panel, draw
from bench.take import Take
from framework.ring_load import Sample

SVG = "{http://www.w3.org/2000/svg}"


def test_a_logarithmic_scale_gives_equal_room_to_equal_factors() -> None:
    """The middle of 1 and 100 is 10; pixels may run either way."""
    scale = Scale(1, 100, 300, 100, log=True)
    assert [scale.at(value) for value in (1, 10, 100)] == pytest.approx([300, 200, 100])


def test_an_axis_has_room_for_every_value() -> None:
    """One value alone has an axis too."""
    for values in ([1.0], [0.01, 3.0], [5.0, 5.0]):
        scale = axis(values, 0, 100, log=True)
        assert all(0 < scale.at(value) < 100 for value in values)
    scale = axis([0.0, 40.0], 0, 100, log=False)
    assert scale.at(0) == 0
    assert scale.at(40) < 100


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.4, 12, [0.5, 1, 2, 5, 10]), (0.5, 5e5, [1, 10, 100, 1e3, 1e4, 1e5]), (3, 4, []), (1, 2, [1, 2])],
)
def test_logarithmic_ticks_are_round_and_few(low: float, high: float, ticks: list[float]) -> None:
    """1, 2, 5 over few decades, powers of ten over many."""
    assert Scale(low, high, 0, 1, log=True).ticks() == pytest.approx(ticks)


def test_linear_ticks_begin_at_zero() -> None:
    """And end within the axis."""
    assert Scale(0, 43, 0, 1, log=False).ticks() == [0, 10, 20, 30, 40]
    assert Scale(0, 0.9, 0, 1, log=False).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_names_are_moved_apart_in_their_order() -> None:
    """None is nearer than the gap to another, none is below the end."""
    places = [90.0, 10.0, 12.0, 91.0, 92.0]
    moved = spread(places, 10, 95)
    ordered = sorted(range(len(places)), key=places.__getitem__)
    assert all(moved[after] - moved[before] >= 10 for before, after in pairwise(ordered))
    assert max(moved) <= 95


def test_numbers_are_short() -> None:
    """Thousands have a letter."""
    assert [number_text(value) for value in (0.05, 1, 20, 5000, 2e6)] == ["0.05", "1", "20", "5k", "2M"]


def test_a_picture_is_xml_whatever_its_names() -> None:
    """Text is escaped, and every line is there."""
    line = Line("a < b & c", ((1, 1), (8, 2)), 9)
    picture = draw("<title>", "note", [[Panel("p", "x", "y", (line,), one_at=1)]], shared_y=True)
    root = ET.fromstring(picture)  # noqa: S314 - our own
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"<title>", "a < b & c"} <= set(texts)
    assert len(list(root.iter(f"{SVG}polyline"))) == 1
    assert not any(math.isnan(float(mark.attrib["cy"])) for mark in root.iter(f"{SVG}circle"))


def test_pictures_are_made_of_what_was_measured(tmp_path: Path) -> None:
    """Asleep and polling have a panel each; without the vault there is no picture."""
    sample = Sample(10, 1, 2)
    vault = [
        make_row(
            Take("vault", depth, lambda _milliseconds: sample, "libcrypto", polling=polling),
            "p256-sign",
            32,
            1,
            [(sample, sample)],
        )
        for depth in (1, 8)
        for polling in (False, True)
    ]
    write_pictures([], tmp_path)
    assert not list(tmp_path.iterdir())
    write_pictures(vault, tmp_path)
    lines = {path.stem: path.read_text().count("<polyline") for path in tmp_path.iterdir()}
    assert lines == {"bench-ratio": 2, "bench-latency": 4}
