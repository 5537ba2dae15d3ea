"""How long caching will take and how much disk, from a few rows rendered for the clock."""

from __future__ import annotations

import pickle
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flan_t5x.data.cache_plan import CacheSpec, Entry
from flan_t5x.data.cache_records import SMALLEST_SHARD
from flan_t5x.data.cache_units import Unit
from flan_t5x.data.cache_worker import RenderSettings, ShardBuilder
from flan_t5x.data.cache_workers import SMALL_ROWS, default_workers

_SAMPLES = 8
_ROWS = 48  # of one sample
_COMPRESSED = 0.55  # what zstd leaves of int32 tokens of natural text (measured: 0.49)
_SPLIT_SECONDS = 0.003  # index, report, manifest and a rename, all in the parent
_START_SECONDS = 0.8  # until spawned workers are at work


@dataclass(frozen=True)
class Estimate:
    """What a build will take, more or less.

    Attributes:
        seconds: wall clock.
        bytes: on disk.
        missing: (task name, split) of what will be built.
        rows: source rows in them.
        free_bytes: free space where the cache lies.
    """

    seconds: float
    bytes: int
    missing: tuple[tuple[str, str], ...]
    rows: int
    free_bytes: int


def measure(
    missing: Sequence[Entry], spec: CacheSpec, cache_dir: str | Path, *, num_workers: int | None
) -> Estimate:
    """The estimate for these entries; see `flan_t5x.data.cache.estimate`."""
    rows = sum(entry.num_rows for entry in missing)
    shards = sum(entry.num_shards for entry in missing)
    keys = tuple(entry.key for entry in missing)
    free = shutil.disk_usage(_existing(Path(cache_dir))).free
    if not missing:
        return Estimate(0.0, 0, keys, 0, free)
    cost = _sampled(missing, spec)
    count = min(default_workers() if num_workers is None else max(1, num_workers), shards)
    seconds = cost.row_seconds * rows + cost.shard_seconds * shards
    if count > 1 and rows > SMALL_ROWS:
        seconds = seconds / count + _START_SECONDS
    seconds += _SPLIT_SECONDS * len(missing)
    size = sum(
        max(int(cost.row_bytes * entry.num_rows), SMALLEST_SHARD * entry.num_shards)
        + 8 * entry.num_rows  # the lengths index
        for entry in missing
    )
    return Estimate(seconds, size, keys, rows, free)


@dataclass(frozen=True)
class _Cost:
    """Seconds and bytes of a row, and seconds of a shard beside its rows."""

    row_seconds: float
    row_bytes: float
    shard_seconds: float


def _sampled(missing: Sequence[Entry], spec: CacheSpec) -> _Cost:
    """What rows cost; big splits are sampled more often, as they weigh more."""
    settings = RenderSettings(
        spec.vocabulary, spec.feature_lengths["inputs"], spec.feature_lengths["targets"]
    )
    builder = ShardBuilder(settings, lambda rows: None, lambda: False)
    ends = np.cumsum([entry.num_rows for entry in missing])
    seconds, shard_seconds, size, rows = 0.0, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for sample in range(_SAMPLES):
            place = (2 * sample + 1) * int(ends[-1]) // (2 * _SAMPLES)
            entry = missing[int(np.searchsorted(ends, place, side="right"))]
            first = max(0, (entry.num_source_rows - _ROWS) // 2)
            last = min(first + _ROWS, entry.num_source_rows)
            path = Path(folder) / str(sample)
            # Twice one row: what is loaded once, and what a shard costs by itself.
            _timed(builder, entry, first, first + 1, path)
            shard = _timed(builder, entry, first, first + 1, path)[0]
            took, written = _timed(builder, entry, first, last, path)
            seconds += max(0.0, took - shard)
            shard_seconds += shard
            size += written
            rows += last - first
    return _Cost(seconds / rows, _COMPRESSED * size / rows, shard_seconds / _SAMPLES)


def _timed(
    builder: ShardBuilder, entry: Entry, start: int, stop: int, path: Path
) -> tuple[float, int]:
    """Seconds and record bytes of a shard of these rows."""
    began = time.perf_counter()
    result = builder.build(_unit(entry, start, stop, path))
    return time.perf_counter() - began, result.record_bytes


def _unit(entry: Entry, start: int, stop: int, path: Path) -> Unit:
    return Unit(
        task=pickle.dumps(entry.task),
        name=entry.task.name,
        split=entry.split,
        start=start,
        stop=stop,
        rows=None,
        path=str(path),
        with_info=entry.with_info,
    )


def _existing(path: Path) -> Path:
    """The nearest folder above that exists."""
    path = path.absolute()
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path
