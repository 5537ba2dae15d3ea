"""Scores of one task's predictions, and what is counted beside them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flan_t5x.data.cache import CacheSpec, ensure_cached
from flan_t5x.data.definitions import FixedPrompt
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.fixed_prompt import LEFT_OUT
from flan_t5x.data.formats import render
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.scoring import check_names, score_task
from tests.data.rows import animal_task

TASK = animal_task(name="toy", extract="option_letter", metrics=("accuracy",))


def test_scores_failures_and_baseline() -> None:
    rows = [
        {"id": n, "inputs": "?", "targets": target, "valid_answers": ["(A)", "(B)"]}
        for n, target in enumerate(["(A)", "(B)", "(A)", "(A)"])
    ]
    said = ["(A)", "A.", "", "neither"]
    found = score_task(TASK, rows, said, [-1.0, -2.0, math.nan, -4.0], samples=2)
    assert (found.score, found.example_scores) == (0.25, (1.0, 0.0, 0.0, 0.0))
    assert found.failures == {"empty prediction": 1, "no answer found": 1}
    assert (found.baseline.constant, found.baseline.random) == (0.75, 0.5)
    assert [(e.id, e.extracted, e.correct, e.score) for e in found.samples] == [
        ("0", "A", True, 1.0),
        ("1", "A", False, 0.0),
    ]


def test_each_metric_takes_the_right_answer_that_fits_best() -> None:
    task = replace(TASK, extract="text", metrics=("f1", "normalized_accuracy"))
    row = {"inputs": "?", "targets": "in the big lake", "references": ["lake", "a sea of water"]}
    for said, f1, exact in (
        ("Lake!", 1.0, 1.0),
        ("big lake", 0.8, 0.0),
        ("sea of fire", 2 / 3, 0.0),
        ("moon", 0.0, 0.0),
    ):
        found = score_task(task, [row], [said], [0.0])
        assert found.metrics == {"f1": pytest.approx(f1), "normalized_accuracy": exact}
        assert found.score == found.metrics["f1"]


def test_prompts_that_were_shortened_are_counted_up_to_the_scores(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """From the renderer through the token cache and its report."""
    prompt = FixedPrompt("Q: {story} A:", shot="Q: {story} A: {answer}", shots=3, cut="story")
    task = replace(animal_task("fs", name="toy_fixed"), prompt=prompt)
    vocabulary = resolve_vocabulary("mini")
    pool = ExemplarPool.for_task(task)
    assert pool is not None
    shown = render(
        task, pool.examples[5], exemplars=pool, vocabulary=vocabulary, budget=1 << 30
    ).inputs
    budget = len(vocabulary.encode(shown))  # one token short for a row of that length
    spec = CacheSpec([task], vocabulary, {"inputs": budget, "targets": 16}, splits=("validation",))
    cache = str(tmp_path_factory.mktemp("cache"))
    (split,) = ensure_cached(spec, cache, num_workers=1).values()
    rows = [example.info or {} for example in split.read(range(split.num_examples))]
    found = score_task(task, rows, [""] * len(rows), [0.0] * len(rows))
    left_out = sum(1 for row in rows if row.get("left_out"))
    assert 0 < left_out <= len(rows)
    assert found.fitted == {LEFT_OUT: left_out}
    assert split.report()["altered"][LEFT_OUT]["count"] == left_out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": ("acuracy",)}, "metric 'acuracy' is not known; did you mean 'accuracy'"),
        ({"extract": "bbh_anser"}, "extractor 'bbh_anser' is not known; did you mean 'bbh_answer'"),
    ],
)
def test_names_are_checked(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_names(replace(TASK, **changes))  # type: ignore[arg-type]
