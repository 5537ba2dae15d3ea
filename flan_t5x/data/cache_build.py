"""Builds missing task splits: shards of many tasks over one set of workers.

Tasks that another process is building are left to it and looked at again at the end, so
several processes that need the same cache share the work, and none waits holding a lock.
"""

from __future__ import annotations

import errno
import pickle
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import groupby

from flan_t5x.data.cache_locks import TaskLock
from flan_t5x.data.cache_plan import CacheSpec, Entry
from flan_t5x.data.cache_records import SMALLEST_SHARD, CachedSplit, DiskFullError, is_disk_full
from flan_t5x.data.cache_split import SplitBuild, remove_leftovers
from flan_t5x.data.cache_units import UnitResult
from flan_t5x.data.cache_worker import RenderSettings
from flan_t5x.data.cache_workers import Crew, Workers, workers
from flan_t5x.errors import UserError

Progress = Callable[[int, int, str], None]
Say = Callable[[str], None]
Reopen = Callable[[Entry], CachedSplit | None]
Key = tuple[str, str]

_POLL_SECONDS = 0.2
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)


def build_missing(
    entries: Sequence[Entry],
    spec: CacheSpec,
    *,
    num_workers: int | None,
    reopen: Reopen,
    progress: Progress | None,
    say: Say,
    crew: Crew | None = None,
) -> dict[Key, CachedSplit]:
    """Builds task splits and puts each in its place as soon as it is finished.

    Args:
        entries: what is missing, entries of one task in a row.
        spec: what they were planned from.
        num_workers: processes; None takes one per core.
        reopen: gives a split that another process has finished meanwhile.
        progress: told (rows done, rows in all, task and split in work). What it raises ends
            the build.
        say: told when this process waits for another one, and of shards that were there.
        crew: other workers than local processes.

    Raises:
        UserError: bad rows, a full disk, a folder that cannot be written, a dead worker.
    """
    build = Build(entries, max_reject_share=spec.max_reject_share, reopen=reopen, say=say)
    total = sum(entry.num_rows for entry in entries)

    def tick() -> None:
        if progress is not None:
            progress(build.rows_done, total, build.current)

    settings = RenderSettings(
        spec.vocabulary, spec.feature_lengths["inputs"], spec.feature_lengths["targets"]
    )
    units = sum(entry.num_shards for entry in entries)
    try:
        if crew is not None:
            with crew(settings) as others:
                return build.run(others, tick)
        with workers(settings, num_workers=num_workers, units=units, rows=total, tick=tick) as own:
            return build.run(own, tick)
    except DiskFullError as error:
        build.clean_up()
        raise UserError(build.out_of_space(error)) from error
    except BrokenProcessPool as error:
        raise UserError(
            "a caching process ended unexpectedly: it was killed, or ran out of memory. Run the "
            "same command again (finished splits are kept), with fewer num_workers if memory is "
            "short. A script of your own must start under `if __name__ == '__main__':`."
        ) from error
    finally:
        build.clean_up()


