"""Curves: thinning, round numbers, what is drawn where."""

from __future__ import annotations

import json
import math
import re

import pytest

from flan_t5x.pages.elements import markup
from flan_t5x.pages.line_chart import MOST_ROWS, Curve, Point, line_chart, thinned
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


def test_intervals_are_drawn_read_and_listed() -> None:
    points = [Point(1.0, 2.0, 1.0, 3.0), Point(2.0, 3.0, 2.0, 5.0), Point(3.0, 4.0)]
    text = markup(line_chart("Loss", [Curve("a", points)], x_name="k"))
    # y from 1 to 5: the intervals belong to what is drawn.
    assert re.findall('<polygon points="([^"]+)"', text) == [
        "0.0,1000.0 0.0,500.0 500.0,0.0 500.0,750.0"
    ]
    spreads = [a for _, a in elements_of(text).tags if a.get("class") == "spread s0"]
    assert [(a["x1"], a["y1"], a["y2"]) for a in spreads] == [
        ("0", "1000", "500"),
        ("500", "750", "0"),
    ]
    plot = next(a for _, a in elements_of(text).tags if a.get("class") == "plot")
    assert json.loads(plot["data-curves"] or "")[0]["points"] == [
        [1, 2.0, 0.0, 1.0, 3.0],
        [2, 3.0, 0.5, 2.0, 5.0],
        [3, 4.0, 1.0],
    ]
    assert re.findall(r"<td[^>]*>([^<]+)<", text) == ["2 [1, 3]", "3 [2, 5]", "4"]


def test_bands_of_many_curves_are_left_out() -> None:
    points = [Point(1.0, 2.0, 1.0, 3.0), Point(2.0, 3.0, 2.0, 5.0)]
    for count, bands in ((2, 2), (3, 0)):
        curves = [Curve(f"{i}", points) for i in range(count)]
        text = markup(line_chart("", [*curves, Curve("plain", line(3))], x_name="k"))
        assert text.count("<polygon") == bands
        assert text.count('class="spread s0"') == 2 * count


def test_an_interval_beyond_the_bounds_ends_at_the_edge() -> None:
    curve = Curve("a", [Point(1.0, 0.5, -9.0, 9.0), Point(2.0, 0.5)])
    text = markup(line_chart("", [curve], x_name="k", bounds=(0.0, 1.0)))
    spread = next(a for _, a in elements_of(text).tags if a.get("class") == "spread s0")
    assert (spread["y1"], spread["y2"]) == ("1000", "0")
    assert "0.5 [-9, 9]" in text


def test_a_logarithmic_x() -> None:
    curve = Curve("a", [Point(0.001, 0.0), Point(0.01, 1.0), Point(1.0, 3.0)])
    text = markup(line_chart("Loss", [curve], x_name="rate", scale="log"))
    assert 'points="0.0,1000.0 333.3,666.7 1000.0,0.0"' in text
    assert re.findall(r'class="step" style="left:([\d.]+)%">([^<]+)<', text) == [
        ("0.00", "0.001"),
        ("33.33", "0.01"),
        ("100.00", "1"),
    ]
    assert re.findall(r'<th scope="row">([^<]+)</th>', text) == ["0.001", "0.01", "1"]
    with pytest.raises(ValueError, match="x 0 on a logarithmic scale"):
        line_chart("", [Curve("a", [Point(0.0, 0.0)])], x_name="rate", scale="log")


def test_signs_tell_curves_apart_without_colours() -> None:
    curves = [Curve("a", [Point(0.0, 0.0), Point(1.0, 1.0)], sign="A"), Curve("b", line(3))]
    text = markup(line_chart("", curves, x_name="k"))
    assert text.count(">A</span>") == 3  # two points and the legend
    assert 'class="sign s0" style="left:50.00%;top:50.00%"' in text


def test_points_that_no_line_joins() -> None:
    points = [Point(0.0, 0.0, -1.0, 1.0), Point(1.0, 1.0, 0.0, 2.0)]
    curve = Curve("a", points, sign="A", joined=False)
    text = markup(line_chart("", [curve], x_name="k"))
    assert "<polyline" not in text
    assert "<polygon" not in text
    assert text.count('class="spread s0"') == 2
