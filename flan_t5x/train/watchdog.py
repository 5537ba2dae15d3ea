"""Ends a run that hangs: where no step is completed in time, all stacks are printed.

A lost host or a dead file system leaves every process waiting, and the machines cost as much as
when they train. The exit code is `errors.EXIT_STALLED`, so that whatever started the run can tell
it from a failure and start it again.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from flan_t5x.errors import StalledError
from flan_t5x.parallel import together
from flan_t5x.train.config import WatchdogConfig
from flan_t5x.train.goodput import CHECKPOINT, EVALUATION, INPUT, STEPS, WallTime

_LOOKS = 10  # in the shortest limit
_LONGEST_LOOK = 5.0  # seconds


class Watchdog:
    """Watches a run's wall time from a thread while it is open.

    Args:
        wall: tells what goes on, and since when without progress.
        config: how long each activity may take; what has no limit is not watched.
    """

    def __init__(self, wall: WallTime, config: WatchdogConfig) -> None:
        self._wall = wall
        limits = {
            STEPS: config.step_seconds,
            INPUT: config.step_seconds,
            EVALUATION: config.evaluation_seconds,
            CHECKPOINT: config.save_seconds,
        }
        self._limits = {name: limit for name, limit in limits.items() if limit is not None}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        if self._limits:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()

    def _watch(self) -> None:
        look = min(_LONGEST_LOOK, min(self._limits.values()) / _LOOKS)
        while not self._closed.wait(look):
            activity, since = self._wall.activity, self._wall.since
            limit = self._limits.get(activity)
            if limit is not None and time.monotonic() - since > limit:
                together.dump_stacks()
                together.end_now(StalledError(self._message(activity, limit)))

    def _message(self, activity: str, limit: float) -> str:
        last = "no step was completed yet" if self._wall.step is None else f"step {self._wall.step}"
        what = {STEPS: "no step was completed", INPUT: "no batch came"}.get(
            activity, f"no end of {activity}"
        )
        setting = {EVALUATION: "evaluation_seconds", CHECKPOINT: "save_seconds"}.get(
            activity, "step_seconds"
        )
        return (
            f"{what} in {limit:g} s (last: {last}); the stacks above show where every thread is. "
            "The last checkpoint is sound: run the same command again, or raise "
            f"WatchdogConfig.{setting} if that is how long it takes"
        )
