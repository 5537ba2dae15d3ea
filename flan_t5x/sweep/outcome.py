"""What a sweep says about one figure: the best choices, laws along numbers, mixtures, names."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flan_t5x.sweep.regression import Fit, linear_fit, log_linear_fit
from flan_t5x.sweep.scheffe import Model, scheffe_fit
from flan_t5x.sweep.statistics import (
    Cell,
    Comparison,
    Undefined,
    by_choice,
    by_others,
    cells,
    compare,
    higher_is_better,
)
from flan_t5x.sweep.table import BASELINE, FINAL, SCORE, START, Axis, Table

EVERYWHERE = "over all other choices"
"""Name of the comparison of categories that does not hold the other axes fixed."""


@dataclass(frozen=True)
class Law:
    """A figure along a number, the other choices fixed.

    Attributes:
        axis: of kind "number" or "log".
        group: the other choices; "" where there are none.
        runs: x -> the figures of its runs, by growing x.
        fit: the line through them.
    """

    axis: Axis
    group: str
    runs: Mapping[float, tuple[float, ...]]
    fit: Fit | Undefined


@dataclass(frozen=True)
class Blend:
    """A figure over mixtures, the other choices fixed.

    Attributes:
        axis: of kind "rates".
        group: the other choices; "" where there are none.
        rates: label of a mixture -> shares, in the order of the axis' parts.
        comparison: mixtures against the best one.
        model: Scheffé's.
    """

    axis: Axis
    group: str
    rates: Mapping[str, tuple[float, ...]]
    comparison: Comparison
    model: Model | Undefined


@dataclass(frozen=True)
class Categories:
    """A figure over names.

    Attributes:
        axis: of kind "category".
        group: the other choices, "" where there are none, or `EVERYWHERE`.
        comparison: names against the best one.
    """

    axis: Axis
    group: str
    comparison: Comparison


@dataclass(frozen=True)
class Outcome:
    """All that is said about one figure.

    Attributes:
        metric: its name.
        higher: whether the greatest is the best.
        cells: runs by their choices.
        ranking: all combinations of choices against the best one, by label.
        laws: one for each axis with numbers and each combination of the others.
        blends: likewise of axes with mixtures.
        categories: likewise of axes with names, where there are two or more to compare.
        baseline: what guessing gets, the mean over runs; None where it is not known.
        start: the figure before training, likewise.
    """

    metric: str
    higher: bool
    cells: tuple[Cell, ...]
    ranking: Comparison | Undefined
    laws: tuple[Law, ...]
    blends: tuple[Blend, ...]
    categories: tuple[Categories, ...]
    baseline: float | None
    start: float | None


def outcome(table: Table, metric: str) -> Outcome:
    """Everything about one figure of a sweep."""
    found, higher = cells(table, metric), higher_is_better(metric)
    groups: dict[str, dict[Hashable, float]] = {
        cell.label(table.axes): dict(cell.values.items()) for cell in found
    }
    laws, blends, categories = [], [], []
    for axis in table.axes:
        parted = by_others(found, axis, table.axes)
        if axis.kind in ("number", "log"):
            laws += [_law(axis, label, part) for label, part in parted]
        elif axis.kind == "rates":
            blends += [
                _blend(axis, label, by_choice(part, axis, table.axes), part, higher=higher)
                for label, part in parted
            ]
        else:
            parts = [(EVERYWHERE, found)] if len(parted) > 1 else []
            compared = [
                (label, compare(by_choice(part, axis, table.axes), higher=higher))
                for label, part in [*parts, *parted]
            ]
            categories += [
                Categories(axis, label, one)
                for label, one in compared
                if isinstance(one, Comparison) and one.differences
            ]
    return Outcome(
        metric,
        higher,
        tuple(found),
        compare(groups, higher=higher),
        tuple(laws),
        tuple(blends),
        tuple(categories),
        _mean_of(table, _baseline_of(metric)),
        _mean_of(table, START if metric == SCORE else ""),
    )


def _law(axis: Axis, label: str, found: Sequence[Cell]) -> Law:
    runs: dict[float, list[float]] = {}
    for cell in found:
        number = cell.choices[axis.name].number
        if math.isfinite(number):
            runs.setdefault(number, []).extend(cell.values.values())
    x = [number for number, values in runs.items() for _ in values]
    y = [value for values in runs.values() for value in values]
    fit = log_linear_fit(x, y) if axis.kind == "log" else linear_fit(x, y)
    return Law(axis, label, {number: tuple(runs[number]) for number in sorted(runs)}, fit)


def _blend(
    axis: Axis,
    label: str,
    groups: Mapping[str, Mapping[Hashable, float]],
    found: Sequence[Cell],
    *,
    higher: bool,
) -> Blend:
    rates = {
        choice.label: tuple(choice.rates.get(part, 0.0) for part in axis.parts)
        for choice in (cell.choices[axis.name] for cell in found)
    }
    points = [(rates[name], list(values.values())) for name, values in groups.items()]
    compared = compare(groups, higher=higher)
    assert isinstance(compared, Comparison)  # a group of cells is never empty
    return Blend(axis, label, rates, compared, scheffe_fit(axis.parts, points, higher=higher))


def _baseline_of(metric: str) -> str:
    """Name of the figure that says what guessing gets; "" where there is none."""
    if metric == SCORE:
        return BASELINE
    if metric.startswith(FINAL) and metric.endswith("/average"):
        return metric.removesuffix("average") + "baseline"
    return ""


def _mean_of(table: Table, name: str) -> float | None:
    values = _finite(row.figures.get(name, math.nan) for row in table.rows)
    return sum(values) / len(values) if values else None


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
