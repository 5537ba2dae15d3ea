"""What a run shows while it goes: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

import rich.progress
from rich.console import Console
from rich.markup import escape


class Progress:
    """Step, loss, tokens per second, share of real tokens and the time left.

    Args:
        train_steps: the last step.
        start_step: the step the run starts or resumes from.
        console: where to print; standard output by default.
        plain_seconds: without a terminal, at most one line in so many seconds (and the last).
        clock: seconds, for tests.

    Example:
        >>> from rich.console import Console
        >>> with Progress(100, console=Console(force_terminal=False, width=200)) as progress:
        ...     progress.update(100, loss=2.5, tokens_per_second=1234.5, real_tokens=0.97)
        step 100/100  loss 2.5000  1,234 tokens/s  97% real
    """

    def __init__(
        self,
        train_steps: int,
        *,
        start_step: int = 0,
        console: Console | None = None,
        plain_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._train_steps = train_steps
        self._console = console or Console()
        self._plain_seconds = plain_seconds
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._last_line = -float("inf")
        self._bar: rich.progress.Progress | None = None
        self._task = rich.progress.TaskID(0)
        if self._console.is_terminal:
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                rich.progress.TextColumn("{task.fields[figures]}"),
                console=self._console,
            )
            self._task = self._bar.add_task(
                "training", total=train_steps, completed=start_step, figures=""
            )

    def update(
        self, step: int, *, loss: float, tokens_per_second: float, real_tokens: float
    ) -> None:
        """Shows the figures of a step.

        Args:
            step: steps done.
            loss: mean loss per target token.
            tokens_per_second: real (not padding) tokens per second.
            real_tokens: share of real tokens in the batches, 0 to 1.
        """
        now = self._clock()
        if self._first is None:
            self._first = (step, now)  # the first step compiles: the rate counts from here
        figures = [
            f"loss {loss:.4f}",
            f"{tokens_per_second:,.0f} tokens/s",
            f"{real_tokens:.0%} real",
        ]
        left = self._seconds_left(step, now)
        if left is not None:
            figures.append(f"{duration(left)} left")
        text = "  ".join(figures)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, figures=text)
        elif now - self._last_line >= self._plain_seconds or step >= self._train_steps:
            self._last_line = now
            self._print(f"step {step}/{self._train_steps}  {text}")

    def phase(self, text: str) -> None:
        """Names what is going on, e.g. ``training`` or ``evaluating``, at the head of the bar."""
        if self._bar is not None:
            self._bar.update(self._task, description=escape(text))

    def say(self, text: str) -> None:
        """Prints a line that stays, above the bar where there is one."""
        self._print(text)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _seconds_left(self, step: int, now: float) -> float | None:
        if self._first is None or step <= self._first[0] or step >= self._train_steps:
            return None
        steps, seconds = step - self._first[0], now - self._first[1]
        return (self._train_steps - step) * seconds / steps


def duration(seconds: float) -> str:
    """Seconds in words.

    Example:
        >>> [duration(s) for s in (0.4, 59.6, 61, 3600, 200000)]
        ['0s', '1m 00s', '1m 01s', '1h 00m', '2d 07h']
    """
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {whole % 60:02d}s" if minutes else f"{whole}s"
