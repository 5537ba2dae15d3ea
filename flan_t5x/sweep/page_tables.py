"""Tables of the page: choices against the best one, and all runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.bars import interval_bar
from flan_t5x.pages.elements import Child, node, table
from flan_t5x.sweep.statistics import Comparison
from flan_t5x.sweep.table import COST, Row, Table
from flan_t5x.sweep.words import figure, gap_text, mean_text, p_text, tested_text


def comparison_table(
    found: Comparison,
    *,
    head: str,
    label: str,
    higher: bool,
    tick: float | None = None,
    more: Mapping[str, Sequence[str]] | None = None,
    more_head: Sequence[str] = (),
    most: int | None = None,
) -> Element:
    """A row for each choice, the best first: mean, bar, runs, difference to the best.

    Args:
        found: the choices.
        head: what they are choices of.
        label: what the table shows.
        higher: whether the greatest mean is the best.
        tick: a figure to compare with, drawn into the bars.
        more: cells to put before the mean, by choice.
        more_head: their names.
        most: at most so many rows.
    """
    names = sorted(found.means, key=lambda name: found.means[name].mean, reverse=higher)
    top = max(max(abs(m.mean) for m in found.means.values()), tick or 0.0)
    unit = 1.0 if top <= 1.0 else top  # scores are shares; other figures are drawn by the greatest
    rows: list[list[Child]] = []
    for name in names[:most]:
        mean, other = found.means[name], found.differences.get(name)
        has = not math.isnan(mean.half)
        bar = interval_bar(
            mean.mean / unit,
            low=(mean.mean - mean.half) / unit if has else None,
            high=(mean.mean + mean.half) / unit if has else None,
            tick=None if tick is None else tick / unit,
        )
        row: list[Child] = [name, *(more or {}).get(name, ()), mean_text(mean)]
        row += [node("div", bar, class_="bars"), f"{found.runs[name]}"]
        if other is None:
            rows.append([*row, node("strong", "best"), "", ""])
            continue
        gap = gap_text(other.gap)
        gaps: Child = node("strong", gap) if other.told_apart else gap
        rows.append([*row, gaps, p_text(other.adjusted), node("small", tested_text(other))])
    columns = [head, *more_head, "mean", "", "runs", "less the best", "p (Holm)", "test"]
    return table(columns, rows, label=label)


def runs_table(shown: Table) -> Element:
    """Every run: its choices, how far it came, and its figures."""
    head = ["run", *(axis.name for axis in shown.axes), "seed", "status", *shown.metrics]
    head += ["best step", "seconds"]
    return table(
        head,
        [_run(row, shown) for row in shown.rows],
        label="All runs",
        numbers_from=len(shown.axes) + 1,
    )


def _run(row: Row, shown: Table) -> list[Child]:
    choices = [row.choices[axis.name].label for axis in shown.axes]
    figures = [_figure(row, metric) for metric in shown.metrics]
    step = f"{row.best_step:,}" if row.best_step >= 0 else ""
    seconds = row.figures.get(f"{COST}seconds")
    cost = "" if seconds is None else f"{seconds:,.0f}"
    return [row.run, *choices, f"{row.seed}", row.status, *figures, step, cost]


def _figure(row: Row, metric: str) -> str:
    value = row.figures.get(metric)
    if value is None:
        return ""
    return figure(value) if math.isfinite(value) else "not finite"