class Build:
    """Takes the tasks' locks, keeps the workers busy, collects their shards.

    Args:
        entries: see `build_missing`, as the other arguments.
    """

    def __init__(
        self, entries: Sequence[Entry], *, max_reject_share: float, reopen: Reopen, say: Say
    ) -> None:
        self._entries = entries
        self._max_reject_share = max_reject_share
        self._reopen = reopen
        self._say = say
        self._cache_dir = entries[0].task_directory.parent
        self._workers: Workers | None = None
        self._ready: deque[tuple[SplitBuild, int]] = deque()
        self._running: dict[Future[UnitResult], tuple[SplitBuild, int]] = {}
        self._unfinished: dict[str, list[SplitBuild]] = {}
        self._locks: dict[str, TaskLock] = {}
        self._finished: dict[Key, CachedSplit] = {}
        self._rows_elsewhere = 0
        self._shard_rows = self._shard_bytes = 0
        self.current = ""

    @property
    def rows_done(self) -> int:
        """Rows worked on here, and rows of splits that turned out to be there."""
        return self._rows_elsewhere + (self._workers.rows_done if self._workers else 0)

    def run(self, crew: Workers, tick: Callable[[], None]) -> dict[Key, CachedSplit]:
        """Builds everything; `tick` is called every now and then. Raises as `build_missing`."""
        self._workers = crew
        todo = deque(list(group) for _, group in groupby(self._entries, lambda e: e.task.name))
        elsewhere: deque[list[Entry]] = deque()
        while todo or elsewhere or self._ready or self._running:
            while len(self._running) < crew.depth and (self._ready or todo):
                if not self._ready:
                    entries = todo.popleft()
                    if not self._begin(entries, wait_for_lock=False):
                        elsewhere.append(entries)
                    continue
                build, shard = self._ready.popleft()
                self.current = str(build)
                self._running[crew.submit(build.units[shard])] = (build, shard)
            if self._running:
                crew.attend()
                self._collect(tick)
            elif elsewhere and not todo:
                self._begin(elsewhere.popleft(), wait_for_lock=True)
        return self._finished

    def clean_up(self) -> None:
        """Leaves of unfinished splits what can be gone on with, and gives the locks back."""
        for builds in self._unfinished.values():
            for build in builds:
                build.leave()
        self._unfinished.clear()
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    def out_of_space(self, error: DiskFullError) -> str:
        """The message for a full disk, with an estimate from the shards written so far."""
        left = [entry for entry in self._entries if entry.key not in self._finished]
        needed = SMALLEST_SHARD * sum(entry.num_shards for entry in left)
        rows, written = self._shard_rows + error.rows, self._shard_bytes + error.written
        if rows:
            needed = max(needed, written * sum(entry.num_rows for entry in left) // rows)
        free = shutil.disk_usage(self._cache_dir).free
        return (
            f"the disk of the cache folder {self._cache_dir} is full: {free / 1e6:.1f} MB are "
            f"free, about {needed / 1e6:.1f} MB are needed for {len(left)} more task splits. "
            "What is finished is kept. Free some space, or give another cache_dir."
        )

    def _begin(self, entries: Sequence[Entry], *, wait_for_lock: bool) -> bool:
        """Makes a task's shards ready; False where another process has the task's lock."""
        task, directory = entries[0].task, entries[0].task_directory
        with self._writing():
            directory.mkdir(parents=True, exist_ok=True)
            lock = TaskLock(directory)
            if wait_for_lock:
                lock.wait(self._say)
            elif not lock.take():
                return False
            self._locks[task.name] = lock
            remove_leftovers(directory, entries)
        assert self._workers is not None
        pickled = _pickled(entries[0])
        builds = self._unfinished[task.name] = []
        for entry in entries:
            split = self._reopen(entry)
            if split is not None:
                self._finished[entry.key] = split
                self._rows_elsewhere += entry.num_rows
                continue
            build = SplitBuild(entry, pickled, noted=self._workers.results_in_files)
            builds.append(build)
            with self._writing():
                missing = build.prepare()
            if found := len(build.units) - len(missing):
                self._say(f"{build}: {found} of {len(build.units)} shards are there already")
            self._rows_elsewhere += build.rows_done
            self._ready += ((build, shard) for shard in missing)
        for build in [build for build in builds if build.complete]:
            self._finish(build)
        self._release_if_done(task.name)
        return True

    def _collect(self, tick: Callable[[], None]) -> None:
        """Takes in the shards that are ready."""
        ready, _ = wait(self._running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in ready:
            build, shard = self._running.pop(future)
            result = future.result()
            self._shard_rows += result.report.rows
            self._shard_bytes += result.file.bytes
            build.add(shard, result)
            if build.complete:
                self._finish(build)
                self._release_if_done(build.entry.task.name)
        tick()

    def _finish(self, build: SplitBuild) -> None:
        with self._writing():
            self._finished[build.entry.key] = build.finish(self._max_reject_share)
        self._unfinished[build.entry.task.name].remove(build)

    def _release_if_done(self, task: str) -> None:
        if not self._unfinished[task]:
            self._locks.pop(task).release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns what the file system refuses into messages."""
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise DiskFullError from error
            if error.errno in _REFUSALS:
                raise UserError(
                    f"the cache folder {self._cache_dir} cannot be written "
                    f"({error.filename}: {error.strerror}). Give another cache_dir."
                ) from error
            raise


def _pickled(entry: Entry) -> bytes:
    """The definition as workers get it; also in one process, so that nothing depends on that."""
    try:
        return pickle.dumps(entry.task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(
            f"task {entry.task.name!r} cannot be sent to another process ({error}). Define its "
            "source as a class at the top level of a module, without lambdas or open files."
        ) from error
