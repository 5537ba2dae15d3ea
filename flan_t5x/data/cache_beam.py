"""Shards built by an Apache Beam runner: on this machine, on Dataflow, Spark or Flink.

The workers call the same function as local processes do, `ShardBuilder.build`, and leave files
and notes in the cache folder, which they must see under the same path as the caller, like the raw
data. What one run has finished, by whatever runner, the next one does not build again.

Imported only where it is asked for; needs the extra "beam".
"""

from __future__ import annotations

import json
import resource
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from flan_t5x.data.cache_records import DiskFullError
from flan_t5x.data.cache_units import Unit, UnitResult, find_result, note_of
from flan_t5x.data.cache_worker import RenderSettings, ShardBuilder
from flan_t5x.data.cache_workers import Workers
from flan_t5x.errors import UserError

_LOOK_SECONDS = 2.0  # between two looks for finished shards
_MOST_UNITS = 16_384  # of one pipeline
_FAILED = ".failed.json"


def beam_crew(
    runner: str, options: Sequence[str] = ()
) -> Callable[[RenderSettings], AbstractContextManager[Workers]]:
    """Workers of a Beam runner, for `cache_build.build_missing`.

    Args:
        runner: Beam's name of it: "DirectRunner", "DataflowRunner", "SparkRunner", "FlinkRunner".
        options: flags of Beam's pipeline options, e.g. ``["--region=europe-west4"]``.

    Raises:
        UserError: for a runner that Beam does not know.
    """
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(runner)
    except (ValueError, ImportError, TypeError) as error:
        raise UserError(f"--runner={runner}: {' '.join(str(error).split())}") from error

    @contextmanager
    def crew(settings: RenderSettings) -> Iterator[Workers]:
        workers = _BeamWorkers(settings, [f"--runner={runner}", *options])
        try:
            yield workers
        finally:
            workers.stop()

    return crew


class BuildShard(beam.DoFn):
    """`ShardBuilder.build` as a step of a pipeline; gives the paths of what it built.

    Args:
        settings: of the build.
    """

    def __init__(self, settings: RenderSettings) -> None:
        self._settings = settings
        self._builder: ShardBuilder | None = None

    def setup(self) -> None:
        """Once in each worker: what is opened and cached is shared by its shards."""
        self._builder = ShardBuilder(self._settings, lambda rows: None, lambda: False)

    def process(self, unit: Unit) -> Iterable[str]:
        """Builds a shard. What a repetition cannot mend is noted instead of raised."""
        assert self._builder is not None
        try:
            self._builder.build(unit)
        except DiskFullError as error:
            _note_failure(unit, {"rows": error.rows, "written": error.written})
        except UserError as error:
            _note_failure(unit, {"message": str(error)})
        yield unit.path


def _note_failure(unit: Unit, content: dict[str, object]) -> None:
    path = Path(unit.path)
    path.with_name(path.name + _FAILED).write_text(json.dumps(content), encoding="utf-8")


def _failure(unit: Unit) -> Exception | None:
    """What a worker noted instead of a result, which is forgotten with that."""
    path = Path(unit.path + _FAILED)
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    path.unlink(missing_ok=True)
    if "message" in content:
        return UserError(content["message"])
    return DiskFullError(content["rows"], content["written"])


class _BeamWorkers:
    """Collects units, runs one pipeline over them, and looks for what it leaves."""

    results_in_files = True

    def __init__(self, settings: RenderSettings, flags: Sequence[str]) -> None:
        self.rows_done = 0
        self.depth = min(_MOST_UNITS, _files_allowed() - 256)  # every task holds a lock's file
        self._settings = settings
        self._flags = list(flags)
        self._waiting: list[tuple[Unit, Future[UnitResult]]] = []
        self._open: list[tuple[Unit, Future[UnitResult]]] = []
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._result: beam.runners.runner.PipelineResult | None = None
        self._looked = 0.0

    def submit(self, unit: Unit) -> Future[UnitResult]:
        """Takes a unit into the next pipeline."""
        future: Future[UnitResult] = Future()
        self._waiting.append((unit, future))
        return future

    def attend(self) -> None:
        """Starts a pipeline where none runs, takes in what it has finished."""
        if self._thread is None and self._waiting:
            self._open, self._waiting = self._waiting, []
            units = [unit for unit, _ in self._open]
            self._thread = threading.Thread(target=self._run, args=(units,), daemon=True)
            self._thread.start()
        if self._thread is None:
            return
        ended = not self._thread.is_alive()
        if not ended and time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._open = [(unit, future) for unit, future in self._open if not self._take(unit, future)]
        self._looked = time.monotonic()
        if ended:
            self._thread = None
            for unit, future in self._open:
                future.set_exception(self._why_missing(unit))
            self._open = []

    def stop(self) -> None:
        """Asks a pipeline that still runs to end; what it has noted by then stays."""
        if self._thread is not None and self._result is not None:
            try:
                self._result.cancel()
            except Exception:  # runners differ in what they can cancel, and in what they raise
                traceback.print_exc()

    def _run(self, units: list[Unit]) -> None:
        try:
            options = PipelineOptions(self._flags)
            pipeline = beam.Pipeline(options=options)
            _ = (
                pipeline
                | "Shards" >> beam.Create(units)
                | "Spread" >> beam.Reshuffle()
                | "Render and tokenize" >> beam.ParDo(BuildShard(self._settings))
            )
            self._result = pipeline.run()
            self._result.wait_until_finish()
        except BaseException as error:
            self._error = error

    def _take(self, unit: Unit, future: Future[UnitResult]) -> bool:
        """Whether a unit's result, or its failure, is there; then its future has it."""
        path = Path(unit.path)
        if note_of(path).exists() and (result := find_result(path)) is not None:
            self.rows_done += result.report.rows
            future.set_result(result)
            return True
        if (failure := _failure(unit)) is not None:
            future.set_exception(failure)
            return True
        return False

    def _why_missing(self, unit: Unit) -> Exception:
        runner = self._flags[0].partition("=")[2]
        if self._error is None:
            return UserError(
                f"{runner} ended without the shard {unit.path}. Do its workers see this folder "
                "under the same path? Run the same command again: finished shards are kept."
            )
        lines = [line for line in str(self._error).splitlines() if line.strip()] or [""]
        error = UserError(f"{runner} failed: {type(self._error).__name__}: {lines[-1].strip()}")
        error.__cause__ = self._error
        return error


def _files_allowed() -> int:
    """Files that this process may hold open, after asking for as many as there can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_UNITS + 1024 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):
            pass
    return int(soft)
