"""The rule that no row is trained on again and again unless that is allowed.

Flan's proportions were chosen so that no underlying task repeats (Chung et al. 2022, appendix E):
tasks that read the same source, in several formats, share its rows. A run draws
``train_steps x batch_size`` packed rows; how many examples that is follows from the examples in a
row, which the plan of the first window gives. All windows have the same shares to one draw, so
this is close, but an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flan_t5x.data.cache import CachedSplit
from flan_t5x.data.definitions import Source
from flan_t5x.data.pipeline import Stream
from flan_t5x.data.task_sets import TaskSet
from flan_t5x.errors import UserError

_NAMED = 5


class Repeated(NamedTuple):
    """Tasks over the same rows, and how often a row comes on average."""

    tasks: tuple[str, ...]
    epochs: float


def epochs(tasks: TaskSet, counts: Sequence[int], *, draws: float) -> list[Repeated]:
    """How often each source is gone through, most often first.

    Of tasks that use only some rows of their source, how much their choices overlap is not known:
    they count as if they did not, so the result is never too high.

    Args:
        tasks: the mixture.
        counts: usable rows of each, in the same order.
        draws: examples drawn from the whole mixture.
    """
    by_source: dict[Source, list[tuple[str, float, int]]] = {}
    for weighted, usable in zip(tasks.weighted, counts, strict=True):
        known = by_source.setdefault(weighted.task.source, [])
        known.append((weighted.task.name, weighted.rate, usable))
    found = []
    for source, some in by_source.items():
        rows = min(source.num_examples(tasks.split), sum(count for _, _, count in some))
        together = sum(rate for _, rate, _ in some) / rows
        alone = max(rate / count for _, rate, count in some)
        names = tuple(name for name, _, _ in some)
        found.append(Repeated(names, draws * max(together, alone)))
    return sorted(found, key=lambda one: -one.epochs)


def require_few_repeats(
    tasks: TaskSet,
    splits: Sequence[CachedSplit],
    stream: Stream,
    *,
    train_steps: int,
    most: float | None,
) -> None:
    """Refuses a run that would go through a task more often than allowed.

    Args:
        tasks: the mixture, as is `splits`.
        stream: its stream.
        train_steps: of the whole run.
        most: times that a row may come on average; None for any number.

    Raises:
        UserError: names the tasks, how often they would come, and the ways out.
    """
    if most is None:
        return
    counts = [split.num_examples for split in splits]
    _refuse(tasks, counts, stream.examples_per_row(), (train_steps, stream.batch_size), most)


def forecast_repeats(
    tasks: TaskSet,
    *,
    train_steps: int,
    batch_size: int,
    most: float | None,
    examples_per_task: int | None = None,
) -> str:
    """What can be said before the token cache is there, where a row holds one example at least.

    Args:
        tasks: the mixture.
        train_steps: of the whole run.
        batch_size: rows of a step.
        most: times that a row may come on average; None for any number.
        examples_per_task: the most rows used of each task; None for all.

    Raises:
        UserError: the run would repeat rows too often even with one example a row.
    """
    if most is None:
        return "repeats: any number is allowed (max_task_epochs = None)"
    counts = [w.task.source.num_examples(tasks.split) for w in tasks.weighted]
    if examples_per_task is not None:
        counts = [min(count, examples_per_task) for count in counts]
    _refuse(tasks, counts, 1.0, (train_steps, batch_size), most)
    first = epochs(tasks, counts, draws=1.0)[0]
    rows = train_steps * batch_size
    fit = most / first.epochs
    return (
        f"repeats: {fit:,.0f} examples can be drawn before {_named(first.tasks)} comes more often "
        f"than max_task_epochs = {most:g}; {train_steps:,} steps draw {rows:,} rows, "
        f"so this is kept where a row holds {fit / rows:.1f} examples at most, which the token "
        "cache will tell"
    )


def _refuse(
    tasks: TaskSet, counts: Sequence[int], a_row: float, steps_rows: tuple[int, int], most: float
) -> None:
    """Raises UserError where a run with so many examples in a row repeats too often."""
    train_steps, batch_size = steps_rows
    draws = train_steps * batch_size * a_row
    over = [one for one in epochs(tasks, counts, draws=draws) if one.epochs > most]
    if not over:
        return
    listed = ", ".join(f"{_named(one.tasks)} {one.epochs:.1f} times" for one in over[:_NAMED])
    more = f" and {len(over) - _NAMED:,} more" if len(over) > _NAMED else ""
    raise UserError(
        f"{train_steps:,} steps of {batch_size} rows with {a_row:.1f} examples draw about "
        f"{draws:,.0f} examples, so rows repeat more often than max_task_epochs = {most:g}: "
        f"{listed}{more}. Train for about {int(train_steps * most / over[0].epochs):,} steps, give "
        "these tasks less weight, or allow it: "
        f"--gin.MAX_TASK_EPOCHS={over[0].epochs * 1.05:.0f} (None for any number)"
    )


def _named(tasks: tuple[str, ...]) -> str:
    more = len(tasks) - 1
    return tasks[0] if not more else f"{tasks[0]} (and {more} over the same rows)"
