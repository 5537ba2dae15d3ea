"""Figures of a run, to `metrics.jsonl` and TensorBoard, without doubled curves after a resume."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from flan_t5x.errors import UserError
from flan_t5x.train.run_dir import MetricsLog, RunDirectory

_RAW_TEXT = "    "  # Markdown for "as it is": predictions may hold any characters


class MetricWriter:
    """Writes every figure to both places, at once: a kill loses nothing that was written.

    Write the figures of step n before saving the checkpoint of step n, so that a run resumed
    from it has them all.

    Args:
        run: the opened model_dir.
        resume_step: the restored step: later figures are dropped from `metrics.jsonl`, and
            TensorBoard is told to forget them. -1 where nothing was restored: what a run that
            died before its first save wrote about step 0 is written again.

    Raises:
        UserError: here and in every method, where a file cannot be written (disk full).
    """

    def __init__(self, run: RunDirectory, *, resume_step: int = -1) -> None:
        self._log: MetricsLog = run.metrics
        self._log.rewind(resume_step)
        with _disk_errors(run.tensorboard):
            self._board = TensorBoardFile(run.tensorboard, purge_step=resume_step + 1)

    def scalars(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Writes numbers of one step.

        Args:
            step: training step.
            kind: "train", "eval", ...; in TensorBoard the prefix of the names.
            values: name -> number. Strings go to `metrics.jsonl` only, and so do non-finite
                numbers (as null), which have no place on a curve.
        """
        self._log.write(step, kind, values)
        numbers = {
            f"{kind}/{name}": float(value)
            for name, value in values.items()
            if not isinstance(value, str) and value is not None and math.isfinite(float(value))
        }
        with _disk_errors(self._board.folder):
            self._board.scalars(step, numbers)

    def texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes texts (sample predictions) to TensorBoard, shown exactly as given."""
        with _disk_errors(self._board.folder):
            for tag, text in texts.items():
                lines = [_RAW_TEXT + line for line in text.split("\n")]
                self._board.text(step, tag, "\n".join(lines))

    def close(self) -> None:
        """Closes the files."""
        self._log.close()
        with contextlib.suppress(OSError):  # was reported when it was written
            self._board.close()

    def __enter__(self) -> MetricWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TensorBoardFile:
    """One event file, written synchronously.

    tensorboardX's SummaryWriter passes events through a queue, so that its flush() does not
    flush and a kill loses up to two minutes; and it names files by the second, so that a
    restart within a second overwrites. Its event file class below has neither trouble.

    Args:
        folder: where event files lie; created if absent.
        purge_step: readers forget what earlier files hold for this and later steps.
    """

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        count = sum(1 for _ in folder.glob("*tfevents*"))
        self._event = event_pb2.Event
        self._file = EventsWriter(str(folder / "events"), f".{count:06d}")
        if count:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(purge_step, session_log=start)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds points to curves."""
        from tensorboardX.summary import scalar

        for tag, value in values.items():
            self._add(step, summary=scalar(tag, value))
        self._file.flush()

    def text(self, step: int, tag: str, markdown: str) -> None:
        """Adds a text."""
        from tensorboardX.summary import text

        self._write(step, summary=text(tag, markdown))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, step: int, **what: Any) -> None:
        self._add(step, **what)
        self._file.flush()

    def _add(self, step: int, **what: Any) -> None:
        self._file.write_event(self._event(step=step, wall_time=time.time(), **what))


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror or error}") from error
