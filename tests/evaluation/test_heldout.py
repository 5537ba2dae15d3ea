"""Held-out scoring over cached rows, with answers that are given."""

from __future__ import annotations

import dataclasses
import math

import pytest

from flan_t5x.data.cache import CachedSplit
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.heldout import EvaluationResult, HeldOut, standard_error
from flan_t5x.evaluation.metrics import METRICS
from flan_t5x.evaluation.results import prediction_lines, result_record, result_table
from tests.evaluation.toys import FakeGenerator, said, tasks


def targets(splits: list[CachedSplit]) -> list[str]:
    rows = [row for split in splits for row in split.read(range(split.num_examples))]
    return [row.info["targets"] for row in rows if row.info]


def scored(
    splits: list[CachedSplit], vocabulary: Vocabulary, texts: list[str], **more: object
) -> EvaluationResult:
    generator = FakeGenerator(texts, vocabulary)
    made = HeldOut(tasks(), splits, vocabulary=vocabulary, generator=generator, **more)  # type: ignore[arg-type]
    assert made.num_examples == len(texts)
    return made({})


def test_right_answers_score_one_and_empty_ones_nothing(
    splits: list[CachedSplit], vocabulary: Vocabulary
) -> None:
    wanted = targets(splits)
    right = scored(splits, vocabulary, wanted)
    assert right.average == 1.0
    assert standard_error(right) == 0.0
    assert [t.metrics for t in right.tasks] == [
        {"accuracy": 1.0, "f1": 1.0},
        {"normalized_accuracy": 1.0, "f1": 1.0},
    ]
    empty = scored(splits, vocabulary, [""] * len(wanted))
    assert empty.average == 0.0
    assert 0.0 < empty.baseline < 1.0
    assert empty.baseline == right.baseline, "the baseline looks at the questions alone"


def test_every_example_is_kept_with_its_score(
    splits: list[CachedSplit], vocabulary: Vocabulary
) -> None:
    texts = [said(target, row) for row, target in enumerate(targets(splits))]
    result = scored(splits, vocabulary, texts, samples_per_task=None)
    number = 0
    for task in result.tasks:
        assert len(task.samples) == task.num_examples == 12
        assert task.score == next(iter(task.metrics.values()))
        assert sum(e.correct for e in task.samples) / 12 == task.score
        for example in task.samples:
            assert example.prediction == vocabulary.decode(vocabulary.encode(texts[number]))
            assert example.log_prob == -number
            assert example.id == f"validation-{number % 12}"
            number += 1
    plain, thinking = result.tasks
    assert 0 < plain.score < thinking.score < 1, "case and rationale are forgiven in one of them"
    sample = thinking.samples[0]
    assert sample.extracted in sample.target
    assert len(sample.extracted) < len(sample.prediction)
    assert result.average == (plain.score + thinking.score) / 2
    assert len(list(prediction_lines(result))) == 24


def test_the_first_examples_are_scored(splits: list[CachedSplit], vocabulary: Vocabulary) -> None:
    wanted = [*targets(splits[:1])[:5], *targets(splits[1:])[:5]]
    result = scored(splits, vocabulary, wanted, examples_per_task=5)
    assert [t.num_examples for t in result.tasks] == [5, 5]
    assert [len(t.samples) for t in result.tasks] == [2, 2]
    assert result.average == 1.0


def test_unknown_names_are_refused(splits: list[CachedSplit], vocabulary: Vocabulary) -> None:
    for wrong, message in (
        ({"metrics": ("acuracy",)}, "task toy_plain: metric 'acuracy' is not known; did you mean"),
        ({"extract": "cot"}, "task toy_plain: extractor 'cot' is not known; did you mean"),
    ):
        task = dataclasses.replace(tasks()[0], **wrong)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=message):
            HeldOut([task], splits[:1], vocabulary=vocabulary, generator=None)  # type: ignore[arg-type]


def test_undefined_scores_stay_undefined(
    splits: list[CachedSplit], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "f1", lambda targets, predictions: {"f1": float("nan")})
    result = scored(splits, vocabulary, targets(splits))
    broken = dataclasses.replace(result.tasks[0], score=float("nan"))
    whole = dataclasses.replace(result, tasks=(broken, result.tasks[1]))
    assert math.isnan(whole.average)
    record = result_record(whole)
    assert record["average"] is None
    assert record["tasks"]["toy_plain"] == {
        "score": None,
        "low": None,
        "high": None,
        "baseline": result.tasks[0].baseline.value,
        "metrics": {"accuracy": 1.0, "f1": None},
        "examples": 12,
        "group": "",
        "failures": {},
        "fitted": {},
    }


def test_table(splits: list[CachedSplit], vocabulary: Vocabulary) -> None:
    result = scored(splits, vocabulary, targets(splits))
    base = [t.baseline.value for t in result.tasks]
    assert result_table("here", result) == (
        "here: 2 tasks\n"
        "task                                             n   score    base\n"
        f"toy_plain                                       12   1.000   {base[0]:.3f}\n"
        f"toy_cot                                         12   1.000   {base[1]:.3f}\n"
        f"average                                         24   1.000   {sum(base) / 2:.3f}"
    )


def test_many_tasks_are_shown_by_group(splits: list[CachedSplit], vocabulary: Vocabulary) -> None:
    result = scored(splits, vocabulary, targets(splits))
    first, second = result.tasks
    tasks = (
        dataclasses.replace(first, group="a", score=0.5),
        dataclasses.replace(second, group="b"),
    )
    lines = result_table("here", dataclasses.replace(result, tasks=tasks), most=1).splitlines()
    assert [line.split()[:6] for line in lines[2:4]] == [
        ["mean", "of", "1", "tasks", "of", "a"],
        ["mean", "of", "1", "tasks", "of", "b"],
    ]
    assert lines[2].split()[7] == "0.500"
