"""Where mixtures lie in the pictures, and how they are told apart without colours."""

from __future__ import annotations

import doctest
import math
import re
from collections.abc import Sequence

import pytest

from flan_t5x.pages.elements import markup
from flan_t5x.sweep import ternary
from flan_t5x.sweep.heat import heat
from flan_t5x.sweep.outcome import Blend, outcome
from flan_t5x.sweep.parallel_coordinates import parallel_coordinates
from flan_t5x.sweep.table import SCORE
from tests.sweep.tables import done, rates_axis, whole


def blend(
    parts: Sequence[str], points: Sequence[Sequence[float]], scores: Sequence[float]
) -> Blend:
    axis, choices = rates_axis("rates", parts, points)
    rows = [
        done(2 * i + seed, {"rates": choice}, seed, score + 0.001 * (seed if i else 2 * seed))
        for i, (choice, score) in enumerate(zip(choices, scores, strict=True))
        for seed in range(2)
    ]
    (found,) = outcome(whole((axis,), rows), SCORE).blends
    return found


def test_docstrings() -> None:
    assert doctest.testmod(ternary).failed == 0


def test_the_triangle_has_equal_sides() -> None:
    corners = [ternary.place([float(i == part) for i in range(3)]) for part in range(3)]
    sides = [math.dist(corners[i], corners[(i + 1) % 3]) for i in range(3)]
    assert sides == pytest.approx([sides[0]] * 3)
    middle = ternary.place((1 / 3, 1 / 3, 1 / 3))
    assert middle == pytest.approx([sum(c[i] for c in corners) / 3 for i in range(2)])


def test_points_of_a_triangle() -> None:
    shown = blend("abc", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], [0.6, 0.6, 0.1])
    assert shown.comparison.alike == ("1:0:0",) or shown.comparison.alike == ("0:1:0",)
    text = markup(ternary.ternary(shown, metric="score", higher=True))
    kinds = re.findall(r'<g class="([^"]+)" style="--share:(\d+)"><title>([^<]+)</title>', text)
    assert [kind for kind, *_ in kinds] == ["heat worse", "heat", "heat"]
    assert kinds[0][1:] == ("0", "a 0 %, b 0 %, c 100 %: 0.101 ± 0.006")
    assert kinds[-1][1] == "100"
    assert text.count('class="ring"') == 1
    assert 'aria-label="score over mixtures of a, b, c; best: a 100 %, b 0 %, c 0 %, 0.601' in text
    assert "the model's optimum" not in text  # three mixtures do not determine it


def test_a_long_name_is_cut_at_its_corner_alone() -> None:
    name = "a_part_with_quite_a_long_name"
    shown = blend((name, "b", "c"), [(1, 0, 0), (0, 1, 0)], [0.6, 0.5])
    text = markup(ternary.ternary(shown, metric="score", higher=True))
    assert f">{name[:19]}…</text>" in text
    assert f"{name} 100 %" in text


def test_lines_over_upright_scales() -> None:
    shown = blend("abcd", [(0.5, 0.5, 0, 0), (0, 0, 0.25, 0.75)], [0.6, 0.1])
    text = markup(parallel_coordinates(shown, metric="score", higher=True))
    lines = re.findall(r'<polyline points="([^"]+)" class="([^"]+)"', text)
    assert lines == [
        ("0.0,1000.0 333.3,1000.0 666.7,666.7 1000.0,0.0", "line heat worse"),
        ("0.0,333.3 333.3,333.3 666.7,1000.0 1000.0,1000.0", "line heat best"),
    ]
    assert re.findall(r"<li>(\w)</li>", text) == list("abcd")
    assert re.findall(r'class="level"[^>]*>([^<]+)<', text) == ["0 %", "20 %", "40 %", "60 %"]


def test_heat() -> None:
    shown = blend("ab", [(1, 0), (0.5, 0.5), (0, 1)], [0.6, 0.35, 0.1]).comparison
    names = ("1:0", "0.5:0.5", "0:1")
    assert [heat(shown, name, higher=True) for name in names] == pytest.approx(
        [1.0, 0.5, 0.0], abs=0.01
    )
    assert heat(shown, "1:0", higher=False) == 0.0
