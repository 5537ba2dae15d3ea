"""Scheffé's quadratic mixture model: a figure as a polynomial of shares that sum to 1.

y = sum_i b_i x_i + sum_{i<j} b_ij x_i x_j (Scheffé 1958, "Experiments with mixtures"). There is no
constant and no square: the shares' sum makes both superfluous.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from flan_t5x.evaluation.seeds import Interval
from flan_t5x.sweep.statistics import Undefined, negligible

MOST_PARTS = 12
"""The optimum is looked for on each of the simplex's 2^parts - 1 faces."""

Rates = Float[np.ndarray, "points parts"]


@dataclass(frozen=True)
class Model:
    """A fitted model.

    Attributes:
        parts: names of what is mixed.
        linear: [parts], the figure that each part alone is expected to give.
        blending: [parts, parts], symmetric with zeros on the diagonal: b_ij / 2.
        r_squared: share of the variance over runs.
        error: root mean square error of the means of points that were left out one at a time.
        plain_error: likewise of the mean of the other points instead of the model.
        optimum: part -> share, where the model is best on the whole simplex.
        expected: the model there; the half of its 95 % interval is NaN where it is undefined. The
            interval is that of one point, not of a point that was chosen for its height.
        inside: whether the optimum lies among the points that were run (in their convex hull).
    """

    parts: tuple[str, ...]
    linear: Float[np.ndarray, " parts"]
    blending: Float[np.ndarray, "parts parts"]
    r_squared: float | Undefined
    error: float | Undefined
    plain_error: float | Undefined
    optimum: Mapping[str, float]
    expected: Interval
    inside: bool

    @property
    def predicts(self) -> bool:
        """Whether it foretells points that it has not seen better than their mean does."""
        return (
            not isinstance(self.error, Undefined)
            and not isinstance(self.plain_error, Undefined)
            and self.error < self.plain_error
        )

    def at(self, rates: Sequence[float]) -> float:
        """The expected figure of a mixture."""
        shares = np.asarray(rates, float)
        return float(self.linear @ shares + shares @ self.blending @ shares)


def scheffe_fit(
    parts: Sequence[str],
    points: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    higher: bool = True,
) -> Model | Undefined:
    """Least squares over all runs.

    Args:
        parts: names of what is mixed.
        points: distinct mixtures: the shares, and the figures of their runs.
        higher: whether the optimum is the greatest figure.
    """
    count = len(parts)
    needed = count * (count + 1) // 2
    if count > MOST_PARTS:
        return Undefined(f"more than {MOST_PARTS} parts")
    if len(points) < needed:
        return Undefined(f"{len(points)} distinct mixtures, and the model has {needed} terms")
    rates = np.array([shares for shares, _ in points], float)
    means = np.array([sum(values) / len(values) for _, values in points])
    weights = np.array([len(values) for _, values in points], float)
    terms = _terms(rates)
    if not _determined(terms):
        return Undefined(f"the mixtures that were run do not determine the {needed} terms")
    found = _solve(terms, means, weights)
    linear, blending = _coefficients(found, count)
    values = np.concatenate([np.asarray(v, float) for _, v in points])
    fitted = np.repeat(terms @ found, weights.astype(int))
    residual = float(np.sum((values - fitted) ** 2))
    total = float(np.sum((values - values.mean()) ** 2))
    exact = negligible(math.sqrt(residual / len(values)), values)
    flat = negligible(math.sqrt(total / len(values)), values)
    best = optimum(linear, blending, higher=higher)
    error, plain = _left_out(terms, means, weights)
    return Model(
        tuple(parts),
        linear,
        blending,
        Undefined("all runs have the same figure") if flat else 1 - residual / total,
        error,
        plain,
        dict(zip(parts, best.tolist(), strict=True)),
        _expected(best, found, terms, weights, math.nan if exact else residual),
        _inside(best, rates),
    )


def optimum(
    linear: Float[np.ndarray, " parts"],
    blending: Float[np.ndarray, "parts parts"],
    *,
    higher: bool = True,
) -> Float[np.ndarray, " parts"]:
    """Where a quadratic model is greatest (or least) on the simplex, exactly.

    Within each face (the parts that are not 0) the gradient must be the same for all parts, which
    is one linear system. Where that is singular, the model is constant along a line that leads to
    a smaller face, which is looked at as well.
    """
    count, sign = len(linear), 1.0 if higher else -1.0
    best, height = np.eye(count)[0], -math.inf
    for size in range(1, count + 1):
        for face in combinations(range(count), size):
            shares = _stationary(linear[list(face)], blending[np.ix_(face, face)])
            if shares is None or shares.min() < 0:
                continue
            point = np.zeros(count)
            point[list(face)] = shares
            value = sign * float(linear @ point + point @ blending @ point)
            if value > height + 1e-12 * max(abs(value), 1.0):  # of equal ones the fewest parts
                best, height = point, value
    return best


