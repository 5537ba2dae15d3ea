"""How far work on many rows is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

import rich.progress
from rich.console import Console
from rich.markup import escape

_PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal


class RowProgress:
    """Shown from the first update on.

    Args:
        doing: what happens to the rows, at the head of the bar, e.g. ``caching``.
        done: the same in the past, at the head of a line, e.g. ``cached``.
        unit: what is counted, e.g. ``rows``.
        console: where to show it.

    Example:
        >>> from rich.console import Console
        >>> with RowProgress("caching", "cached", "rows", console=Console()) as progress:
        ...     progress.update(5, 10)
    """

    def __init__(self, doing: str, done: str, unit: str, *, console: Console) -> None:
        self._words = (doing, done, unit)
        self._console = console
        self._bar: rich.progress.Progress | None = None
        self._task = rich.progress.TaskID(0)
        self._last_line = time.monotonic()

    def update(self, done: int, total: int, current: str = "") -> None:
        """Shows that `done` of `total` rows are done, and what is in work."""
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = self._make_bar()
                self._bar.start()
                self._task = self._bar.add_task("", total=total)
            self._bar.update(self._task, completed=done, description=escape(current))
        elif time.monotonic() - self._last_line >= _PLAIN_SECONDS:
            self._last_line = time.monotonic()
            _, verb, unit = self._words
            where = f" ({current})" if current else ""
            line = f"{verb} {done:,} of {total:,} {unit}{where}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _make_bar(self) -> rich.progress.Progress:
        doing, _, unit = self._words
        return rich.progress.Progress(
            rich.progress.TextColumn(doing),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn(unit),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.description}"),
            console=self._console,
            transient=True,
        )

    def __enter__(self) -> RowProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
