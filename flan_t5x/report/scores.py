"""Scores as the files of runs and evaluations have them, read with care: any field may be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A share with its interval; None where a file has none, or where it is undefined.

    Attributes:
        value: the share.
        low: where the 95 % interval begins.
        high: where it ends.
        missing: what an undefined aggregate lacks.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskFigure:
    """A task of a set.

    Attributes:
        score: its first metric.
        baseline: what can be had without understanding.
        examples: how many were scored; None where that is not known.
        group: its submixture or cluster.
        failures: examples from which nothing could be extracted, by reason.
        fitted: prompts that were shortened, by what was done to them.
    """

    score: Figure
    baseline: float | None = None
    examples: int | None = None
    group: str = ""
    failures: Mapping[str, int] = field(default_factory=dict)
    fitted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreSet:
    """One evaluation of one checkpoint, whoever made it.

    Attributes:
        label: names it on the page.
        average: mean over tasks.
        baseline: mean of the tasks' baselines.
        tasks: by name, in the file's order.
        aggregates: figures over several tasks, by name.
    """

    label: str
    average: float | None
    baseline: float | None
    tasks: Mapping[str, TaskFigure]
    aggregates: Mapping[str, Figure]


def score_set(label: str, record: Mapping[str, Any]) -> ScoreSet:
    """The scores of a record as `flan_t5x.evaluation.results.result_record` makes it."""
    tasks = {name: _task(found) for name, found in objects(record.get("tasks")).items()}
    aggregates = {
        name: _figure(found, "value") for name, found in objects(record.get("aggregates")).items()
    }
    average, baseline = number(record.get("average")), number(record.get("baseline"))
    return ScoreSet(label, average, baseline, tasks, aggregates)


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of hundreds of digits
        return None


def numbers(value: object) -> dict[str, float]:
    """The entries of an object that are finite numbers."""
    if not isinstance(value, dict):
        return {}
    found = ((str(name), number(entry)) for name, entry in value.items())
    return {name: entry for name, entry in found if entry is not None}


def objects(value: object) -> dict[str, dict[str, Any]]:
    """The entries of an object that are objects."""
    if not isinstance(value, dict):
        return {}
    return {str(name): entry for name, entry in value.items() if isinstance(entry, dict)}


def _task(record: Mapping[str, Any]) -> TaskFigure:
    examples = number(record.get("examples"))
    return TaskFigure(
        _figure(record, "score"),
        number(record.get("baseline")),
        None if examples is None else int(examples),
        str(record.get("group") or ""),
        *(
            {name: int(count) for name, count in numbers(record.get(kind)).items()}
            for kind in ("failures", "fitted")
        ),
    )


def _figure(record: Mapping[str, Any], name: str) -> Figure:
    missing = record.get("missing")
    return Figure(
        number(record.get(name)),
        number(record.get("low")),
        number(record.get("high")),
        tuple(map(str, missing)) if isinstance(missing, list) else (),
    )
