"""The mixture model: exact recovery, the exact optimum, errors of points left out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.sweep.scheffe import Model, optimum, scheffe_fit
from flan_t5x.sweep.statistics import Undefined

PARTS = ("a", "b", "c")
LATTICE = [
    tuple(n / 4 for n in counts)
    for counts in itertools.product(range(5), repeat=3)
    if sum(counts) == 4
]


def symmetric(blending: dict[tuple[int, int], float], count: int = 3) -> np.ndarray:
    matrix = np.zeros((count, count))
    for (i, j), value in blending.items():
        matrix[i, j] = matrix[j, i] = value / 2
    return matrix


def model(points: list[tuple[tuple[float, ...], list[float]]], *, higher: bool = True) -> Model:
    found = scheffe_fit(PARTS, points, higher=higher)
    assert not isinstance(found, Undefined)
    return found


def figure(shares: tuple[float, ...]) -> float:
    a, b, c = shares
    return 0.3 * a + 0.4 * b + 0.2 * c + 0.6 * a * b - 0.2 * a * c


def test_it_recovers_what_is_exact() -> None:
    found = model([(shares, [figure(shares)]) for shares in LATTICE])
    assert found.linear == pytest.approx([0.3, 0.4, 0.2])
    assert found.blending == pytest.approx(symmetric({(0, 1): 0.6, (0, 2): -0.2}), abs=1e-12)
    assert found.r_squared == pytest.approx(1.0)
    assert found.error == pytest.approx(0.0, abs=1e-12)
    assert found.at((0.2, 0.3, 0.5)) == pytest.approx(figure((0.2, 0.3, 0.5)))
    # On the edge a + b = 1: 0.3 a + 0.4 (1 - a) + 0.6 a (1 - a) is greatest at a = 5/12.
    assert list(found.optimum.values()) == pytest.approx([5 / 12, 7 / 12, 0.0], abs=1e-9)
    assert found.expected.mean == pytest.approx(figure((5 / 12, 7 / 12, 0.0)))
    assert math.isnan(found.expected.half)  # no run deviates
    assert found.inside
    least = model([(shares, [figure(shares)]) for shares in LATTICE], higher=False)
    # On the edge a + c = 1: 0.2 - 0.1 a + 0.2 a^2.
    assert list(least.optimum.values()) == pytest.approx([0.25, 0.0, 0.75], abs=1e-9)


def test_runs_are_weighed_by_their_number() -> None:
    """Least squares over all runs, by numpy on a row for each run."""
    generator = np.random.default_rng(3)
    points = [
        (shares, list(figure(shares) + 0.05 * generator.normal(size=1 + i % 3)))
        for i, shares in enumerate(LATTICE)
    ]
    found = model(points)
    rows = np.array([shares for shares, values in points for _ in values])
    terms = np.column_stack([rows, *(rows[:, i] * rows[:, j] for i, j in ((0, 1), (0, 2), (1, 2)))])
    y = np.array([value for _, values in points for value in values])
    expected, residual, *_ = np.linalg.lstsq(terms, y, rcond=None)
    assert found.linear == pytest.approx(expected[:3])
    assert [2 * found.blending[i, j] for i, j in ((0, 1), (0, 2), (1, 2))] == pytest.approx(
        list(expected[3:])
    )
    assert found.r_squared == pytest.approx(1 - residual[0] / np.sum((y - y.mean()) ** 2))
    gaps = []
    for i, (shares, values) in enumerate(points):
        rest = model([p for k, p in enumerate(points) if k != i])
        gaps.append(np.mean(values) - rest.at(shares))
    assert found.error == pytest.approx(math.sqrt(np.mean(np.square(gaps))))
    assert found.predicts
    assert found.expected.half > 0


@given(
    st.lists(st.integers(-10, 10), min_size=3, max_size=3),
    st.lists(st.integers(-10, 10), min_size=3, max_size=3),
)
def test_no_mixture_is_better_than_the_optimum(linear: list[int], pairs: list[int]) -> None:
    alone = np.array(linear, float)
    blending = symmetric(dict(zip(((0, 1), (0, 2), (1, 2)), map(float, pairs), strict=True)))
    best = optimum(alone, blending)
    assert best.min() >= 0
    assert best.sum() == pytest.approx(1.0)
    grid = np.array([(i / 20, j / 20, (20 - i - j) / 20) for i in range(21) for j in range(21 - i)])
    heights = grid @ alone + np.einsum("ni,ij,nj->n", grid, blending, grid)
    assert best @ alone + best @ blending @ best >= heights.max() - 1e-9


def test_where_the_mixtures_do_not_reach() -> None:
    near = [tuple(0.2 / 3 + 0.8 * s for s in shares) for shares in LATTICE]
    assert not model([(shares, [shares[0]]) for shares in near]).inside


def test_what_is_undefined_is_said() -> None:
    few = scheffe_fit(PARTS, [(shares, [1.0]) for shares in LATTICE[:5]])
    assert few == "5 distinct mixtures, and the model has 6 terms"
    edge = [(i / 9, 1 - i / 9, 0.0) for i in range(9)]
    on_edge = scheffe_fit(PARTS, [(shares, [1.0]) for shares in edge])
    assert on_edge == "the mixtures that were run do not determine the 6 terms"
    just = [s for s in LATTICE if max(s) in (1.0, 0.5) and 0.25 not in s]
    saturated = model([(shares, [figure(shares)]) for shares in just])
    assert isinstance(saturated.error, Undefined)
    assert math.isnan(saturated.expected.half)
    assert not saturated.predicts
    flat = model([(shares, [0.5]) for shares in LATTICE])
    assert flat.r_squared == "all runs have the same figure"
