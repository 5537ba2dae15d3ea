"""SIGTERM and SIGINT as a request: the loop looks at it after each step, saves and ends."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
CHECK_SECONDS = 5.0
"""How long, at the most, several processes train on after one of them was asked to stop, above
the length of a step: a spot machine has half a minute."""


class StopRequest:
    """Catches the signals while it is open.

    A signal only sets a flag. After a first Ctrl-C the previous handler is back, so a second
    one ends the process at once; further SIGTERMs change nothing (`timeout` sends two).
    Outside the main thread, where Python has no signal handlers, nothing is caught and nothing
    is ever requested.

    Example:
        >>> with StopRequest() as stop:
        ...     stop.requested
        False
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._next_check = 0
        self._checked_at = (0, 0.0)  # step, seconds

    @property
    def requested(self) -> bool:
        """Whether this process was asked to stop."""
        return self.signal is not None

    @property
    def name(self) -> str:
        """``SIGTERM`` or ``SIGINT``; empty before a request, or where another process got it."""
        return self.signal.name if self.signal is not None else ""

    def due(self, step: int) -> bool:
        """Whether several processes talk at this step. No step may be under way then: its
        collectives and this one would meet in another order on another process."""
        import jax

        return jax.process_count() > 1 and step >= self._next_check

    def agreed(self, step: int) -> bool:
        """Whether any process of the run was asked to stop; all of them answer alike.

        All processes must call it at the same steps, in order. Several of them talk about it
        once in `CHECK_SECONDS`, at a step that they agree on: after every step where steps are
        slow, seldom where they are quick, as each time costs a collective.

        Args:
            step: where the loop stands.
        """
        import jax

        if jax.process_count() == 1:
            return self.requested
        import numpy as np

        from flan_t5x.parallel.distributed import gather

        if not self.due(step):
            return False
        now = time.monotonic()
        passed = max(step - self._checked_at[0], 1)
        seconds = (now - self._checked_at[1]) / passed if self._checked_at[1] else CHECK_SECONDS
        answers = gather(np.array([float(self.requested), seconds]))
        slowest = max(float(answers[:, 1].max()), 1e-6)
        self._next_check = step + min(max(int(CHECK_SECONDS / slowest), 1), 2 * passed)
        self._checked_at = (step, now)
        return bool(answers[:, 0].any())

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in SIGNALS:
            self._restore(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number)
        if number == signal.SIGINT:
            self._restore(signal.SIGINT)

    def _restore(self, number: signal.Signals) -> None:
        if number in self._previous:
            handler = self._previous.pop(number)
            # None: the earlier handler was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
