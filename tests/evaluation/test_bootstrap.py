"""The bootstrap: as wide as theory says, the same each time, and none where it makes no sense."""

from __future__ import annotations

import numpy as np
import pytest

from flan_t5x.evaluation.baselines import Baseline
from flan_t5x.evaluation.bootstrap import drawn_means, generator, interval, resampled_means
from flan_t5x.evaluation.scoring import TaskScore


def task(name: str, scores: list[float], score: float) -> TaskScore:
    return TaskScore(name, "", {}, score, Baseline(0.0, "", 0.0), len(scores), (), tuple(scores))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        scores = random.beta(2.0, 3.0, size=80)  # mean 0.4
        low, high = interval(drawn_means(scores, 400, generator("x", trial)))
        inside += low <= 0.4 <= high
    assert 180 <= inside <= 199


@pytest.mark.parametrize("scores", [[0.0, 1.0, 1.0, 0.0, 1.0] * 9, [0.1, 0.5, 0.9] * 9])
def test_draws_have_the_mean_and_the_error_of_the_mean(scores: list[float]) -> None:
    values = np.array(scores)
    draws = drawn_means(values, 20_000, generator("x", 0))
    assert draws.shape == (20_000,)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.003)
    assert draws.std() == pytest.approx(values.std() / np.sqrt(len(values)), rel=0.03)


def test_draws_belong_to_task_and_seed() -> None:
    scores = [0.0, 0.5, 1.0, 1.0]
    first = resampled_means(task("a", scores, 0.625), 50, 0)
    assert first is not None
    for other, same in ((task("a", scores, 0.625), True), (task("b", scores, 0.625), False)):
        again = resampled_means(other, 50, 0)
        assert again is not None
        assert (first == again).all() == same
    moved = resampled_means(task("a", scores, 0.625), 50, 1)
    assert moved is not None
    assert (first != moved).any()


def test_none_for_what_is_no_mean_of_its_examples() -> None:
    assert resampled_means(task("a", [0.0, 1.0], 0.9), 10, 0) is None
    assert resampled_means(task("a", [0.0, 1.0], float("nan")), 10, 0) is None
    assert resampled_means(task("a", [], float("nan")), 10, 0) is None
