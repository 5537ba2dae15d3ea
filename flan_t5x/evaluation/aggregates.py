"""Figures over several tasks: computed where every part is there, undefined where one is not.

A missing part never counts as zero. What is missing is named: a part of the figure as a whole where
none of its tasks is there, else the tasks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flan_t5x.data.aggregates import defined_aggregates, get_aggregate
from flan_t5x.data.definitions import AggregateDefinition, AggregatePart
from flan_t5x.errors import UserError
from flan_t5x.evaluation.bootstrap import RESAMPLES, Interval, interval, resampled_means
from flan_t5x.evaluation.scoring import TaskScore

Draws = Float[np.ndarray, " draws"]


@dataclass(frozen=True)
class Aggregate:
    """One figure of an evaluation.

    Attributes:
        name: of its definition.
        value: a share; NaN where it is undefined.
        interval: 95 %, by resampling examples; None where it is undefined or has none.
        missing: parts that are not there, empty where the figure is defined.
    """

    name: str
    value: float
    interval: Interval | None = None
    missing: tuple[str, ...] = ()


def aggregate_value(definition: AggregateDefinition, scores: Mapping[str, float]) -> float:
    """A figure from the scores of tasks.

    The normalised parts are those of Chung et al. 2022, footnote 5: (score - chance) / (1 -
    chance), negative below chance.

    Args:
        definition: the figure.
        scores: share in [0, 1] by task name; more tasks than needed do no harm.

    Returns:
        NaN where a part is missing or NaN.
    """
    draws = {name: np.array([score]) for name, score in scores.items()}
    return float(combined(definition, draws)[0])


def missing_parts(definition: AggregateDefinition, tasks: Iterable[str]) -> tuple[str, ...]:
    """What a figure lacks of the tasks that it needs, in the order of its definition."""
    there = set(tasks)
    missing: list[str] = []
    for part in definition.parts:
        nested = defined_aggregates().get(part.name)
        if nested is None:
            missing += [] if part.name in there else [part.name]
            continue
        lacking = missing_parts(nested, there)
        missing += [part.name] if lacking and not there & set(leaves(nested)) else lacking
    return tuple(missing)


def leaves(definition: AggregateDefinition) -> Iterator[str]:
    """Names of the tasks that a figure is made of."""
    for part in definition.parts:
        nested = defined_aggregates().get(part.name)
        if nested is None:
            yield part.name
        else:
            yield from leaves(nested)


def aggregate(
    definition: AggregateDefinition,
    tasks: Sequence[TaskScore],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Aggregate:
    """A figure with its interval.

    Args:
        definition: the figure.
        tasks: what was scored; only those that the figure names count.
        resamples: of the bootstrap, which draws each task's examples anew.
        seed: of the bootstrap.
    """
    used = dict.fromkeys(leaves(definition))
    scored = {task.name: task for task in tasks if task.name in used}
    missing = missing_parts(definition, scored)
    missing += tuple(f"{name} (undefined)" for name, t in scored.items() if math.isnan(t.score))
    if missing:
        return Aggregate(definition.name, float("nan"), None, missing)
    value = aggregate_value(definition, {name: task.score for name, task in scored.items()})
    draws = {name: resampled_means(task, resamples, seed) for name, task in scored.items()}
    known = {name: drawn for name, drawn in draws.items() if drawn is not None}
    if len(known) < len(draws):  # a score that is no mean over examples cannot be drawn anew so
        return Aggregate(definition.name, value)
    return Aggregate(definition.name, value, interval(combined(definition, known)))


def require_parts(definition: AggregateDefinition, tasks: Iterable[str]) -> None:
    """Raises UserError where a figure needs tasks that are not evaluated."""
    missing = missing_parts(definition, tasks)
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise UserError(
            f"the metric {definition.name!r} is undefined without {shown}; evaluate a mixture that "
            "has all its tasks, or choose another metric"
        )


def relevant(tasks: Iterable[str]) -> list[str]:
    """Names of the defined figures that have at least one of the tasks."""
    there = set(tasks)
    return [name for name, found in defined_aggregates().items() if there & set(leaves(found))]


def aggregates_of(
    names: Sequence[str], tasks: Sequence[TaskScore], *, resamples: int = RESAMPLES
) -> dict[str, Aggregate]:
    """The figures of these names, each with its interval."""
    return {name: aggregate(get_aggregate(name), tasks, resamples=resamples) for name in names}


def combined(definition: AggregateDefinition, draws: Mapping[str, Draws]) -> Draws:
    """The figure for each draw of its tasks' scores; NaN where a part is missing.

    Args:
        definition: the figure.
        draws: [draws] of each task by name.
    """
    parts = [_part(part, draws) for part in definition.parts]
    stacked = np.stack(np.broadcast_arrays(*parts))  # [parts, draws]
    return stacked.max(axis=0) if definition.reduce == "max" else stacked.mean(axis=0)


def _part(part: AggregatePart, draws: Mapping[str, Draws]) -> Draws:
    nested = defined_aggregates().get(part.name)
    if nested is not None:
        values = combined(nested, draws)
    else:
        values = draws.get(part.name, np.array([np.nan]))
    return values if part.chance is None else (values - part.chance) / (1.0 - part.chance)
