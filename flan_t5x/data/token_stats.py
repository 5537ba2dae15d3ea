"""How long the rows of tasks are in tokens, what would be cut, and how tightly a mixture packs.

Figures come from a sample of each task, rendered and tokenized as the token cache does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from flan_t5x.data.definitions import BadRow, Example, RowError, TaskDefinition
from flan_t5x.data.draws import Draws
from flan_t5x.data.formats import ExemplarPool, render
from flan_t5x.data.mixing import MixtureOrder
from flan_t5x.data.packing import packing_bound, plan_window
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError, require_count

Capacity = tuple[int, int]
"""Tokens of (inputs, targets) of an example, and of a row of packed examples."""

_RUN = 16  # rows read one after the other: cheap also where a source has no random access
_WINDOW = 4096


@dataclass(frozen=True)
class Spread:
    """Of some lengths: the mean, the least length that 50, 90, 99 % do not exceed, the most."""

    mean: float
    p50: int
    p90: int
    p99: int
    most: int

    @classmethod
    def of(cls, lengths: Int[np.ndarray, " rows"]) -> Spread:
        """Of at least one length."""
        p50, p90, p99 = np.quantile(lengths, (0.5, 0.9, 0.99), method="inverted_cdf")
        return cls(float(lengths.mean()), int(p50), int(p90), int(p99), int(lengths.max()))


@dataclass(frozen=True)
class Fit:
    """What becomes of a task's usable rows at given lengths; shares of them.

    Attributes:
        inputs_length: tokens of inputs that are kept.
        targets_length: tokens of targets that are allowed.
        truncated_inputs: rows whose inputs are cut.
        rejected_targets: rows that training leaves out, since their target is too long.
        without_exemplars: few-shot rows rendered zero-shot, since no exemplar fits.
    """

    inputs_length: int
    targets_length: int
    truncated_inputs: float
    rejected_targets: float
    without_exemplars: float


@dataclass(frozen=True)
class TaskStats:
    """Figures of one task.

    Attributes:
        task: its name.
        group: its group.
        format: its format.
        split: which split was sampled.
        rows: rows of the split, unusable ones included.
        sampled: rows looked at.
        unusable: reason -> rows of the sample that cannot be used.
        inputs: tokens of inputs, end of sequence included, at the largest inputs length; None
            where no row is usable.
        targets: tokens of targets, likewise.
        fits: one for every pair of lengths.
        unique_targets: different targets / usable rows.
        unknown_pieces: tokens that the vocabulary does not know / all tokens.
    """

    task: str
    group: str
    format: str
    split: str
    rows: int
    sampled: int
    unusable: dict[str, int]
    inputs: Spread | None
    targets: Spread | None
    fits: tuple[Fit, ...]
    unique_targets: float
    unknown_pieces: float


@dataclass(frozen=True)
class Forecast:
    """How a mixture would pack at given lengths.

    Attributes:
        inputs_length: tokens of inputs in a row.
        targets_length: tokens of targets in a row.
        examples_per_row: mean; packing saves that factor of rows.
        efficiency: rows that the tokens alone would fill / rows of the plan.
        padded_inputs: share of the rows' input places that stay empty.
        padded_targets: the same of targets.
        truncated_inputs: share of the drawn examples whose inputs are cut.
        rejected_targets: share of the mixture that training leaves out.
    """

    inputs_length: int
    targets_length: int
    examples_per_row: float
    efficiency: float
    padded_inputs: float
    padded_targets: float
    truncated_inputs: float
    rejected_targets: float


@dataclass(frozen=True)
class Measured:
    """A task's figures with the lengths behind them, for `forecast`.

    Attributes:
        stats: the figures.
        lengths: for every capacity int64 [rows, 2], tokens before anything is cut.
    """

    stats: TaskStats
    lengths: tuple[Int[np.ndarray, "rows 2"], ...]


def measure(
    task: TaskDefinition,
    vocabulary: Vocabulary,
    capacities: Sequence[Capacity],
    *,
    num: int = 500,
    seed: int = 0,
    split: str | None = None,
) -> Measured:
    """Samples a task. The same arguments give the same figures in any process.

    Args:
        task: the task.
        vocabulary: makes tokens.
        capacities: pairs of lengths, at least one.
        num: rows to look at, at the most.
        seed: which rows.
        split: None takes "train", or the first split where there is none.

    Raises:
        UserError: the source cannot be read, or an argument makes no sense.
    """
    require_count("num", num)
    for pair in capacities:
        require_count("inputs length", pair[0], at_least=2)
        require_count("targets length", pair[1], at_least=2)
    splits = task.source.splits
    split = split or ("train" if "train" in splits else splits[0])
    if split not in splits:
        raise UserError(f"{task.name} has the splits {', '.join(splits)}, not {split!r}")
    rows = list(_sample(task, split, num, seed))
    few_shot = task.format.startswith("fs")
    pool = ExemplarPool.for_task(task)
    samples: dict[int, _Sample] = {}  # by the budget of exemplars
    budgets = [pair[0] if few_shot else max(c[0] for c in capacities) for pair in capacities]
    for budget in set(budgets):
        samples[budget] = _Sample.make(task, rows, pool, vocabulary, budget)
    widest = samples[max(budgets)]
    usable = len(widest.lengths)
    stats = TaskStats(
        task=task.name,
        group=task.group,
        format=task.format,
        split=split,
        rows=task.source.num_examples(split),
        sampled=len(rows),
        unusable=widest.unusable,
        inputs=Spread.of(widest.lengths[:, 0]) if usable else None,
        targets=Spread.of(widest.lengths[:, 1]) if usable else None,
        fits=tuple(
            samples[budget].fit(pair) for budget, pair in zip(budgets, capacities, strict=True)
        ),
        unique_targets=widest.unique_targets,
        unknown_pieces=widest.unknown_pieces,
    )
    return Measured(stats, tuple(samples[budget].lengths for budget in budgets))


def _sample(task: TaskDefinition, split: str, num: int, seed: int) -> Iterator[Example | BadRow]:
    """At most `num` rows, in runs of neighbours that are drawn by the seed."""
    total = task.source.num_examples(split)
    runs = range(-(-total // _RUN))
    wanted = min(-(-num // _RUN), len(runs))
    left = num
    for run in sorted(Draws("stats", task.name, split, seed).sample(runs, wanted)):
        stop = min((run + 1) * _RUN, total, run * _RUN + left)
        yield from task.source.read(split, run * _RUN, stop)
        left -= stop - run * _RUN


@dataclass(frozen=True)
class _Sample:
    """Rendered rows of one task at one budget.

    Attributes:
        lengths: int64 [rows, 2], tokens of (inputs, targets), end of sequence included.
        unusable: reason -> rows.
        without_exemplars: few-shot rows that came out zero-shot.
        unique_targets: different targets / rows.
        unknown_pieces: unknown tokens / tokens.
    """

    lengths: Int[np.ndarray, "rows 2"]
    unusable: dict[str, int]
    without_exemplars: int
    unique_targets: float
    unknown_pieces: float

    @classmethod
    def make(
        cls,
        task: TaskDefinition,
        rows: Sequence[Example | BadRow],
        pool: ExemplarPool | None,
        vocabulary: Vocabulary,
        budget: int,
    ) -> _Sample:
        unusable: dict[str, int] = {}
        texts: list[str] = []
        alone = 0
        for row in rows:
            reason = row.reason if isinstance(row, BadRow) else ""
            if isinstance(row, Example):
                try:
                    made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=budget)
                    (made.inputs + made.targets).encode("utf-8")
                    texts += [made.inputs, made.targets]
                    alone += made.format != task.format
                except RowError as error:
                    reason = error.reason
                except UnicodeEncodeError:
                    reason = "text is not valid Unicode"
            if reason:
                unusable[reason] = unusable.get(reason, 0) + 1
        ids = vocabulary.encode_batch(texts)
        tokens = sum(map(len, ids))
        unknown = sum(part.count(vocabulary.unk_id) for part in ids)
        usable = len(texts) // 2
        sizes = np.array([len(part) + 1 for part in ids], np.int64).reshape(usable, 2)
        return cls(
            lengths=sizes,
            unusable=unusable,
            without_exemplars=alone,
            unique_targets=len(set(texts[1::2])) / usable if usable else 0.0,
            unknown_pieces=unknown / tokens if tokens else 0.0,
        )

    def fit(self, capacity: Capacity) -> Fit:
        """What becomes of the rows at these lengths."""
        usable = max(1, len(self.lengths))
        over = self.lengths > np.array(capacity)
        return Fit(
            inputs_length=capacity[0],
            targets_length=capacity[1],
            truncated_inputs=float(over[:, 0].sum() / usable),
            rejected_targets=float(over[:, 1].sum() / usable),
            without_exemplars=self.without_exemplars / usable,
        )


def forecast(
    measured: Sequence[Measured],
    rates: Sequence[float],
    capacity: Capacity,
    *,
    position: int,
    seed: int = 0,
    window: int = _WINDOW,
) -> Forecast:
    """Packs one window of draws from the samples, drawn by the mixture's rates.

    Args:
        measured: the tasks.
        rates: of the tasks, of any positive sum.
        capacity: tokens of (inputs, targets) that a row holds.
        position: index of this capacity among those the tasks were measured with.
        seed: of the draws.
        window: draws.

    Raises:
        UserError: no task has a row that fits.
    """
    kept: list[Int[np.ndarray, "rows 2"]] = []
    names, weights, truncated = [], [], []
    lost = 0.0
    total = sum(rates)
    for one, rate in zip(measured, rates, strict=True):
        sizes = one.lengths[position]
        fits = sizes[:, 1] <= capacity[1]
        share = rate / total
        lost += share * (1 - fits.mean()) if len(sizes) else share
        if not fits.any():
            continue
        long = sizes[fits, 0] > capacity[0]
        names.append(one.stats.task)
        weights.append(rate)
        truncated.append(float(long.mean()))
        kept.append(np.minimum(sizes[fits], np.array(capacity)))
    if not kept:
        raise UserError(
            f"no sampled row has a target of at most {capacity[1]} tokens: give a larger length"
        )
    lengths = _drawn(names, weights, kept, seed=seed, window=window)
    rows = plan_window(lengths, capacity).num_rows
    used = lengths.sum(axis=0) / (rows * np.array(capacity))
    return Forecast(
        inputs_length=capacity[0],
        targets_length=capacity[1],
        examples_per_row=len(lengths) / rows,
        efficiency=packing_bound(lengths, capacity) / rows,
        padded_inputs=float(1 - used[0]),
        padded_targets=float(1 - used[1]),
        truncated_inputs=float(np.average(truncated, weights=weights)),
        rejected_targets=float(lost),
    )


def _drawn(
    names: Sequence[str],
    weights: Sequence[float],
    kept: Sequence[Int[np.ndarray, "rows 2"]],
    *,
    seed: int,
    window: int,
) -> Int[np.ndarray, "window 2"]:
    """Lengths of a window of draws, as training would draw them from these rows."""
    order = MixtureOrder(
        names, rates=np.array(weights), sizes=[len(x) for x in kept], seed=seed, window=window
    )
    draws = order.window(0)
    starts = np.cumsum([0, *map(len, kept)])[:-1]
    every = np.concatenate(kept)
    return every[starts[draws.task] + draws.example]
