"""A run that stands still prints its stacks and ends with a code of its own."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from flan_t5x.errors import EXIT_STALLED, UserError
from flan_t5x.train.config import WatchdogConfig
from flan_t5x.train.goodput import EVALUATION, START_UP, STEPS, WallTime
from flan_t5x.train.watchdog import Watchdog

PROGRAM = """
import sys, time
from flan_t5x.train.config import WatchdogConfig
from flan_t5x.train.goodput import WallTime
from flan_t5x.train.watchdog import Watchdog

def a_function_that_hangs():
    time.sleep(60)

wall = WallTime()
limits = {"step_seconds": 30.0, "evaluation_seconds": 30.0, "save_seconds": 30.0}
limits[sys.argv[2]] = 0.3
with Watchdog(wall, WatchdogConfig(**limits)):
    wall.switch("steps")
    for step in range(1, 6):
        time.sleep(0.1)
        wall.progressed(step)
    wall.switch(sys.argv[1])
    a_function_that_hangs()
"""


@pytest.mark.parametrize(
    ("activity", "setting", "words"),
    [
        ("steps", "step_seconds", "no step was completed in 0.3 s (last: step 5)"),
        ("input", "step_seconds", "no batch came in 0.3 s"),
        ("evaluation", "evaluation_seconds", "no end of evaluation in 0.3 s"),
        ("checkpoint", "save_seconds", "no end of checkpoint in 0.3 s"),
    ],
)
def test_a_hang_ends_with_stacks(activity: str, setting: str, words: str) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, activity, setting],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == EXIT_STALLED, done.stderr
    assert time.monotonic() - began < 45
    assert "in a_function_that_hangs" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"flan-t5x: error: {words}")
    assert f"WatchdogConfig.{setting}" in last


def test_what_moves_or_may_take_long_is_left_alone() -> None:
    """Were it to fire, this process would be gone."""
    wall = WallTime()
    limits = WatchdogConfig(step_seconds=0.3, evaluation_seconds=None, save_seconds=None)
    with Watchdog(wall, limits):
        time.sleep(0.5)  # start-up
        assert wall.activity == START_UP
        with wall.during(EVALUATION):
            time.sleep(0.5)
        wall.switch(STEPS)
        for step in range(10):
            time.sleep(0.05)
            wall.progressed(step)
    time.sleep(0.5)  # closed


def test_without_limits_there_is_no_thread() -> None:
    config = WatchdogConfig(step_seconds=None, evaluation_seconds=None, save_seconds=None)
    with Watchdog(WallTime(), config) as dog:
        assert not dog._thread.is_alive()


@pytest.mark.parametrize("value", [0, -1.0])
def test_a_limit_is_positive(value: float) -> None:
    with pytest.raises(UserError, match=r"WatchdogConfig.step_seconds = .*: seconds > 0"):
        WatchdogConfig(step_seconds=value)
