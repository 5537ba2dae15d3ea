"""The rule against rows that come again and again: closed forms, and the error's ways out."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from flan_t5x.data.cache import CachedSplit
from flan_t5x.data.definitions import Source, TaskDefinition, Template
from flan_t5x.data.pipeline import Stream
from flan_t5x.data.registry import WeightedTask
from flan_t5x.data.task_sets import TaskSet
from flan_t5x.errors import UserError
from flan_t5x.train.repeats import epochs, forecast_repeats, require_few_repeats
from tests.data.cache_toys import ToySource


class Rows:
    """A cached split of rows of one length each."""

    def __init__(self, count: int, length: int = 4) -> None:
        self.num_examples = count
        self.lengths = np.full((count, 2), (length, 2), np.int32)


def mixture(*parts: tuple[str, Source, float]) -> TaskSet:
    weighted = [
        WeightedTask(TaskDefinition(name, source, (Template("{text}"),)), rate)
        for name, source, rate in parts
    ]
    return TaskSet("m", "train", tuple(weighted))


def of_size(rows: int, salt: str = "") -> ToySource:
    return ToySource(rows=(("train", rows),), salt=salt)


def splits(*counts: int) -> list[CachedSplit]:
    return [cast(CachedSplit, Rows(count)) for count in counts]


def test_tasks_over_the_same_rows_share_them() -> None:
    shared = of_size(100)
    tasks = mixture(("a", shared, 0.3), ("b", shared, 0.3), ("c", of_size(50, "c"), 0.4))
    found = epochs(tasks, [100, 100, 50], draws=1000)
    assert [one.tasks for one in found] == [("c",), ("a", "b")]
    assert [one.epochs for one in found] == pytest.approx([400 / 50, 600 / 100])


def test_tasks_that_use_some_rows_count_as_if_they_were_different_ones() -> None:
    shared = of_size(100)
    tasks = mixture(("a", shared, 0.5), ("b", shared, 0.5))
    (one,) = epochs(tasks, [20, 20], draws=100)
    assert one.epochs == pytest.approx(100 / 40)
    (one,) = epochs(tasks, [90, 5], draws=100)
    assert one.epochs == pytest.approx(50 / 5), "a single task may repeat more than all together"


def stream_of(tasks: TaskSet, *counts: int) -> Stream:
    return Stream(
        splits(*counts),
        [w.task.name for w in tasks.weighted],
        [w.rate for w in tasks.weighted],
        feature_lengths={"inputs": 16, "targets": 16},
        batch_size=5,
        seed=0,
        window=100,
    )


def test_the_estimate_is_what_the_stream_draws() -> None:
    """Rows of four examples each: the counts that the stream itself keeps agree."""
    tasks = mixture(("a", of_size(40), 0.25), ("b", of_size(300, "b"), 0.75))
    stream = stream_of(tasks, 40, 300)
    assert stream.examples_per_row() == 4
    steps = 20
    found = {one.tasks[0]: one.epochs for one in epochs(tasks, [40, 300], draws=5 * 4 * steps)}
    seen = stream.epochs_seen(stream.locate(5 * steps))
    assert found == pytest.approx(seen)


def test_the_error_names_tasks_times_and_ways_out() -> None:
    shared = of_size(40)
    tasks = mixture(("a", shared, 0.2), ("a_fs", shared, 0.05), ("b", of_size(300, "b"), 0.75))
    stream = stream_of(tasks, 40, 40, 300)
    check = {"splits": splits(40, 40, 300), "stream": stream, "train_steps": 20}
    with pytest.raises(UserError) as caught:
        require_few_repeats(tasks, most=1, **check)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "20 steps of 5 rows with 4.0 examples draw about 400 examples, so rows repeat more often "
        "than max_task_epochs = 1: a (and 1 over the same rows) 2.5 times. Train for about 8 "
        "steps, give these tasks less weight, or allow it: --gin.MAX_TASK_EPOCHS=3 (None for any "
        "number)"
    )
    for most in (2.6, None):
        require_few_repeats(tasks, most=most, **check)  # type: ignore[arg-type]


def test_what_is_known_before_the_tokens_are_there() -> None:
    tasks = mixture(("a", of_size(40), 0.2), ("b", of_size(300, "b"), 0.8))
    told = forecast_repeats(tasks, train_steps=10, batch_size=5, most=1)
    assert told == (
        "repeats: 200 examples can be drawn before a comes more often than max_task_epochs = 1; "
        "10 steps draw 50 rows, so this is kept where a row holds 4.0 examples at most, which the "
        "token cache will tell"
    )
    with pytest.raises(UserError, match=r"max_task_epochs = 1: a 1\.5 times\. Train for about 40"):
        forecast_repeats(tasks, train_steps=60, batch_size=5, most=1)
    with pytest.raises(UserError, match=r"a 2\.0 times"):
        forecast_repeats(tasks, train_steps=10, batch_size=5, most=1, examples_per_task=5)
    assert "any number" in forecast_repeats(tasks, train_steps=60, batch_size=5, most=None)
