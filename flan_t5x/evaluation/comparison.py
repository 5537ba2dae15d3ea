"""Whether one run is better than another: the same examples, scored twice, and a paired test.

The difference of a figure has a 95 % interval from drawing the examples anew, each with both its
scores (paired bootstrap). Its p-value is the share of random exchanges of the two runs' scores,
example by example, that give at least as large a difference (paired randomisation test, Noreen
1989): how often chance alone would do as much if both runs were equally good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from flan_t5x.data.aggregates import defined_aggregates, get_aggregate
from flan_t5x.data.definitions import AggregateDefinition, AggregatePart
from flan_t5x.errors import UserError
from flan_t5x.evaluation.aggregates import combined, leaves, missing_parts, relevant
from flan_t5x.evaluation.bootstrap import RESAMPLES, Interval, generator, interval
from flan_t5x.evaluation.results import PREDICTIONS

Scores = Mapping[str, Mapping[str, float]]
"""Task -> example id -> score."""

_ROWS = 1 << 22  # draws held at once


@dataclass(frozen=True)
class Difference:
    """A figure of two runs.

    Attributes:
        name: of the task or the aggregate.
        first: of the first run, on the examples that both have.
        second: of the second run, likewise.
        interval: of second - first, 95 %.
        p_value: of the paired randomisation test, two-sided.
        examples: that both have.
    """

    name: str
    first: float
    second: float
    interval: Interval
    p_value: float
    examples: int


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        tasks: each task that both have.
        aggregates: the mean over these tasks, and each figure of which both have all tasks.
        unmatched: examples that only one of them has, by task.
        undefined: figures that lack tasks, and which.
    """

    tasks: tuple[Difference, ...]
    aggregates: tuple[Difference, ...]
    unmatched: Mapping[str, int]
    undefined: Mapping[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "tasks": {d.name: _record(d) for d in self.tasks},
            "aggregates": {d.name: _record(d) for d in self.aggregates},
            "unmatched": dict(self.unmatched),
            "undefined": {name: list(parts) for name, parts in self.undefined.items()},
        }

    def table(self) -> str:
        """For people: figures first, then tasks."""
        head = f"{'':<44} {'n':>6} {'first':>7} {'second':>7} {'differ':>7}  95 % interval       p"
        lines = [head, *(_line(d) for d in (*self.aggregates, *self.tasks))]
        lines += [
            f"{name}: {count:,} examples are in one of the two only, and left out"
            for name, count in self.unmatched.items()
        ]
        lines += [
            f"{name}: undefined without {', '.join(parts[:3])}"
            + (f" and {len(parts) - 3} more" if parts[3:] else "")
            for name, parts in self.undefined.items()
        ]
        return "\\n".join(lines)


