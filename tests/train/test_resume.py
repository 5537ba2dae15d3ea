"""kill -9 and start again: the end is that of a run that nobody touched.

The figures: `python -m tests.train.kill_harness --kills 20 --seed 0`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.kill_harness import CACHE, EACH, PHASES, SAVE, harness


def test_two_kills(tmp_path: Path) -> None:
    outcome = harness(
        tmp_path,
        kills=2,
        seed=3,
        each=0,
        phases=(CACHE, SAVE),
        compiled=tmp_path / "xla",
    )
    assert not outcome.problems
    assert len(outcome.kills) >= 2, outcome.table()
    assert all(kill.equal for kill in outcome.kills)
    assert outcome.kills[-1].resumed > 0, outcome.table()


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    outcome = harness(tmp_path, kills=20, seed=0)
    print(outcome.table())
    assert not outcome.problems
    assert len(outcome.kills) >= 20
    assert all(outcome.count(phase) >= EACH for phase in PHASES), outcome.table()
