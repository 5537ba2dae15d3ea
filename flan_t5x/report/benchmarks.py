"""Figures over several tasks, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import Child, node, section, table
from flan_t5x.report.eval_files import Evaluation
from flan_t5x.report.run_files import Run
from flan_t5x.report.scores import Figure, ScoreSet
from flan_t5x.report.show import figure_text, lacks, with_dot


class Column(NamedTuple):
    """A set of scores; its number gives its colour."""

    label: str
    number: int
    scores: ScoreSet


def benchmarks_section(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> Element | None:
    """A row for each figure that any set defines, a column for each set that has one."""
    columns = [
        Column(f"{run.label}, {found.label}", number, found)
        for number, run in enumerate(runs)
        for found in run.sets
    ]
    columns += [
        Column(one.label, number, one.scores)
        for number, one in enumerate(evaluations, start=len(runs))
        if one.scores
    ]
    columns = [column for column in columns if column.scores.aggregates]
    names = list(dict.fromkeys(name for c in columns for name in c.scores.aggregates))
    if not names:
        return None
    rows: list[list[Child]] = [
        [name, *(_cell(column.scores.aggregates.get(name)) for column in columns)] for name in names
    ]
    head: list[Child] = ["figure", *(with_dot(c.label, c.number) for c in columns)]
    note = "In brackets: 95 % intervals, from drawing each task's examples anew."
    return section(
        "Benchmarks",
        "benchmarks",
        node("p", note, class_="soft"),
        table(head, rows, label="Benchmarks"),
    )


def _cell(figure: Figure | None) -> Child:
    if figure is None:
        return ""
    if figure.missing:
        return node("small", lacks(figure.missing))
    return figure_text(figure)
