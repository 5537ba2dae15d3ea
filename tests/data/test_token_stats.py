"""Token statistics and the packing forecast, against counts made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flan_t5x.data.definitions import BadRow, Example, TaskDefinition, Template
from flan_t5x.data.formats import ExemplarPool, render
from flan_t5x.data.packing import plan_window
from flan_t5x.data.token_stats import Measured, Spread, TaskStats, forecast, measure
from flan_t5x.data.vocabulary import Vocabulary, default_vocabulary
from flan_t5x.errors import UserError
from tests.data.rows import ListSource, animal_task, make_vocabulary


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return make_vocabulary(tmp_path_factory.mktemp("vocabulary"))


def task(rows: list[Example | BadRow], **more: object) -> TaskDefinition:
    source = ListSource({"train": rows})
    return TaskDefinition("toy", source, (Template("{text}"),), **more)  # type: ignore[arg-type]


def row(id: str, words: int, answer: str) -> Example:
    return Example(id, {"text": " ".join(["dog"] * words)}, answer)


def test_figures_of_a_task() -> None:
    vocabulary = default_vocabulary()
    assert len(vocabulary.encode("dog dog")) == 2
    rows: list[Example | BadRow] = [
        row(str(n), n, "cat" if n % 2 else "dog cat") for n in range(1, 11)
    ]
    rows += [BadRow("10", "missing column"), Example("11", {"text": "dog"}, " ")]
    stats = measure(task(rows), vocabulary, [(6, 2), (100, 100)]).stats
    assert (stats.rows, stats.sampled) == (12, 12)
    assert stats.unusable == {"missing column": 1, "empty answer": 1}
    assert stats.inputs == Spread(mean=6.5, p50=6, p90=10, p99=11, most=11)  # 2..11 with the end
    assert stats.targets == Spread(mean=2.5, p50=2, p90=3, p99=3, most=3)
    small, large = stats.fits
    assert (small.truncated_inputs, small.rejected_targets) == (0.5, 0.5)
    assert (large.truncated_inputs, large.rejected_targets) == (0.0, 0.0)
    assert stats.unique_targets == 0.2
    assert stats.unknown_pieces == 0.0


def test_unknown_pieces_are_counted() -> None:
    vocabulary = default_vocabulary()
    text = "dog 漢 dog"
    unknown = vocabulary.encode(text).count(vocabulary.unk_id)
    assert unknown == 1
    found = measure(task([Example("0", {"text": text}, "dog")]), vocabulary, [(9, 9)]).stats
    assert found.unknown_pieces == unknown / (len(vocabulary.encode(text)) + 1)


def test_few_shot_prompts_are_rendered_for_every_length(vocabulary: Vocabulary) -> None:
    few = animal_task("fs")
    measured = measure(few, vocabulary, [(40, 20), (200, 20)], num=999)
    pool = ExemplarPool.for_task(few)
    for lengths, fit, budget in zip(measured.lengths, measured.stats.fits, (40, 200), strict=True):
        made = [
            render(few, one, exemplars=pool, vocabulary=vocabulary, budget=budget)
            for one in few.source.read("train", 0, 60)
            if isinstance(one, Example)
        ]
        expected = [len(vocabulary.encode(one.inputs)) + 1 for one in made]
        assert lengths[:, 0].tolist() == expected
        assert fit.without_exemplars == sum(one.format == "zs" for one in made) / 60
        assert fit.truncated_inputs == sum(n > budget for n in expected) / 60
    assert measured.stats.fits[0].without_exemplars > measured.stats.fits[1].without_exemplars


def test_a_sample_is_a_sample_and_the_same_every_time(vocabulary: Vocabulary) -> None:
    rows: list[Example | BadRow] = [row(str(n), 1 + n % 7, "cat") for n in range(1000)]
    one, again, other = (
        measure(task(rows), vocabulary, [(9, 9)], num=100, seed=seed) for seed in (0, 0, 1)
    )
    assert one.stats.sampled == 100
    assert np.array_equal(one.lengths[0], again.lengths[0])
    assert not np.array_equal(one.lengths[0], other.lengths[0])
    assert measure(task(rows[:40]), vocabulary, [(9, 9)], num=30).stats.sampled in (24, 30)


def measured(name: str, lengths: list[tuple[int, int]]) -> Measured:
    stats = TaskStats(name, "", "zs", "train", 0, 0, {}, None, None, (), 0.0, 0.0)
    return Measured(stats, (np.array(lengths, np.int64).reshape(-1, 2),))


def test_a_forecast_of_equal_rows_is_exact() -> None:
    found = forecast([measured("a", [(25, 10)])], [1.0], (100, 50), position=0, window=400)
    assert found.examples_per_row == 4.0
    assert (found.efficiency, found.padded_inputs) == (1.0, 0.0)
    assert found.padded_targets == pytest.approx(0.2)
    assert (found.truncated_inputs, found.rejected_targets) == (0.0, 0.0)


def test_a_forecast_draws_by_the_rates() -> None:
    both = [measured("a", [(30, 5)]), measured("b", [(70, 5)])]
    found = forecast(both, [3.0, 1.0], (100, 50), position=0, window=400)
    drawn = np.array([(30, 5)] * 300 + [(70, 5)] * 100)
    rows = plan_window(drawn, (100, 50)).num_rows
    assert found.examples_per_row == 400 / rows
    assert found.padded_inputs == pytest.approx(1 - drawn[:, 0].sum() / (100 * rows))


def test_a_forecast_counts_what_is_cut_and_lost() -> None:
    both = [measured("a", [(150, 5), (50, 5), (50, 99)]), measured("b", [(10, 99)])]
    found = forecast(both, [3.0, 1.0], (100, 50), position=0, window=100)
    assert found.truncated_inputs == 0.5  # of what is kept of a
    assert found.rejected_targets == pytest.approx(0.75 / 3 + 0.25)
    with pytest.raises(UserError, match="no sampled row has a target of at most 50 tokens"):
        forecast(both[1:], [1.0], (100, 50), position=0)


@pytest.mark.parametrize(
    "bad", [{"num": 0}, {"split": "dev"}, {"capacities": [(1, 9)]}, {"capacities": [(9, 1)]}]
)
def test_bad_arguments(bad: dict[str, object], vocabulary: Vocabulary) -> None:
    with pytest.raises(UserError):
        measure(
            task([row("0", 1, "cat")]),
            **{"vocabulary": vocabulary, "capacities": [(9, 9)], **bad},  # type: ignore[arg-type]
        )


def test_a_split_without_usable_rows(tmp_path: Path, vocabulary: Vocabulary) -> None:
    stats = measure(task([BadRow("0", "bad")]), vocabulary, [(9, 9)]).stats
    assert (stats.inputs, stats.targets, stats.unusable) == (None, None, {"bad": 1})
    assert stats.fits[0].truncated_inputs == 0.0
