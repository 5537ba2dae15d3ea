"""Grids have every combination; random designs repeat nothing and are functions of the seed."""

from __future__ import annotations

import pytest

from flan_t5x.errors import UserError
from flan_t5x.sweep.axes import parse_axis
from flan_t5x.sweep.design import at, drawn, grid, require_method

AXES = (
    parse_axis("a", [1, 2, 3]),
    parse_axis("b", ["x", "y"]),
)
WIDE = (parse_axis("lr", {"log": [0.001, 1.0]}), parse_axis("r", {"simplex": ["p", "q"]}))


def labels(points: list) -> list[tuple[str, ...]]:
    return [tuple(setting.choice.label for setting in point) for point in points]


def test_grid() -> None:
    assert labels(grid(AXES)) == [
        ("1", "x"), ("1", "y"), ("2", "x"), ("2", "y"), ("3", "x"), ("3", "y")
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_draws_are_a_function_of_the_seed(method: str) -> None:
    first = labels(drawn(WIDE, method=method, points=9, seed=1))
    assert len(set(first)) == 9
    assert first == labels(drawn(WIDE, method=method, points=9, seed=1))
    assert first != labels(drawn(WIDE, method=method, points=9, seed=2))


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_a_small_space_is_exhausted_not_repeated(method: str) -> None:
    assert sorted(labels(drawn(AXES, method=method, points=64, seed=0))) == labels(grid(AXES))


def test_sobol_covers_every_stretch() -> None:
    """Of 16 points of a scrambled Sobol sequence one lies in each sixteenth of an axis."""
    points = drawn(WIDE[:1], method="sobol", points=16, seed=5)
    numbers = sorted(point[0].choice.number for point in points)
    edges = [0.001 * 1000 ** (i / 16) for i in range(17)]
    for i, number in enumerate(numbers):
        assert edges[i] * 0.999 <= number <= edges[i + 1] * 1.001


def test_each_axis_takes_its_own_part_of_the_cube() -> None:
    point = at(WIDE, [0.5, 0.2, 0.2])
    assert point[0].choice.number == pytest.approx(0.0316228)
    assert point[1].choice.rates == {"p": 0.5, "q": 0.5}


def test_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'random'"):
        require_method("randon", 3)
    with pytest.raises(UserError, match="a grid has all"):
        require_method("grid", 3)
    with pytest.raises(UserError, match="whole number >= 1"):
        require_method("sobol", None)
