"""Where shards are built: in a pool of processes kept for a whole build, or in the caller.

Processes are spawned, never forked: the caller may hold jax, TensorFlow and threads. They
import neither, and they end with their parent, even when that is killed.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from flan_t5x.data.cache_units import Unit, UnitResult
from flan_t5x.data.cache_worker import (
    RenderSettings,
    ShardBuilder,
    build_in_worker,
    start_worker,
)

SMALL_ROWS = 4_000  # about what one process renders while another one starts


class Workers(Protocol):
    """Takes units, gives futures, counts rows."""

    depth: int  # units to hold at once, so that none of the workers waits
    results_in_files: bool  # whether results have to be noted beside the shards

    @property
    def rows_done(self) -> int:
        """Rows worked on so far, unfinished shards included."""
        ...

    def submit(self, unit: Unit) -> Future[UnitResult]: ...

    def attend(self) -> None:
        """Called now and then while futures are open and nothing more can be submitted."""
        ...


Crew = Callable[[RenderSettings], AbstractContextManager[Workers]]
"""Makes other workers than local processes, stopped on the way out."""


def default_workers() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(
    settings: RenderSettings,
    *,
    num_workers: int | None,
    units: int,
    rows: int,
    tick: Callable[[], None],
) -> Iterator[Workers]:
    """Workers for a build of `units` shards with `rows` rows, stopped on the way out.

    Args:
        settings: of the build.
        num_workers: processes; None takes one per core. One or none, or little work: the
            caller's own process, which saves the start of another.
        units: shards to build.
        rows: source rows in them.
        tick: called without arguments after each chunk that the caller's own process rendered.
    """
    count = min(default_workers() if num_workers is None else num_workers, units)
    if count <= 1 or rows <= SMALL_ROWS:
        yield _Inline(settings, tick)
        return
    pool = _Pool(settings, count)
    try:
        yield pool
    finally:
        pool.stop()


class _Inline:
    """Builds each shard as it is submitted."""

    depth = 1
    results_in_files = False

    def __init__(self, settings: RenderSettings, tick: Callable[[], None]) -> None:
        self.rows_done = 0
        self._notify = tick
        self._builder = ShardBuilder(settings, self._tick, lambda: False)

    def _tick(self, count: int) -> None:
        self.rows_done += count
        self._notify()

    def submit(self, unit: Unit) -> Future[UnitResult]:
        future: Future[UnitResult] = Future()
        try:
            future.set_result(self._builder.build(unit))
        except Exception as error:
            future.set_exception(error)
        return future

    def attend(self) -> None:
        """Nothing is ever open."""


class _Pool:
    """Spawned processes with a shared counter of rows and a shared stop flag."""

    results_in_files = False

    def __init__(self, settings: RenderSettings, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.depth = 2 * count
        self._rows_done = context.Value("q", 0)
        self._stop = context.RawValue("b", 0)
        self._executor = ProcessPoolExecutor(
            count,
            mp_context=context,
            initializer=start_worker,
            initargs=(settings, self._rows_done, self._stop),
        )

    @property
    def rows_done(self) -> int:
        return int(self._rows_done.value)

    def submit(self, unit: Unit) -> Future[UnitResult]:
        return self._executor.submit(build_in_worker, unit)

    def attend(self) -> None:
        """The processes need no looking after."""

    def stop(self) -> None:
        """Ends the processes; a shard in work is given up at its next chunk."""
        self._stop.value = 1
        self._executor.shutdown(wait=True, cancel_futures=True)
