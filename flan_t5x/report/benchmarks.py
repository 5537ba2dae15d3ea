"""Figures over several tasks, side by side and beside those that Flan-T5's paper prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from flan_t5x.data.aggregates import defined_aggregates, published_scores
from flan_t5x.pages.elements import Child, details, node, section, table
from flan_t5x.report.eval_files import Evaluation
from flan_t5x.report.run_files import Run
from flan_t5x.report.scores import Figure, ScoreSet
from flan_t5x.report.show import figure_text, lacks, share, with_dot

PUBLISHED = "Flan-T5"
"""What the published models that are shown are called first."""


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
    within = {part.name for found in defined_aggregates().values() for part in found.parts}
    parts = [name for name in names if name in within]
    whole = [name for name in names if name not in within]
    note = "In brackets: 95 % intervals, from drawing each task's examples anew."
    if published(names):
        note += " Published: Chung et al. 2022, arXiv 2210.11416; MMLU there is its validation set."
    return section(
        "Benchmarks",
        "benchmarks",
        node("p", note, class_="soft"),
        _table("Benchmarks", whole, columns) if whole else None,
        details(f"Parts of these: {len(parts)}", _table("Parts", parts, columns))
        if parts
        else None,
    )


def published(names: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """The published models that have any of these figures or tasks, with their shares."""
    return {
        model: scores
        for model, scores in published_scores().items()
        if model.startswith(PUBLISHED) and any(name in scores for name in names)
    }


def _table(label: str, names: Sequence[str], columns: Sequence[Column]) -> Element:
    theirs = published(names)
    rows: list[list[Child]] = [
        [
            name,
            *(_cell(column.scores.aggregates.get(name)) for column in columns),
            *(share(scores[name]) if name in scores else "" for scores in theirs.values()),
        ]
        for name in names
    ]
    head: list[Child] = ["figure", *(with_dot(c.label, c.number) for c in columns)]
    return table([*head, *(f"{model}, published" for model in theirs)], rows, label=label)


def _cell(figure: Figure | None) -> Child:
    if figure is None:
        return ""
    if figure.missing:
        return node("small", lacks(figure.missing))
    return figure_text(figure)
