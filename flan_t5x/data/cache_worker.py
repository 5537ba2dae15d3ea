"""Renders, tokenizes and writes one shard: in the caller, a local process, or on a cluster.

Imports neither jax nor TensorFlow: a worker starts in half a second. A shard is a pure
function of its `Unit` and the settings, whichever process builds it and in whatever order.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from flan_t5x.data.cache_manifest import FileEntry
from flan_t5x.data.cache_records import DiskFullError, ShardWriter, encode_record, is_disk_full
from flan_t5x.data.cache_units import (
    LONG_TARGET,
    RowReport,
    Unit,
    UnitResult,
    leave_result,
    part_of,
)
from flan_t5x.data.definitions import BadRow, Example, RowError, TaskDefinition
from flan_t5x.data.example_info import example_info
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import NO_EXEMPLAR_FITS, Rendered, render
from flan_t5x.data.vocabulary import Vocabulary

_CHUNK = 256  # rows tokenized together, and between two looks at the stop flag


class StoppedError(Exception):
    """The build was given up; nothing of the shard counts."""


@dataclass(frozen=True)
class RenderSettings:
    """What is the same for all shards of a build."""

    vocabulary: Vocabulary
    input_length: int
    target_length: int


@lru_cache(maxsize=16)
def _loaded(pickled: bytes) -> tuple[TaskDefinition, ExemplarPool | None]:
    """The task with its exemplars: shards and splits of a task share one open source."""
    task: TaskDefinition = pickle.loads(pickled)
    return task, ExemplarPool.for_task(task)


class ShardBuilder:
    """Builds shards one after the other.

    Args:
        settings: of the build.
        tick: told the number of rows after each chunk.
        stopped: asked before each chunk.
    """

    def __init__(
        self,
        settings: RenderSettings,
        tick: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._tick = tick
        self._stopped = stopped

    def build(self, unit: Unit) -> UnitResult:
        """Writes the shard's file.

        Raises:
            DiskFullError: with the rows and bytes that had been reached.
            StoppedError: when asked to stop.
            UserError: from the source or the vocabulary.
        """
        report, lengths = RowReport(), []
        path = Path(unit.path)
        part = part_of(path)  # a cluster may build a shard twice at the same time
        try:
            writer = ShardWriter(part)
            try:
                for size, record in self._records(unit, report):
                    writer.write(record)
                    lengths.append(size)
            except BaseException:
                writer.abandon()
                raise
            writer.close()
            part.replace(path)
            file = FileEntry.of(path, examples=writer.records)
            table = np.array(lengths, dtype=np.int32).reshape(-1, 2)
            result = UnitResult(table, report, file, writer.bytes)
            if unit.noted:
                leave_result(path, result)
        except (DiskFullError, OSError) as error:
            if isinstance(error, DiskFullError) or is_disk_full(error):
                written = part.stat().st_size if part.exists() else 0
                raise DiskFullError(report.rows, written) from error
            raise
        except Exception as error:
            error.add_note(f"(task {unit.name!r}, split {unit.split!r}, rows from {unit.start})")
            raise
        finally:
            part.unlink(missing_ok=True)
        return result

    def _records(self, unit: Unit, report: RowReport) -> Iterator[tuple[tuple[int, int], bytes]]:
        """Lengths and bytes of each usable row, in source order."""
        task, pool = _loaded(unit.task)
        rows = _chosen(task, unit)
        while chunk := list(islice(rows, _CHUNK)):
            if self._stopped():
                raise StoppedError
            report.rows += len(chunk)
            usable = self._rendered(task, pool, chunk, report)
            yield from self._tokenized(task, usable, unit.with_info, report)
            self._tick(len(chunk))

    def _rendered(
        self,
        task: TaskDefinition,
        pool: ExemplarPool | None,
        rows: Sequence[Example | BadRow],
        report: RowReport,
    ) -> list[tuple[Example, Rendered]]:
        usable = []
        for row in rows:
            if isinstance(row, BadRow):
                report.reject(row.reason, row.id, row.detail)
                continue
            try:
                rendered = render(
                    task,
                    row,
                    exemplars=pool,
                    vocabulary=self._settings.vocabulary,
                    budget=self._settings.input_length,
                )
                (rendered.inputs + rendered.targets).encode("utf-8")
            except RowError as error:
                report.reject(error.reason, row.id, error.detail)
                continue
            except UnicodeEncodeError as error:
                # JSON can hold half of a surrogate pair; UTF-8, and so the vocabulary, cannot.
                report.reject("text is not valid Unicode", row.id, ascii(error.object[error.start]))
                continue
            usable.append((row, rendered))
        return usable

    def _tokenized(
        self,
        task: TaskDefinition,
        usable: Sequence[tuple[Example, Rendered]],
        with_info: bool,
        report: RowReport,
    ) -> Iterator[tuple[tuple[int, int], bytes]]:
        settings, vocabulary = self._settings, self._settings.vocabulary
        inputs = vocabulary.encode_batch([rendered.inputs for _, rendered in usable])
        targets = vocabulary.encode_batch([rendered.targets for _, rendered in usable])
        for (row, rendered), ids, target_ids in zip(usable, inputs, targets, strict=True):
            ids, target_ids = [*ids, vocabulary.eos_id], [*target_ids, vocabulary.eos_id]
            if len(ids) == 1 or len(target_ids) == 1:
                side = "input" if len(ids) == 1 else "target"
                report.reject(f"empty {side}", row.id, "no token is left of its text")
                continue
            if len(target_ids) > settings.target_length:
                detail = f"{len(target_ids)} tokens, {settings.target_length} allowed"
                if not with_info:  # training on half an answer would teach to stop early
                    report.reject(LONG_TARGET, row.id, detail)
                    continue
                # A benchmark keeps all its rows: scoring compares the text, kept whole in info.
                report.alter("truncated targets", row.id, detail)
                target_ids = [*target_ids[: settings.target_length - 1], vocabulary.eos_id]
            if len(ids) > settings.input_length:
                detail = f"{len(ids)} tokens, {settings.input_length} kept"
                report.alter("truncated inputs", row.id, detail)
                ids = [*ids[: settings.input_length - 1], vocabulary.eos_id]
            _report_fitting(rendered, row.id, report)
            if rendered.format != task.format:
                report.alter(NO_EXEMPLAR_FITS, row.id, f"rendered as {rendered.format}")
            report.kept += 1
            info = example_info(row, rendered) if with_info else None
            yield (len(ids), len(target_ids)), encode_record(ids, target_ids, info)


LEFT_OUT = "exemplars left out"
QUESTION_CUT = "question cut"
"""Reasons under which fixed prompts that had no room are counted."""


def _report_fitting(rendered: Rendered, row: str, report: RowReport) -> None:
    if rendered.left_out:
        shown = len(rendered.exemplar_ids)
        report.alter(LEFT_OUT, row, f"{shown} of {shown + rendered.left_out} shown")
    if rendered.words_cut:
        report.alter(QUESTION_CUT, row, f"{rendered.words_cut} words")


def _chosen(task: TaskDefinition, unit: Unit) -> Iterator[Example | BadRow]:
    """The unit's rows in source order; a source that yields more or fewer is an error."""
    wanted = None if unit.rows is None else set(unit.rows.tolist())
    count = 0
    for place, row in enumerate(task.source.read(unit.split, unit.start, unit.stop), unit.start):
        count += 1
        if wanted is None or place in wanted:
            yield row
    if count != unit.stop - unit.start:
        raise ValueError(
            f"the source gave {count} rows for rows {unit.start}..{unit.stop - 1} of split "
            f"{unit.split!r}, {unit.stop - unit.start} expected"
        )


# ---- the process side: one builder per worker process, made by the pool's initializer ----

_builder: ShardBuilder | None = None


def start_worker(settings: RenderSettings, rows_done: Any, stop: Any) -> None:
    """Prepares a worker process.

    Args:
        settings: of the build.
        rows_done: a shared counter (`multiprocessing.Value`) that all workers add to.
        stop: a shared flag (raw value) that is not zero when the build was given up.
    """
    global _builder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = parent_process()
    if parent is not None:
        # A parent that was killed cannot say so; without this its workers would stay for good.
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()

    def tick(count: int) -> None:
        with rows_done.get_lock():
            rows_done.value += count

    _builder = ShardBuilder(settings, tick, lambda: bool(stop.value))


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def build_in_worker(unit: Unit) -> UnitResult:
    """Builds one shard in a process prepared by `start_worker`."""
    assert _builder is not None
    return _builder.build(unit)
