"""What seeds say about choices: means with intervals, and differences to the best choice.

Intervals are 95 %, Student's t over runs. Two choices are compared on the blocks (seeds) that both
have, by the paired t test, or by Welch's where fewer than two are shared; Holm's correction is for
the number of comparisons. Both tests take the runs of a choice for draws from one normal law.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flan_t5x.evaluation.seeds import Interval, interval
from flan_t5x.sweep.table import COST, Axis, Choice, Table

LEVEL = 0.05
"""A p-value below it is called a difference, or a departure."""


TOGETHER = "all other choices together"
"""Label of a group in which the other choices are not the same."""


class Undefined(str):
    """Why there is no figure, in a few words."""

    __slots__ = ()


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seeds alone.

    Attributes:
        choices: axis name -> choice.
        values: seed -> the figure.
    """

    choices: Mapping[str, Choice]
    values: Mapping[int, float]

    @property
    def mean(self) -> Interval:
        """Over seeds; the half is NaN for one seed."""
        return interval(list(self.values.values()))

    def label(self, axes: Iterable[Axis]) -> str:
        """The choices on some axes, as they are shown."""
        return ", ".join(f"{axis.name} {self.choices[axis.name].label}" for axis in axes)


@dataclass(frozen=True)
class Difference:
    """A choice less the best one.

    Attributes:
        name: of the choice.
        gap: mean and half width; the half is NaN where it is undefined.
        p_value: two-sided, of this comparison alone.
        adjusted: after Holm's correction.
        blocks: shared with the best, where the test is paired; 0 where it is Welch's.
    """

    name: str
    gap: Interval
    p_value: float | Undefined
    adjusted: float | Undefined
    blocks: int

    @property
    def told_apart(self) -> bool:
        """Whether the choice differs from the best one by more than chance."""
        return not isinstance(self.adjusted, Undefined) and self.adjusted < LEVEL


@dataclass(frozen=True)
class Comparison:
    """Choices against the best of them.

    Attributes:
        best: name of the choice with the best mean, the first one of several.
        means: name -> mean and half width (NaN for one run).
        runs: name -> number of runs.
        differences: name -> its difference to the best; the best has none.
    """

    best: str
    means: Mapping[str, Interval]
    runs: Mapping[str, int]
    differences: Mapping[str, Difference]

    @property
    def alike(self) -> tuple[str, ...]:
        """What chance may have put behind the best one, the nearest first."""
        found = [d for d in self.differences.values() if not d.told_apart]
        return tuple(d.name for d in sorted(found, key=lambda d: abs(d.gap.mean)))


def higher_is_better(metric: str) -> bool:
    """All figures are scores besides what a run costs and losses."""
    return not metric.startswith(COST) and not metric.endswith("loss")


def cells(table: Table, metric: str) -> list[Cell]:
    """The figure of all finished runs that have it, by choices, in the order of the axes.

    Two runs of the same choices and seed are the same run: the first one counts.
    """
    found: dict[tuple[str, ...], dict[int, float]] = {}
    choices: dict[tuple[str, ...], Mapping[str, Choice]] = {}
    for row in table.rows:
        value = row.figures.get(metric, math.nan)
        if row.status == "done" and math.isfinite(value):
            key = tuple(row.choices[axis.name].label for axis in table.axes)
            found.setdefault(key, {}).setdefault(row.seed, value)
            choices.setdefault(key, row.choices)
    places = [{label: i for i, label in enumerate(axis.choices)} for axis in table.axes]

    def place(key: tuple[str, ...]) -> list[int]:
        return [known.get(label, len(known)) for known, label in zip(places, key, strict=True)]

    return [Cell(choices[key], found[key]) for key in sorted(found, key=place)]


def by_others(
    found: Sequence[Cell], axis: Axis, axes: Sequence[Axis]
) -> list[tuple[str, list[Cell]]]:
    """Cells that differ on one axis alone, with the label of their other choices.

    In a random design few runs are alike in all the rest: where that leaves most cells alone, or no
    group with half of the axis' choices, all cells are one group.
    """
    others = [other for other in axes if other.name != axis.name]
    groups: dict[str, list[Cell]] = {}
    for cell in found:
        groups.setdefault(cell.label(others), []).append(cell)
    sizes = [len(group) for group in groups.values()]
    choices = len({cell.choices[axis.name].label for cell in found})
    alone = sizes.count(1)
    if choices > 1 and (2 * alone > len(found) or 2 * max(sizes) < choices):
        return [(TOGETHER, list(found))]
    return list(groups.items())


