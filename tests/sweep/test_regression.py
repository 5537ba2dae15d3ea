"""Lines and the test of lack of fit, against sums by hand and scipy."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flan_t5x.sweep import regression
from flan_t5x.sweep.regression import Departure, Fit, linear_fit, log_linear_fit
from flan_t5x.sweep.statistics import Undefined, welch


def test_docstrings() -> None:
    assert doctest.testmod(regression).failed == 0


def fitted(x: list[float], y: list[float], *, log: bool = False) -> Fit:
    fit = log_linear_fit(x, y) if log else linear_fit(x, y)
    assert not isinstance(fit, Undefined)
    return fit


def departure(fit: Fit) -> Departure:
    assert not isinstance(fit.departure, Undefined)
    return fit.departure


@given(
    st.lists(st.tuples(st.integers(0, 6), st.floats(-5, 5)), min_size=3, max_size=20).filter(
        lambda runs: len({x for x, _ in runs}) > 1
    )
)
def test_the_line_is_scipys(runs: list[tuple[int, float]]) -> None:
    x, y = [float(a) for a, _ in runs], [b for _, b in runs]
    fit, theirs = fitted(x, y), stats.linregress(x, y)
    assert fit.slope.mean == pytest.approx(theirs.slope, abs=1e-9)
    assert fit.intercept == pytest.approx(theirs.intercept, abs=1e-9)
    if not isinstance(fit.p_value, Undefined) and theirs.stderr > 1e-6:
        half = theirs.stderr * stats.t.ppf(0.975, len(x) - 2)
        assert fit.slope.half == pytest.approx(half, rel=1e-5)
        assert fit.p_value == pytest.approx(theirs.pvalue, rel=1e-5, abs=1e-12)
        assert fit.r_squared == pytest.approx(theirs.rvalue**2, abs=1e-6)


def test_lack_of_fit_by_hand() -> None:
    # Means 2, 6, 3; line 8/3 + x/2 through 3 1/6, 3 2/3, 4 1/6; pure error 6 with 3 degrees.
    fit = fitted([1, 1, 2, 2, 3, 3], [1, 3, 5, 7, 2, 4])
    assert (fit.intercept, fit.slope.mean) == pytest.approx((8 / 3, 0.5))
    found = departure(fit)
    assert found.freedom == (1, 3)
    assert found.statistic == pytest.approx((2 * (49 + 196 + 49) / 36) / (6 / 3))
    assert found.p_value == pytest.approx(stats.f.sf(49 / 6, 1, 3))
    assert not found.seen  # p = 0.065
    assert (found.jump.left, found.jump.right) == (1, 2)
    assert found.jump.gap == welch([1, 3], [5, 7])[0]


@given(st.lists(st.lists(st.floats(-5, 5), min_size=2, max_size=4), min_size=3, max_size=6))
def test_lack_of_fit_compares_two_models(groups: list[list[float]]) -> None:
    """The same F from the residuals of the line and of a mean for each x, by least squares."""
    x = [float(i) for i, group in enumerate(groups) for _ in group]
    y = [value for group in groups for value in group]
    fit = fitted(x, y)
    if isinstance(fit.departure, Undefined):
        return
    places = np.array(x)
    line = np.column_stack([np.ones(len(x)), places])
    means = (places[:, None] == np.arange(len(groups))).astype(float)
    left = [
        float(np.sum((np.array(y) - m @ np.linalg.lstsq(m, np.array(y), rcond=None)[0]) ** 2))
        for m in (line, means)
    ]
    if left[1] < 1e-6:
        return
    free = (len(groups) - 2, len(x) - len(groups))
    statistic = max(left[0] - left[1], 0.0) / free[0] / (left[1] / free[1])
    assert fit.departure.freedom == free
    assert fit.departure.statistic == pytest.approx(statistic, rel=1e-6, abs=1e-6)


def test_a_step_is_seen_and_found() -> None:
    x = [s for s in (1.0, 2.0, 4.0, 8.0) for _ in range(3)]
    y = [0.1, 0.11, 0.12, 0.1, 0.11, 0.12, 0.6, 0.61, 0.62, 0.6, 0.61, 0.62]
    found = departure(fitted(x, y, log=True))
    assert found.seen
    assert (found.jump.left, found.jump.right) == (2.0, 4.0)
    assert found.jump.gap.mean == pytest.approx(0.5)
    theirs = stats.ttest_ind(y[6:9], y[3:6], equal_var=False).confidence_interval()
    assert found.jump.gap.half == pytest.approx((theirs[1] - theirs[0]) / 2)


def test_the_slope_is_the_change_for_each_doubling() -> None:
    x = [1e-4, 2e-4, 4e-4, 8e-4]
    logged, plain = fitted(x, [1, 2, 4, 3], log=True), fitted([0, 1, 2, 3], [1, 2, 4, 3])
    assert logged.slope.mean == pytest.approx(plain.slope.mean)
    assert logged.slope.half == pytest.approx(plain.slope.half)
    assert logged.intercept != pytest.approx(plain.intercept)


def test_what_is_undefined_is_said() -> None:
    assert linear_fit([1, 1], [1, 2]) == "a line needs two values"
    assert linear_fit([], []) == "a line needs two values"
    assert log_linear_fit([0, 1], [1, 2]) == "a logarithm needs values above 0"
    two = fitted([1, 2], [1, 3])
    assert two.slope.mean == 2
    assert math.isnan(two.slope.half)
    assert two.p_value == "two runs lie on a line whatever they are"
    assert two.departure == "two values lie on a line whatever they are"
    exact = fitted([1, 2, 3], [0.1, 0.2, 0.3])
    assert exact.p_value == "no run deviates from the line"
    assert exact.departure == "no choice was run with two seeds"
    same = fitted([1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 1, 1])
    assert same.departure == "the seeds of a choice do not differ in their figures"
    flat = fitted([1, 1, 2, 2, 3, 3], [0.3] * 6)
    assert flat.r_squared == "all runs have the same figure"
    assert isinstance(flat.p_value, Undefined)
