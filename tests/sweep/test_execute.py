"""The loop: so many at a time, further attempts, what is given up, and a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from flan_t5x.sweep.execute import execute
from flan_t5x.sweep.local import Ended
from flan_t5x.sweep.runs import PlannedRun
from flan_t5x.sweep.schedule import Planned

from .toys import finish, planned


class FakePool:
    """Runs end at once, each attempt with the next of its codes."""

    def __init__(self, folder: Path, codes: dict[str, list[int]], size: int = 1) -> None:
        self.folder, self.codes, self.size = folder, codes, size
        self.running: list[PlannedRun] = []
        self.started: list[str] = []
        self.most = 0
        self.closed = False

    @property
    def free(self) -> int:
        return self.size - len(self.running)

    def start(self, run: PlannedRun) -> None:
        self.running.append(run)
        self.started.append(run.name)
        self.most = max(self.most, len(self.running))

    def ended(self) -> list[Ended]:
        if not self.running:
            return []
        run = self.running.pop(0)
        code = self.codes.get(run.name, [0]).pop(0) if self.codes.get(run.name) else 0
        if code == 0:
            finish(self.folder, run, score=0.5)
        return [Ended(run, code, "last words")]

    def stop(self, run: PlannedRun) -> None:
        raise AssertionError

    def close(self) -> None:
        self.closed = True


RUNS = [planned("a"), planned("b"), planned("c")]


def swept(
    tmp_path: Path, codes: dict[str, list[int]], *, attempts: int = 2, size: int = 1
) -> tuple[FakePool, Planned, list[str]]:
    said: list[str] = []
    pool = FakePool(tmp_path, codes, size)
    schedule = Planned(tmp_path, RUNS, metric="score", pilot=None)
    assert execute(schedule, pool, attempts=attempts, say=said.append, changed=_nothing) == ""
    assert pool.closed
    return pool, schedule, said


def _nothing() -> None:
    pass


@pytest.mark.parametrize("size", [1, 2, 5])
def test_all_runs_once(size: int, tmp_path: Path) -> None:
    pool, schedule, said = swept(tmp_path, {}, size=size)
    assert pool.started == [run.name for run in RUNS]
    assert pool.most == min(size, 3)
    assert [row.status for row in schedule.rows()] == ["done"] * 3
    assert "[3/3] done      seed=0: score 0.5000" in said[-1]


def test_a_crash_is_tried_again(tmp_path: Path) -> None:
    pool, schedule, _ = swept(tmp_path, {RUNS[0].name: [-9]})
    assert pool.started.count(RUNS[0].name) == 2
    assert [row.status for row in schedule.rows()] == ["done"] * 3


def test_given_up_after_its_attempts(tmp_path: Path) -> None:
    pool, schedule, said = swept(tmp_path, {RUNS[1].name: [1, 1, 1]}, attempts=3)
    assert pool.started.count(RUNS[1].name) == 3
    assert [row.status for row in schedule.rows()] == ["done", "failed", "done"]
    assert schedule.rows()[1].problem == "exit code 1: last words"
    assert any("failed    seed=0: exit code 1: last words" in line for line in said)


@pytest.mark.parametrize("code", [2, 3])
def test_bad_input_is_not_tried_again(code: int, tmp_path: Path) -> None:
    pool, schedule, _ = swept(tmp_path, {RUNS[0].name: [code]}, attempts=5)
    assert pool.started.count(RUNS[0].name) == 1
    assert schedule.rows()[0].status == "failed"


def test_a_run_that_was_asked_to_stop_goes_on(tmp_path: Path) -> None:
    pool, schedule, _ = swept(tmp_path, {RUNS[0].name: [75, 75, 75]}, attempts=1)
    assert pool.started.count(RUNS[0].name) == 4
    assert schedule.rows()[0].status == "done"


def test_a_signal_ends_the_loop_and_the_pool(tmp_path: Path) -> None:
    pool = FakePool(tmp_path, {})
    schedule = Planned(tmp_path, RUNS, metric="score", pilot=None)
    interrupt: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    name = execute(schedule, pool, attempts=1, say=_ignore, changed=interrupt)
    assert name == "SIGTERM"
    assert pool.closed
    assert len(pool.started) == 1


def _ignore(line: str) -> None:
    pass
