"""Every second of a run belongs to one activity."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from flan_t5x.train import goodput
from flan_t5x.train.goodput import (
    CHECKPOINT,
    EVALUATION,
    INPUT,
    START_UP,
    STEPS,
    WallTime,
    straggler_figures,
)


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_seconds_sum_up_to_the_age() -> None:
    clock = Clock()
    wall = WallTime(clock)
    clock.now += 10
    with wall.during(EVALUATION):  # before the first step
        clock.now += 5
    assert wall.activity == START_UP
    clock.now += 1
    wall.switch(STEPS)
    clock.now += 70
    wall.move(4.0, to=INPUT)
    with wall.during(CHECKPOINT):
        clock.now += 10
    clock.now += 4
    assert wall.seconds() == {
        START_UP: 11.0,
        EVALUATION: 5.0,
        STEPS: 70.0,
        INPUT: 4.0,
        CHECKPOINT: 10.0,
    }
    figures = wall.figures()
    assert figures["total"] == 100.0
    assert figures["goodput"] == 0.7


def test_an_error_ends_an_activity() -> None:
    wall = WallTime(Clock())
    with pytest.raises(RuntimeError), wall.during(EVALUATION):
        raise RuntimeError
    assert wall.activity == START_UP


def test_progress_is_when_a_step_is_done_or_another_activity_begins() -> None:
    clock = Clock()
    wall = WallTime(clock)
    wall.switch(STEPS)
    clock.now += 3
    wall.progressed(7)
    assert (wall.step, wall.since) == (7, 103.0)
    clock.now += 2
    with wall.during(CHECKPOINT):
        assert wall.since == 105.0
    assert wall.seconds()[STEPS] == 5.0


def test_the_slowest_host_is_the_one_that_does_not_wait() -> None:
    figures = straggler_figures(np.array([0.1, 4.0, 0.2]), np.array([0.5, 4.5, 0.4]), 10.0)
    assert figures == {"input_wait_share": 0.4, "host_share": 0.45, "slowest_process": 1}


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(goodput).failed == 0
