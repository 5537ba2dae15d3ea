"""From a row to its score: several right answers, markers of options, rows that belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.data.cache import CacheSpec, ensure_cached
from flan_t5x.data.definitions import TaskDefinition, Template
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.evaluation.heldout import HeldOut, TaskScore
from tests.evaluation.toys import FakeGenerator, Rows, class_task, open_task


def scored(
    task: TaskDefinition, texts: list[str], folder: Path
) -> tuple[TaskScore, list[dict[str, object]]]:
    vocabulary = resolve_vocabulary("mini")
    spec = CacheSpec((task,), vocabulary, {"inputs": 64, "targets": 16})
    split = ensure_cached(spec, folder, num_workers=1)[task.name, "validation"]
    generator = FakeGenerator(texts, vocabulary)
    made = HeldOut([task], [split], vocabulary=vocabulary, generator=generator)  # type: ignore[arg-type]
    return made({}).tasks[0], [dict(row.info or {}) for row in split.read(range(6))]


def test_classes_are_scored_whatever_their_markers(tmp_path: Path) -> None:
    task = class_task()
    right, rows = scored(task, ["(A)", "(B)", "(B)", "(A)", "(B)", "(A)"], tmp_path)
    assert [row["targets"] for row in rows] == ["(A)", "(B)", "(B)", "(A)", "(B)", "(A)"]
    assert rows[0]["classes"] == ["yes", "no"]
    assert right.metrics == {"f1_yes": 1.0, "group_match": 1.0, "matthews": 1.0, "accuracy": 1.0}
    # One false alarm and one that says neither: 2 of 3 yes found, 1 wrong; one group is whole.
    wrong, _ = scored(task, ["(A)", "(B)", "(A)", "(A)", "(B)", "hm"], tmp_path)
    assert wrong.score == wrong.metrics["f1_yes"] == pytest.approx(2 * 2 / (3 + 3))
    assert wrong.metrics["group_match"] == pytest.approx(1 / 3)
    assert wrong.metrics["accuracy"] == pytest.approx(4 / 6)
    assert wrong.samples[0].correct


def test_any_of_the_right_answers_counts(tmp_path: Path) -> None:
    task = open_task()
    said = ["red", "the blue", "blue", "green", "blue red", "white"]
    found, rows = scored(task, said, tmp_path)
    assert rows[0]["references"] == ["the blue", "green"]
    assert found.metrics["em"] == pytest.approx(4 / 6)
    assert found.metrics["f1"] == pytest.approx((4 + 2 / 3) / 6)
    assert found.metrics["rouge1"] == pytest.approx((1 + 1 + 2 / 3 + 1 + 2 / 3) / 6)


def test_answers_of_the_forward_task_are_no_references_of_another(tmp_path: Path) -> None:
    """Turned round, the target is the text: that "green" is right as well says nothing of it."""
    task = TaskDefinition(
        "toy_turned", Rows("open"), (Template("Give a text for {answer}.", targets="{text}"),)
    )
    found, rows = scored(task, ["green"] * 6, tmp_path)
    assert "references" not in rows[0]
    assert found.score == 0.0