def _stationary(
    linear: Float[np.ndarray, " face"], blending: Float[np.ndarray, "face face"]
) -> Float[np.ndarray, " face"] | None:
    """Shares that sum to 1 where the gradient linear + 2 blending x is constant."""
    size = len(linear)
    system = np.zeros((size + 1, size + 1))
    system[:size, :size] = 2 * blending
    system[:size, size] = -1.0
    system[size, :size] = 1.0
    scale = max(float(np.abs(blending).max()), 1e-300)
    system[:size, :size] /= scale
    if size > 1 and np.linalg.cond(system) > 1e12:
        return None
    right = np.append(-linear / scale, 1.0)
    if size == 1:
        return np.ones(1)
    solved: Float[np.ndarray, " face"] = np.linalg.solve(system, right)[:size]
    return solved


def _terms(rates: Rates) -> Float[np.ndarray, "points terms"]:
    pairs = [rates[:, i] * rates[:, j] for i, j in combinations(range(rates.shape[1]), 2)]
    return np.column_stack([rates, *pairs])


def _coefficients(
    found: Float[np.ndarray, " terms"], count: int
) -> tuple[Float[np.ndarray, " parts"], Float[np.ndarray, "parts parts"]]:
    blending = np.zeros((count, count))
    for (i, j), value in zip(combinations(range(count), 2), found[count:], strict=True):
        blending[i, j] = blending[j, i] = value / 2
    return found[:count], blending


def _determined(terms: Float[np.ndarray, "points terms"]) -> bool:
    return len(terms) >= terms.shape[1] and np.linalg.matrix_rank(terms) == terms.shape[1]


def _solve(
    terms: Float[np.ndarray, "points terms"],
    means: Float[np.ndarray, " points"],
    weights: Float[np.ndarray, " points"],
) -> Float[np.ndarray, " terms"]:
    """Least squares of the means, weighted by their runs: the same as that of all runs."""
    root = np.sqrt(weights)
    solved: Float[np.ndarray, " terms"] = np.linalg.lstsq(
        terms * root[:, None], means * root, rcond=None
    )[0]
    return solved


def _left_out(
    terms: Float[np.ndarray, "points terms"],
    means: Float[np.ndarray, " points"],
    weights: Float[np.ndarray, " points"],
) -> tuple[float | Undefined, float | Undefined]:
    """Errors of the model and of the mean, each point foretold from the others."""
    gaps, plain = [], []
    for i in range(len(means)):
        kept = np.arange(len(means)) != i
        if not _determined(terms[kept]):
            missing = Undefined("without one of the mixtures the others do not determine the model")
            return missing, missing
        found = _solve(terms[kept], means[kept], weights[kept])
        gaps.append(means[i] - terms[i] @ found)
        plain.append(means[i] - np.average(means[kept], weights=weights[kept]))
    return math.sqrt(np.mean(np.square(gaps))), math.sqrt(np.mean(np.square(plain)))


def _expected(
    best: Float[np.ndarray, " parts"],
    found: Float[np.ndarray, " terms"],
    terms: Float[np.ndarray, "points terms"],
    weights: Float[np.ndarray, " points"],
    residual: float,
) -> Interval:
    """The model's mean at a point, with its interval from the residuals of all runs (or NaN)."""
    row = _terms(best[None])[0]
    freedom = int(weights.sum()) - terms.shape[1]
    if freedom == 0:
        return Interval(float(row @ found), math.nan)
    from scipy.special import stdtrit

    inverse = np.linalg.inv(terms.T @ (terms * weights[:, None]))
    error = math.sqrt(residual / freedom * float(row @ inverse @ row))
    return Interval(float(row @ found), float(stdtrit(freedom, 0.975)) * error)


def _inside(best: Float[np.ndarray, " parts"], rates: Rates) -> bool:
    """Whether a point is an average of others, by a linear program."""
    from scipy.optimize import linprog

    equal = np.vstack([rates.T, np.ones(len(rates))])
    found = linprog(np.zeros(len(rates)), A_eq=equal, b_eq=np.append(best, 1.0))
    return bool(found.status == 0)
