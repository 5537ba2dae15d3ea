"""Baselines against their definition, and against guessers that are simulated."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from flan_t5x.evaluation.baselines import Baseline, baseline

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
