"""Lives of several processes: stopped, killed, and gone on by another number of them.

The figures: `python -m tests.train.hosts_harness`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flan_t5x.errors import EXIT_PREEMPTED
from tests.train.hosts_harness import END, FSDP, KILL, MACROS, STOP, Life, harness


def test_one_of_two_is_stopped_then_killed_then_one_goes_on(tmp_path: Path) -> None:
    lives = [Life(2, STOP, FSDP), Life(2, KILL, FSDP), Life(1, END)]
    ends, problems = harness(tmp_path, lives)
    assert not problems
    stopped, killed, last = ends
    assert stopped.codes == [EXIT_PREEMPTED] * 2  # only one of them got the signal
    assert stopped.saved == killed.resumed > 0
    assert last.resumed > killed.resumed
    assert last.saved == MACROS["TRAIN_STEPS"]


@pytest.mark.slow
def test_four_are_killed_and_two_go_on(tmp_path: Path) -> None:
    lives = [Life(4, KILL), Life(2, KILL), Life(4, STOP, FSDP), Life(2, END)]
    _, problems = harness(tmp_path, lives)
    assert not problems
