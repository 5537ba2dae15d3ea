"""One task split in work: divided into shards, then given its index, report, manifest and place.

Until the last rename a split lies in a `.tmp-*` folder beside its place. A build that ends at
any moment, `kill -9` included, leaves finished splits and such folders; the next build keeps
the former, and of the latter the shards that are whole. Nothing is synced to the disk: after a
power failure the checksums tell.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from flan_t5x.data.cache_manifest import LENGTHS, REPORT, FileEntry, Manifest
from flan_t5x.data.cache_plan import ROWS_PER_SHARD, Entry
from flan_t5x.data.cache_records import CachedSplit, close_readers
from flan_t5x.data.cache_units import (
    RowReport,
    Unit,
    UnitResult,
    find_result,
    note_of,
    remove_parts,
)
from flan_t5x.errors import UserError

TMP = ".tmp-"


def remove_leftovers(task_directory: Path, entries: Iterable[Entry]) -> None:
    """Removes what builds left that did not end well, but for what these entries can go on with.

    The caller holds the task's lock.
    """
    useful = {_place_in_work(entry) for entry in entries}
    for left in task_directory.glob(f"*/{TMP}*"):
        if left not in useful:
            shutil.rmtree(left)


def _place_in_work(entry: Entry) -> Path:
    return entry.directory.parent / f"{TMP}{entry.split}"


class SplitBuild:
    """One task split in work: its shards so far, then its files and its place.

    Args:
        entry: what to build.
        task: the pickled definition.
        noted: whether workers leave their results in files whatever the number of shards; else
            they do where there are several, so that an interrupted build can go on.
    """

    def __init__(self, entry: Entry, task: bytes, *, noted: bool) -> None:
        self.entry = entry
        self.tmp = _place_in_work(entry)
        self._noted = noted or entry.num_shards > 1
        self.units = list(self._units(task))
        self._results: dict[int, UnitResult] = {}

    def _units(self, task: bytes) -> Iterator[Unit]:
        entry = self.entry
        chosen, shards = entry.chosen_rows(), entry.num_shards
        for shard in range(shards):
            first = shard * ROWS_PER_SHARD
            last = min(first + ROWS_PER_SHARD, entry.num_rows)
            rows = None if chosen is None else chosen[first:last]
            yield Unit(
                task=task,
                name=entry.task.name,
                split=entry.split,
                start=first if rows is None else int(rows[0]),
                stop=last if rows is None else int(rows[-1]) + 1,
                rows=rows,
                path=str(self.tmp / f"tokens-{shard:05d}-of-{shards:05d}.array_record"),
                with_info=entry.with_info,
                noted=self._noted,
            )

    def __str__(self) -> str:
        return f"{self.entry.task.name} {self.entry.split}"

    @property
    def rows_done(self) -> int:
        """Rows of the shards that are there."""
        return sum(result.report.rows for result in self._results.values())

    @property
    def complete(self) -> bool:
        return len(self._results) == len(self.units)

    def prepare(self) -> list[int]:
        """Makes the temporary folder; takes away what lies at the split's place (damaged).

        Returns:
            The shards that have to be built: an interrupted build may have left others.
        """
        if self.entry.directory.exists():
            grave = self.tmp.with_name(f"{TMP}damaged-{self.entry.split}-{os.getpid()}")
            self.entry.directory.rename(grave)
            shutil.rmtree(grave)
            close_readers()
        self.tmp.mkdir(parents=True, exist_ok=True)
        remove_parts(self.tmp)
        for shard, unit in enumerate(self.units):
            if (result := find_result(Path(unit.path))) is not None:
                self._results[shard] = result
        return [shard for shard in range(len(self.units)) if shard not in self._results]

    def add(self, shard: int, result: UnitResult) -> None:
        """Takes a finished shard."""
        self._results[shard] = result

    def leave(self) -> None:
        """Gives up for now: shards that are whole and noted stay, for the next build."""
        if any(note_of(Path(unit.path)).exists() for unit in self.units):
            remove_parts(self.tmp)
        else:
            shutil.rmtree(self.tmp, ignore_errors=True)

    def finish(self, max_reject_share: float) -> CachedSplit:
        """Writes index, report and manifest, and puts the split in its place.

        Raises:
            UserError: no usable row, or too many rejected.
            OSError: from writing.
        """
        results = [self._results[shard] for shard in range(len(self.units))]
        report = RowReport()
        for result in results:
            report.merge(result.report)
        try:
            self._check_share(report, max_reject_share)
        except UserError:
            shutil.rmtree(self.tmp, ignore_errors=True)  # shards of bad data help nobody
            raise
        lengths = np.concatenate([result.lengths for result in results])
        array = io.BytesIO()
        np.save(array, lengths)  # to a file it would write by C streams: "disk full" has no errno
        (self.tmp / LENGTHS).write_bytes(array.getvalue())
        self._write_report(self.tmp / REPORT, report)
        tokens = lengths.sum(axis=0, dtype=np.int64)
        manifest = Manifest(
            task=self.entry.task.name,
            split=self.entry.split,
            fingerprint=self.entry.fingerprint,
            components=dict(self.entry.components),
            num_rows=report.rows,
            num_examples=report.kept,
            input_tokens=int(tokens[0]),
            target_tokens=int(tokens[1]),
            record_bytes=sum(result.record_bytes for result in results),
            shards=tuple(result.file for result in results),
            others=(FileEntry.of(self.tmp / LENGTHS), FileEntry.of(self.tmp / REPORT)),
        )
        manifest.write(self.tmp)
        for unit in self.units:
            note_of(Path(unit.path)).unlink(missing_ok=True)
        self.tmp.rename(self.entry.directory)
        self._refused.unlink(missing_ok=True)
        return CachedSplit(self.entry.directory, manifest)

    def _check_share(self, report: RowReport, max_reject_share: float) -> None:
        rejected, rows = report.num_rejected, report.rows
        if report.kept and report.num_unusable <= max_reject_share * rows:
            return
        reason, count = max(report.rejected.items(), key=lambda item: item[1])
        first = report.details[reason][0]
        self._write_report(self._refused, report)
        limit = f", more than max_reject_share={max_reject_share:g}" if report.kept else ""
        raise UserError(
            f"task {self.entry.task.name!r}: {rejected} of {rows} rows of split "
            f"{self.entry.split!r} cannot be used{limit}. The most frequent reason is "
            f"{reason!r} ({count} rows; first: row {first['id']!r}: {first['detail']}). "
            f"All are counted in {self._refused}."
        )

    @property
    def _refused(self) -> Path:
        """Where the report goes when the split is refused, so that it can be looked into."""
        return self.entry.task_directory / f"refused-{self.entry.split}.json"

    def _write_report(self, path: Path, report: RowReport) -> None:
        content = {"task": self.entry.task.name, "split": self.entry.split, **report.as_json()}
        text = json.dumps(content, indent=1, ensure_ascii=False)
        path.write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")