def by_choice(
    found: Sequence[Cell], axis: Axis, axes: Sequence[Axis]
) -> dict[str, dict[Hashable, float]]:
    """The figures at each choice of an axis, by block: the seed and the other choices."""
    others = [other for other in axes if other.name != axis.name]
    groups: dict[str, dict[Hashable, float]] = {}
    for cell in found:
        rest, group = cell.label(others), groups.setdefault(cell.choices[axis.name].label, {})
        group.update({(rest, seed): value for seed, value in cell.values.items()})
    return groups


def compare(
    groups: Mapping[str, Mapping[Hashable, float]], *, higher: bool = True
) -> Comparison | Undefined:
    """Each choice against the best.

    Args:
        groups: name of a choice -> its figures by block; none of them is empty.
        higher: whether the best mean is the greatest one.
    """
    if not groups:
        return Undefined("no finished run has this figure")
    means = {name: interval(list(values.values())) for name, values in groups.items()}
    sign = 1.0 if higher else -1.0
    best = max(means, key=lambda name: sign * means[name].mean)
    tests = {
        name: _difference(groups[best], values) for name, values in groups.items() if name != best
    }
    known = {n: p for n, (_, p, _) in tests.items() if not isinstance(p, Undefined)}
    adjusted: dict[str, float] = dict(zip(known, holm(list(known.values())), strict=True))
    differences = {
        name: Difference(name, gap, p, adjusted.get(name, p), blocks)
        for name, (gap, p, blocks) in tests.items()
    }
    runs = {name: len(values) for name, values in groups.items()}
    return Comparison(best, means, runs, differences)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): the k-th smallest of n times n - k + 1, made monotonic.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min((len(p_values) - rank) * p_values[place], 1.0))
        adjusted[place] = highest
    return adjusted


def welch(first: Sequence[float], second: Sequence[float]) -> tuple[Interval, float | Undefined]:
    """Second less first with Welch's interval and p-value (unequal variances)."""
    a, b = interval(first), interval(second)
    gap = b.mean - a.mean
    if min(len(first), len(second)) < 2:
        return Interval(gap, math.nan), Undefined("one run has no spread")
    parts = [
        sum((v - found.mean) ** 2 for v in values) / (len(values) - 1) / len(values)
        for found, values in ((a, first), (b, second))
    ]
    if negligible(math.sqrt(sum(parts)), [*first, *second]):
        return Interval(gap, math.nan), Undefined("the runs do not differ among themselves")
    shares = [part / sum(parts) for part in parts]
    freedom = 1 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (first, second), strict=True)
    )
    return _tested(gap, math.sqrt(sum(parts)), freedom)


def negligible(spread: float, values: Iterable[float]) -> bool:
    """Whether a spread is what rounding makes of none."""
    return spread <= max(1e-12 * max((abs(v) for v in values), default=0.0), 1e-100)


def _difference(
    best: Mapping[Hashable, float], other: Mapping[Hashable, float]
) -> tuple[Interval, float | Undefined, int]:
    shared = [block for block in other if block in best]
    if len(shared) < 2:
        return *welch(list(best.values()), list(other.values())), 0
    gaps = [other[block] - best[block] for block in shared]
    mean = sum(gaps) / len(gaps)
    error = math.sqrt(sum((g - mean) ** 2 for g in gaps) / (len(gaps) - 1) / len(gaps))
    if negligible(error, [*(best[b] for b in shared), *(other[b] for b in shared)]):
        missing = Undefined("the difference is the same for every seed")
        return Interval(mean, math.nan), missing, len(shared)
    return *_tested(mean, error, len(gaps) - 1), len(shared)


def _tested(gap: float, error: float, freedom: float) -> tuple[Interval, float]:
    """A difference with its interval and p-value by Student's t."""
    from scipy.special import stdtr, stdtrit  # scipy.stats says the same, and is slow to call

    half = float(stdtrit(freedom, 0.975)) * error
    return Interval(gap, half), float(2 * stdtr(freedom, -abs(gap) / error))