def compare(first: str, second: str, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compares two evaluations by their predictions.

    Args:
        first: a folder with `PREDICTIONS`, or such a file.
        second: likewise.
        resamples: of the bootstrap and of the randomisation test.
        seed: of both.

    Raises:
        UserError: no such file, a malformed row, or no example in both.
    """
    ours, theirs = read_scores(first), read_scores(second)
    pairs, unmatched = _pairs(ours, theirs)
    if not pairs:
        raise UserError(
            f"{first} and {second} have no example in common; compare evaluations of the same "
            "tasks and split"
        )
    draws = {name: _draw(name, pair, resamples, seed) for name, pair in pairs.items()}
    tasks = tuple(_difference(_alone(name), {name: draws[name]}) for name in pairs)
    parts = {part.name for d in defined_aggregates().values() for part in d.parts}
    found = [_mean_of(pairs)] if len(pairs) > 1 else []
    undefined = {}
    for name in relevant(pairs):
        if name in parts:
            continue
        definition = get_aggregate(name)
        missing = missing_parts(definition, pairs)
        if missing:
            undefined[name] = missing
        else:
            found.append(definition)
    figures = tuple(_difference(d, {name: draws[name] for name in leaves(d)}) for d in found)
    return Comparison(tasks, figures, unmatched, undefined)


def read_scores(place: str) -> Scores:
    """The score of each example of an evaluation, from its predictions.

    Args:
        place: a folder with `PREDICTIONS`, or such a file.

    Raises:
        UserError: no such file, or a row without "task", "id" and "score" (or "correct").
    """
    path = Path(place).expanduser()
    path = path / PREDICTIONS if path.is_dir() else path
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path}: {error}; give the output_dir of a `flan-t5x eval`"
        ) from error
    found: dict[str, dict[str, float]] = {}
    for number, line in enumerate(filter(str.strip, lines), start=1):
        try:
            row = json.loads(line)
            score = row["correct"] if row.get("score") is None else row["score"]
            found.setdefault(str(row["task"]), {})[str(row["id"])] = float(score)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}, line {number}: no scored prediction ({type(error).__name__}: {error}); "
                "it needs task, id and score"
            ) from error
    return found


@dataclass(frozen=True)
class _Pair:
    """Scores of the same examples by both runs."""

    first: Float[np.ndarray, " examples"]
    second: Float[np.ndarray, " examples"]


@dataclass(frozen=True)
class _Draws:
    """Means of a task: as they are, on drawn examples, and after exchanges. [draws] each."""

    pair: _Pair
    drawn: tuple[np.ndarray, np.ndarray]
    exchanged: tuple[np.ndarray, np.ndarray]


def _pairs(ours: Scores, theirs: Scores) -> tuple[dict[str, _Pair], dict[str, int]]:
    pairs, unmatched = {}, {}
    for task in {**ours, **theirs}:
        first, second = ours.get(task, {}), theirs.get(task, {})
        both = [id for id in first if id in second]
        if both:
            scores = [[run[id] for id in both] for run in (first, second)]
            pairs[task] = _Pair(np.array(scores[0]), np.array(scores[1]))
        alone = len(first) + len(second) - 2 * len(both)
        if alone:
            unmatched[task] = alone
    return pairs, unmatched


def _draw(task: str, pair: _Pair, resamples: int, seed: int) -> _Draws:
    random = generator(task, seed)
    count, gap = len(pair.first), pair.second - pair.first
    step = max(_ROWS // count, 1)
    drawn: list[list[np.ndarray]] = [[], []]
    moved = []
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        chosen = random.integers(count, size=(rows, count))
        drawn[0].append(pair.first[chosen].mean(axis=1))
        drawn[1].append(pair.second[chosen].mean(axis=1))
        moved.append((random.integers(2, size=(rows, count)) @ gap) / count)
    change = np.concatenate(moved)
    return _Draws(
        pair,
        (np.concatenate(drawn[0]), np.concatenate(drawn[1])),
        (pair.first.mean() + change, pair.second.mean() - change),
    )


def _alone(task: str) -> AggregateDefinition:
    return AggregateDefinition(task, (AggregatePart(task),))


def _mean_of(tasks: Sequence[str] | Mapping[str, object]) -> AggregateDefinition:
    return AggregateDefinition("average", tuple(AggregatePart(task) for task in tasks))


def _difference(definition: AggregateDefinition, draws: Mapping[str, _Draws]) -> Difference:
    def figure(means: Mapping[str, np.ndarray]) -> np.ndarray:
        return combined(definition, means)

    first = float(figure({n: d.pair.first.mean(keepdims=True) for n, d in draws.items()})[0])
    second = float(figure({n: d.pair.second.mean(keepdims=True) for n, d in draws.items()})[0])
    drawn = [figure({n: d.drawn[run] for n, d in draws.items()}) for run in (0, 1)]
    exchanged = [figure({n: d.exchanged[run] for n, d in draws.items()}) for run in (0, 1)]
    by_chance = np.abs(exchanged[1] - exchanged[0]) >= abs(second - first) - 1e-12
    return Difference(
        definition.name,
        first,
        second,
        interval(drawn[1] - drawn[0]),
        float(1 + by_chance.sum()) / (1 + len(by_chance)),
        sum(len(d.pair.first) for d in draws.values()),
    )


def _record(found: Difference) -> dict[str, Any]:
    return {
        "first": found.first,
        "second": found.second,
        "difference": found.second - found.first,
        "low": found.interval.low,
        "high": found.interval.high,
        "p_value": found.p_value,
        "examples": found.examples,
    }


def _line(found: Difference) -> str:
    gap = found.second - found.first
    spread = f"[{found.interval.low:+.3f}, {found.interval.high:+.3f}]"
    return (
        f"{found.name:<44} {found.examples:>6} {found.first:>7.3f} {found.second:>7.3f} "
        f"{gap:>+7.3f}  {spread} {found.p_value:>8.4f}"
    )
