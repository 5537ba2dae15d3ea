"""Fetches what is missing of raw sources: several files at a time, each resumable and checked."""

from __future__ import annotations

import contextlib
import fcntl
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from flan_t5x.data.raw.archive import fetch_archive
from flan_t5x.data.raw.checks import PART, Record, check_file, check_source
from flan_t5x.data.raw.manifest import RawFile, RawSource
from flan_t5x.data.raw.prepare import prepare_tfds
from flan_t5x.data.raw.transfer import (
    DiskFullError,
    Policy,
    StoppedError,
    Transfer,
    TransferError,
)
from flan_t5x.errors import UserError, require_count

Progress = Callable[[int, int, str], None]
"""Called now and then with (bytes that are there, bytes in all as far as known, current file)."""

LOCK = ".flan_t5x_fetch.lock"
_TICK = 0.2  # seconds between two reports


@dataclass
class Outcome:
    """What a fetch came to.

    Attributes:
        fetched: paths of new files.
        kept: paths of files that were there, whole.
        prepared: names of sources that TensorFlow Datasets or an archive gave.
        failed: path or source name -> why it could not be had.
        manual: names of sources that only a person can get.
    """

    fetched: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    manual: list[str] = field(default_factory=list)


def fetch(
    sources: Iterable[RawSource],
    root: Path,
    *,
    workers: int = 4,
    policy: Policy | None = None,
    progress: Progress = lambda done, total, current: None,
) -> Outcome:
    """Brings the sources into the data folder. Run again, it goes on where it stopped.

    Args:
        sources: what is wanted.
        root: the data folder; made where it does not exist.
        workers: files fetched at the same time.
        policy: how patient to be.
        progress: called from this thread.

    Returns:
        What was fetched and what failed; a failed file does not keep others from being fetched.

    Raises:
        UserError: the folder cannot be made or written, or the disk is too small or full.
        KeyboardInterrupt: after the transfers have stopped; what has arrived is kept.
    """
    require_count("workers", workers)
    policy = policy or Policy()
    chosen = list(sources)
    outcome = Outcome(manual=[s.name for s in chosen if s.kind == "manual"])
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _alone(root):
            record = Record(root)
            files = [file for source in chosen for file in source.files]
            _Fetch(root, record, outcome, policy, progress).run(files, workers)
            for source in chosen:
                if source.kind in ("archive", "tfds"):
                    _whole(source, root, outcome, record, policy)
    except OSError as error:
        raise UserError(f"cannot write {error.filename or root}: {error.strerror}") from error
    return outcome


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keeps a second fetch out of the same folder: both would write the same parts."""
    with (root / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another `flan-t5x data fetch` is at work in {str(root)!r}: wait for it to end"
            ) from None
        yield


def _whole(source: RawSource, root: Path, outcome: Outcome, record: Record, policy: Policy) -> None:
    """A source that comes as one piece."""
    if check_source(source, root, record=record, deep=True).state == "present":
        outcome.kept.append(source.name)
        return
    try:
        if source.kind == "archive":
            fetch_archive(source, root, record, policy)
        else:
            prepare_tfds(source, root)
        outcome.prepared.append(source.name)
    except DiskFullError as error:
        raise UserError(f"{error}. Free some, and run the same command again.") from error
    except TransferError as error:
        outcome.failed[source.name] = str(error)


@dataclass
class _Fetch:
    """The transfers of one call."""

    root: Path
    record: Record
    outcome: Outcome
    policy: Policy
    progress: Progress

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(self, files: Sequence[RawFile], workers: int) -> None:
        missing = self._missing(files)
        if not missing:
            return
        self._check_space(missing)
        total = sum(file.size or 0 for file in missing)
        running: dict[Future[str], RawFile] = {}
        pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
        try:
            running = {pool.submit(self._one, file): file for file in missing}
            self._watch(running, total)
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _missing(self, files: Sequence[RawFile]) -> list[RawFile]:
        """Files that are not there, or damaged: those are replaced."""
        found = []
        for file in files:
            if check_file(file, self.root, self.record, deep=True).state == "present":
                self.outcome.kept.append(file.path)
            else:
                found.append(file)
        return found

    def _check_space(self, missing: Sequence[RawFile]) -> None:
        needed = 0
        for file in missing:
            part = self.root / f"{file.path}{PART}"
            have = part.stat().st_size if part.is_file() else 0
            needed += max(0, (file.size or 0) - have)
        free = shutil.disk_usage(self.root).free
        if needed > free:
            raise UserError(
                f"the files still need {needed:,} bytes and {str(self.root)!r} has {free:,} free. "
                "Choose another folder with --data_dir, or fewer sources with --only."
            )

    def _one(self, file: RawFile) -> str:
        transfer = Transfer(file, self.root / file.path, self.policy, self._wait, self._arrived.put)
        return transfer.run()

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds) if seconds > 0 else self._stop.is_set():
            raise StoppedError("stopped")

    def _watch(self, running: dict[Future[str], RawFile], total: int) -> None:
        """Notes what is done until all is; raises UserError where the disk is full."""
        done = 0
        while running:
            time.sleep(_TICK if not any(future.done() for future in running) else 0)
            while not self._arrived.empty():
                done += self._arrived.get()
            for future in [future for future in running if future.done()]:
                self._note(running.pop(future), future)
            current = next(iter(running.values())).path if running else ""
            self.progress(done, max(done, total), current)

    def _note(self, file: RawFile, future: Future[str]) -> None:
        try:
            sha256 = future.result()
        except DiskFullError as error:
            raise UserError(f"{error}. Free some, and run the same command again.") from error
        except TransferError as error:
            self.outcome.failed[file.path] = str(error)
            return
        self.record.add(file.path, (self.root / file.path).stat().st_size, sha256)
        self.outcome.fetched.append(file.path)
