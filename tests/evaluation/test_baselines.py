"""Baselines against their definition, and against guessers that are simulated."""

from __future__ import annotations

import math

import hypothesis
import hypothesis.strategies as st
import pytest

from flan_t5x.data.definitions import TaskDefinition, Template
from flan_t5x.evaluation.baselines import CHEAP, Baseline, baseline, shown
from flan_t5x.evaluation.metrics import METRICS
from flan_t5x.evaluation.scoring import AnswerKey
from tests.data.rows import animal_source

ANSWERS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=20)


@hypothesis.given(ANSWERS)
def test_no_constant_answer_does_better(answers: list[str]) -> None:
    found = baseline(answers, [()] * len(answers))
    assert found.constant == max(answers.count(a) for a in "abcd") / len(answers)
    assert answers.count(found.constant_answer) == found.constant * len(answers)
    assert found.random == 0.0, "an open space cannot be guessed"


@hypothesis.given(st.lists(st.integers(1, 6), min_size=1, max_size=10))
def test_drawing_from_n_valid_answers_hits_one_in_n(sizes: list[int]) -> None:
    valid = [[f"v{i}" for i in range(n)] for n in sizes]
    found = baseline(["v0"] * len(sizes), valid)
    assert found.random == pytest.approx(sum(1 / n for n in sizes) / len(sizes))


def test_the_better_of_the_two() -> None:
    assert baseline(["b", "a", "c"], [["a", "b"], ["a", "b"], []]) == Baseline(1 / 3, "a", 1 / 3)
    assert baseline(["x"], [["y", "z"]]).value == 1.0
    assert Baseline(0.2, "a", 0.5).value == 0.5


def test_an_answer_listed_twice_is_drawn_twice_as_often() -> None:
    assert baseline(["a"], [["a", "a", "b"]]).random == pytest.approx(2 / 3)


def test_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="0 answers"):
        baseline([], [])
    with pytest.raises(ValueError, match="2 answers, 1 sets"):
        baseline(["a", "b"], [[]])


def key_of(metric: str, rows: list[dict[str, object]]) -> AnswerKey:
    task = TaskDefinition("t", animal_source(), (Template("{story}"),), metrics=(metric,))
    return AnswerKey(task, rows)


@pytest.mark.parametrize("metric", METRICS)
def test_a_constant_is_scored_by_the_metric_itself(metric: str) -> None:
    """Six numbers, three times the same: what "2.0" for every question scores, or nothing."""
    golds = ["2.0", "1.0", "2.0", "3.0", "2.0", "1.0"]
    key = key_of(metric, [{"id": i, "targets": gold} for i, gold in enumerate(golds)])
    found = key.baseline()
    if metric not in CHEAP:
        assert math.isnan(found.value)
        assert found.constant_answer == ""
        return
    (first, *_) = key.metrics([found.constant_answer] * 6).values()
    assert found.value == found.constant == first
    assert all(next(iter(key.metrics([gold] * 6).values())) <= first for gold in golds)


def test_classes_behind_markers_have_a_constant_too() -> None:
    """Always "yes" has an F1 of 2 * 2 / (2 + 4), whichever letter stands for it."""
    rows: list[dict[str, object]] = [
        {"targets": "A", "valid_answers": ["A", "B"], "classes": ["yes", "no"]},
        {"targets": "B", "valid_answers": ["A", "B"], "classes": ["no", "yes"]},
        {"targets": "A", "valid_answers": ["A", "B"], "classes": ["no", "yes"]},
        {"targets": "B", "valid_answers": ["A", "B"], "classes": ["yes", "no"]},
    ]
    found = key_of("f1_yes", rows).baseline()
    assert (found.constant, found.constant_answer) == (pytest.approx(2 / 3), "yes")
    assert math.isnan(found.random), "a chance of being right is no F1"
    assert key_of("matthews", rows).baseline().value == 0.0
    assert key_of("accuracy", rows).baseline() == Baseline(0.5, "A", 0.5)


def test_other_right_answers_make_a_constant_better() -> None:
    rows: list[dict[str, object]] = [
        {"targets": "red", "references": ["blue"]},
        {"targets": "blue"},
        {"targets": "red"},
        {"targets": "green", "references": ["blue"]},
    ]
    found = key_of("squad", rows).baseline()
    assert (found.value, found.constant_answer) == (0.75, "blue")


def test_undefined_figures_are_dashes() -> None:
    assert [shown(x) for x in (math.nan, None, 0.25)] == ["-", "-", "0.250"]
    assert shown(0.5, 4) == "0.5000"
