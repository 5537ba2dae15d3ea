"""Whether a figure follows a straight line in a number, or in its logarithm, and how steep it is.

Least squares over all runs. Runs that differ in their seeds alone give the pure error; what the
means of the choices deviate from the line beyond that is tested by F (lack of fit; Draper and
Smith, Applied Regression Analysis, section 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from flan_t5x.evaluation.seeds import Interval
from flan_t5x.sweep.statistics import LEVEL, Undefined, negligible, welch


@dataclass(frozen=True)
class Jump:
    """The largest difference between the means at neighbouring x.

    Attributes:
        left: x below it.
        right: x above it.
        gap: right less left, with Welch's interval; the half is NaN where it is undefined.
    """

    left: float
    right: float
    gap: Interval


@dataclass(frozen=True)
class Departure:
    """The test of the line itself.

    Attributes:
        statistic: F.
        freedom: degrees of freedom of the lack of fit, and of the pure error.
        p_value: how often chance alone deviates as much from a true line.
        jump: where to look, if it is not a line.
    """

    statistic: float
    freedom: tuple[int, int]
    p_value: float
    jump: Jump

    @property
    def seen(self) -> bool:
        """Whether the line is refuted."""
        return self.p_value < LEVEL


@dataclass(frozen=True)
class Fit:
    """y = intercept + slope * x, where x may be a logarithm to base 2.

    Attributes:
        intercept: y where x is 0.
        slope: change of y for 1 more of x, with the half of its 95 % interval (NaN: undefined).
        p_value: of slope 0, two-sided.
        r_squared: share of the variance of y.
        departure: the test of lack of fit.
        runs: their number.
    """

    intercept: float
    slope: Interval
    p_value: float | Undefined
    r_squared: float | Undefined
    departure: Departure | Undefined
    runs: int


def linear_fit(x: Sequence[float], y: Sequence[float]) -> Fit | Undefined:
    """The line through runs.

    Args:
        x: a value for each run; equal ones are replicates.
        y: their figures.

    Example:
        >>> fit = linear_fit([0, 0, 1, 1, 2, 2], [1.0, 1.2, 2.0, 2.2, 3.0, 3.2])
        >>> round(fit.intercept, 6), round(fit.slope.mean, 6), round(fit.departure.p_value, 6)
        (1.1, 1.0, 1.0)
    """
    groups: dict[float, list[float]] = {}
    for place, value in zip(x, y, strict=True):
        groups.setdefault(place, []).append(value)
    if len(groups) < 2:
        return Undefined("a line needs two values")
    runs = len(y)
    x_mean, y_mean = sum(x) / runs, sum(y) / runs
    x_squares = sum((a - x_mean) ** 2 for a in x)
    slope = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / x_squares
    intercept = y_mean - slope * x_mean
    residual = sum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    total = sum((b - y_mean) ** 2 for b in y)
    half, p_value = _slope_test(slope, residual, x_squares, y)
    flat = negligible(math.sqrt(total / runs), y)
    return Fit(
        intercept,
        Interval(slope, half),
        p_value,
        Undefined("all runs have the same figure") if flat else 1 - residual / total,
        _departure(groups, residual),
        runs,
    )


def log_linear_fit(x: Sequence[float], y: Sequence[float]) -> Fit | Undefined:
    """y = intercept + slope * log2(x): the slope is the change for each doubling of x.

    Example:
        >>> fit = log_linear_fit([1, 2, 4, 8], [0.1, 0.2, 0.3, 0.4])
        >>> round(fit.slope.mean, 6)
        0.1
    """
    if any(value <= 0 for value in x):
        return Undefined("a logarithm needs values above 0")
    fit = linear_fit([math.log2(value) for value in x], y)
    if isinstance(fit, Undefined) or isinstance(fit.departure, Undefined):
        return fit
    own = {math.log2(value): float(value) for value in x}
    jump = fit.departure.jump
    jump = replace(jump, left=own[jump.left], right=own[jump.right])
    return replace(fit, departure=replace(fit.departure, jump=jump))


def _slope_test(
    slope: float, residual: float, x_squares: float, y: Sequence[float]
) -> tuple[float, float | Undefined]:
    """Half of the slope's interval, and the p-value of no slope."""
    freedom = len(y) - 2
    if freedom == 0:
        return math.nan, Undefined("two runs lie on a line whatever they are")
    if negligible(math.sqrt(residual / len(y)), y):
        return math.nan, Undefined("no run deviates from the line")
    from scipy.special import stdtr, stdtrit

    error = math.sqrt(residual / freedom / x_squares)
    p_value = float(2 * stdtr(freedom, -abs(slope) / error))
    return float(stdtrit(freedom, 0.975)) * error, p_value


def _departure(groups: dict[float, list[float]], residual: float) -> Departure | Undefined:
    """F of the lack of fit: (residual - pure) / (groups - 2) over pure / (runs - groups)."""
    values = [value for group in groups.values() for value in group]
    lack, error = len(groups) - 2, len(values) - len(groups)
    if lack == 0:
        return Undefined("two values lie on a line whatever they are")
    if error == 0:
        return Undefined("no choice was run with two seeds")
    pure = sum(sum((v - sum(g) / len(g)) ** 2 for v in g) for g in groups.values())
    if negligible(math.sqrt(pure / len(values)), values):
        return Undefined("the seeds of a choice do not differ in their figures")
    from scipy.special import fdtrc

    beyond = max(residual - pure, 0.0)
    if negligible(math.sqrt(beyond / len(values)), values):
        beyond = 0.0
    statistic = beyond / lack / (pure / error)
    p_value = float(fdtrc(lack, error, statistic))
    return Departure(statistic, (lack, error), p_value, _jump(groups))


def _jump(groups: dict[float, list[float]]) -> Jump:
    xs = sorted(groups)
    gaps = [Jump(a, b, welch(groups[a], groups[b])[0]) for a, b in pairwise(xs)]
    return max(gaps, key=lambda jump: abs(jump.gap.mean))
