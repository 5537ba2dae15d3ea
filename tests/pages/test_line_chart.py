"""Curves: thinning, round numbers, what is drawn where."""

from __future__ import annotations

import json
import math
import re

import pytest

from flan_t5x.pages.elements import markup
from flan_t5x.pages.line_chart import MOST_ROWS, Curve, Point, line_chart, short, thinned, ticks
from tests.pages.html import elements_of


def line(count: int) -> list[Point]:
    return [Point(float(x), float(x % 7)) for x in range(count)]


def test_thinning_keeps_order_and_spikes() -> None:
    points = line(10_000)
    points[5_555] = Point(5_555.0, 99.0)
    points[7_777] = Point(7_777.0, -99.0)
    kept = thinned(points, 100)
    assert len(kept) <= 100
    assert kept == sorted(kept)
    assert {Point(5_555.0, 99.0), Point(7_777.0, -99.0)} <= set(kept)
    assert thinned(line(10), 100) == line(10)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.3, 10.6, [2.0, 4.0, 6.0, 8.0, 10.0]),
        (0.0, 100_000.0, [0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0, 100_000.0]),
        (-0.031, 0.02, [-0.02, 0.0, 0.02]),
        (3.0, 3.0, [3.0]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected, abs=1e-12)


def test_short_numbers() -> None:
    assert [short(x) for x in (0.25, 12.0, 3_400.0, 1.25e6, 0.0)] == [
        "0.25",
        "12",
        "3.4k",
        "1.25M",
        "0",
    ]


def test_where_a_curve_is_drawn() -> None:
    curve = Curve("a", [Point(0.0, 0.0), Point(10.0, 4.0)], marked=(Point(5.0, 2.0), "chosen"))
    text = markup(line_chart("Loss", [curve], x_name="step"))
    assert 'points="0.0,1000.0 1000.0,0.0"' in text
    assert 'style="left:50.00%;top:50.00%" title="chosen"' in text
    summary = "Loss: a from 0 at step 0 to 4 at step 10"
    assert f'aria-label="{summary}"' in text
    plot = next(a for _, a in elements_of(text).tags if a.get("class") == "plot")
    assert json.loads(plot["data-curves"] or "") == [
        {"name": "a", "points": [[0, 0.0, 0.0], [10, 4.0, 1.0]]}
    ]


def test_whole_numbers_have_whole_ticks() -> None:
    def steps(right: float) -> list[str]:
        curve = Curve("a", [Point(1.0, 0.0), Point(right, 4.0)])
        return re.findall(
            r'class="step"[^>]*>([^<]+)<', markup(line_chart("", [curve], x_name="k"))
        )

    assert steps(2.0) == ["1", "2"]
    assert steps(1.5) == ["1", "1.1", "1.2", "1.3", "1.4", "1.5"]


def test_what_is_not_finite_breaks_the_line() -> None:
    points = [Point(0.0, 1), Point(1.0, 2), Point(2.0, math.nan), Point(3.0, 3)]
    text = markup(line_chart("Loss", [Curve("a", points)], x_name="step"))
    assert len(re.findall("<polyline", text)) == 2
    assert "not finite" in text


def test_no_points_and_a_single_one() -> None:
    assert "No figures." in markup(line_chart("Loss", [Curve("a", [])], x_name="step"))
    text = markup(line_chart("Loss", [Curve("a", [Point(3.0, 3)])], x_name="step"))
    assert len(re.findall("<polyline", text)) == 1


def test_the_table_is_short_and_has_the_marked_step() -> None:
    marked = (Point(501.0, 0.0), "chosen")
    text = markup(line_chart("Loss", [Curve("a", line(1_000), marked=marked)], x_name="step"))
    rows = re.findall(r'<th scope="row">([\d,]+)</th>', text)
    assert len(rows) <= MOST_ROWS + 1
    assert rows[-1] == "999"
    assert "501" in rows
    assert f"{len(rows)} of 1,000 steps" in text
