"""The loop: start what is free to start, take in what has ended, until nothing is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from flan_t5x.errors import EXIT_BAD_INPUT, EXIT_NON_FINITE, EXIT_PREEMPTED
from flan_t5x.sweep.local import Ended
from flan_t5x.sweep.runs import PlannedRun
from flan_t5x.sweep.schedule import Schedule
from flan_t5x.sweep.table import SCORE
from flan_t5x.train.signals import StopRequest

_IN_VAIN = (EXIT_BAD_INPUT, EXIT_NON_FINITE)
"""What a further attempt would only meet again."""


class Pool(Protocol):
    """Where runs are made."""

    @property
    def free(self) -> int: ...
    @property
    def running(self) -> Sequence[PlannedRun]: ...
    def start(self, run: PlannedRun) -> None: ...
    def ended(self) -> list[Ended]: ...
    def stop(self, run: PlannedRun) -> None: ...
    def close(self) -> None: ...


def execute(
    schedule: Schedule,
    pool: Pool,
    *,
    attempts: int,
    say: Callable[[str], None],
    changed: Callable[[], None],
) -> str:
    """Makes the runs.

    Args:
        schedule: what comes next.
        pool: where it is made; closed at the end.
        attempts: how often a run is started before it is given up. Bad input and a loss that
            is no number are not tried again.
        say: takes a line for the user.
        changed: called after every run that ended.

    Returns:
        The name of the signal that ended it early; empty for none.
    """
    tries: Counter[str] = Counter()
    began: dict[str, float] = {}
    with StopRequest() as stop:
        try:
            while not stop.requested:
                while pool.free and (run := schedule.next()):
                    tries[run.name] += 1
                    began[run.name] = time.monotonic()
                    pool.start(run)
                    say(f"{_count(schedule)} started   {run.label}")
                ended = pool.ended()
                for one in ended:
                    seconds = time.monotonic() - began[one.run.name]
                    _take_in(schedule, one, last=tries[one.run.name] >= attempts)
                    say(f"{_count(schedule)} {_outcome(schedule, one)} ({seconds:.0f} s)")
                    changed()
                for run in schedule.hopeless(pool.running):
                    pool.stop(run)
                if not ended and not pool.running:
                    return ""
            return stop.name
        finally:
            pool.close()


def _take_in(schedule: Schedule, ended: Ended, *, last: bool) -> None:
    if ended.code == 0:
        schedule.finished(ended.run)
    elif ended.code in _IN_VAIN or (last and ended.code != EXIT_PREEMPTED):
        schedule.failed(ended.run, f"exit code {ended.code}: {ended.said}")
    else:
        schedule.again(ended.run)


def _count(schedule: Schedule) -> str:
    rows = schedule.rows()
    return f"[{sum(row.status == 'done' for row in rows)}/{len(rows)}]"


def _outcome(schedule: Schedule, ended: Ended) -> str:
    row = next(row for row in schedule.rows() if row.run == ended.run.name)
    if row.status == "done":
        return f"done      {ended.run.label}: {SCORE} {row.figures.get(SCORE, float('nan')):.4f}"
    if row.status == "failed":
        return f"failed    {ended.run.label}: {row.problem}"
    if row.status == "pruned":
        return f"pruned    {ended.run.label}"
    return f"tried     {ended.run.label}: exit code {ended.code}: {ended.said}; once more"
