"""Where a process's wall time goes: every second belongs to exactly one activity."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np

START_UP, STEPS, INPUT = "start_up", "steps", "input"
EVALUATION, CHECKPOINT = "evaluation", "checkpoint"
ACTIVITIES = (STEPS, INPUT, EVALUATION, CHECKPOINT, START_UP)
"""`START_UP` lasts until the first step is completed: token cache, restore, compilation."""


class WallTime:
    """A ledger of seconds by activity; begins in `START_UP`.

    Args:
        clock: seconds, for tests.

    Attributes:
        activity: the one that goes on now.
        since: when it began, or last made progress (`progressed`).
        step: the last step that was completed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = dict.fromkeys(ACTIVITIES, 0.0)
        self._entered = clock()
        self.activity = START_UP
        self.since = self._entered
        self.step: int | None = None

    def switch(self, activity: str) -> None:
        """Another activity begins."""
        now = self._clock()
        self._seconds[self.activity] += now - self._entered
        self.activity, self._entered, self.since = activity, now, now

    @contextlib.contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """What goes on inside belongs to `activity`; afterwards the former one goes on."""
        former = self.activity
        self.switch(activity)
        try:
            yield
        finally:
            self.switch(former)

    def move(self, seconds: float, *, to: str) -> None:
        """Gives seconds that were counted for the current activity to another one."""
        self._seconds[self.activity] -= seconds
        self._seconds[to] += seconds

    def progressed(self, step: int) -> None:
        """A step was completed."""
        self.step, self.since = step, self._clock()

    def seconds(self) -> dict[str, float]:
        """Seconds by activity so far; they sum up to the age of this ledger."""
        found = dict(self._seconds)
        found[self.activity] += self._clock() - self._entered
        return found

    def figures(self) -> dict[str, float]:
        """`seconds`, their sum as "total", and "goodput": the share of steps in it."""
        seconds = self.seconds()
        total = sum(seconds.values())
        return {**seconds, "total": total, "goodput": seconds[STEPS] / max(total, 1e-9)}

    def summary(self) -> str:
        """Shares in a line.

        Example:
            >>> times = iter([0.0, 5.0, 95.0, 95.0, 100.0, 100.0])
            >>> wall = WallTime(clock=lambda: next(times))
            >>> wall.switch("steps")
            >>> with wall.during("evaluation"):
            ...     pass
            >>> wall.summary()
            'wall time 100 s: steps 95 %, input 0 %, evaluation 0 %, checkpoint 0 %, start-up 5 %'
        """
        seconds = self.seconds()
        total = max(sum(seconds.values()), 1e-9)
        parts = [
            f"{name.replace('_', '-')} {100 * seconds[name] / total:.0f} %" for name in ACTIVITIES
        ]
        return f"wall time {total:.0f} s: {', '.join(parts)}"


def straggler_figures(input_wait: np.ndarray, busy: np.ndarray, seconds: float) -> dict[str, float]:
    """Who keeps the others waiting, of a period of steps.

    All processes take the same time for a step, as they wait for each other in its collectives.
    The slowest host is the one that waits least for its devices.

    Args:
        input_wait: float [process], seconds that each waited for batches.
        busy: float [process], seconds in which each did not wait for its devices: input,
            placing, dispatch.
        seconds: length of the period.
    """
    return {
        "input_wait_share": float(input_wait.max()) / seconds,
        "host_share": float(busy.max()) / seconds,
        "slowest_process": int(busy.argmax()),
    }
