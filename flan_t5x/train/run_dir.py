"""The folder of a run: its lock, its settings, its figures. Every file appears whole.

| file            | what                                                              |
|-----------------|-------------------------------------------------------------------|
| `config.gin`    | the operative configuration                                       |
| `mixture.txt`   | the mixture table                                                 |
| `versions.json` | Python, packages, machine, command line                           |
| `metrics.jsonl` | one JSON object a line: step, kind, time, figures                 |
| `best.json`     | {"step", "metric", "value", "values"} of the chosen checkpoint    |
| `final.json`    | the chosen step on the final sets (flan_t5x.train.selection)      |
| `checkpoints/`  | one folder a step (flan_t5x.checkpoint.manager)                   |
| `tensorboard/`  | event files (flan_t5x.train.metric_writers)                       |
| `.lock`         | held by the trainer while it runs                                 |
"""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import json
import math
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from flan_t5x.errors import UserError
from flan_t5x.files import PARTIAL, write_whole

CONFIG = "config.gin"
MIXTURE = "mixture.txt"
VERSIONS = "versions.json"
METRICS = "metrics.jsonl"
BEST = "best.json"
FINAL = "final.json"
HELD_OUT = "held_out/"
"""What precedes the name of the selection metric in `BEST`."""
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
LOCK = ".lock"

_PACKAGES = (
    "flan-t5x",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorstore",
    "numpy",
    "grain",
    "array-record",
    "seqio",
    "tensorflow",
    "sentencepiece",
    "gin-config",
)
_OWN_FIELDS = frozenset({"step", "kind", "time", "non_finite"})


class RunDirectory:
    """Opens (and creates) a model_dir for one trainer, and keeps others out while it is open.

    In a run of several processes the first one opens it; the others only need the paths.

    Args:
        model_dir: local or mounted folder.

    Raises:
        UserError: the folder cannot be written, or another trainer holds it.
    """

    def __init__(self, model_dir: str | os.PathLike[str]) -> None:
        text = os.fspath(model_dir)
        if "://" in text:
            raise UserError(
                f"model_dir {text} is not a local folder; mount it (gcsfuse) and give that path"
            )
        self.path = Path(text).expanduser().absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"model_dir {self.path} cannot be written: {error.strerror or error}; "
                "choose another model_dir or change its permissions"
            ) from error
        self._take_lock()
        for left_over in self.path.glob(f".*{PARTIAL}"):  # of a trainer killed while writing
            left_over.unlink(missing_ok=True)
        self.metrics = MetricsLog(self.path / METRICS)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.path / CHECKPOINTS

    @property
    def tensorboard(self) -> Path:
        """Where TensorBoard's event files go."""
        return self.path / TENSORBOARD

    def write_config(self, text: str) -> None:
        """Saves the operative gin configuration."""
        write_whole(self.path / CONFIG, text)

    def write_mixture(self, text: str) -> None:
        """Saves the mixture table as it was printed."""
        write_whole(self.path / MIXTURE, text)

    def write_versions(self) -> None:
        """Saves what the run ran on."""
        write_whole(self.path / VERSIONS, json.dumps(versions(), indent=2) + "\n")

    def write_best(
        self,
        *,
        step: int,
        metric: str,
        value: float,
        values: Mapping[str, float],
        on_test: bool = False,
    ) -> None:
        """Saves which step was chosen, and why.

        Args:
            step: the chosen checkpoint.
            metric: name of the selection metric.
            value: its value at that step.
            values: the parts it is made of, e.g. per task; non-finite parts become null.
            on_test: a test split chose: the file then has ``"selected_on_test": true``.
        """
        record: dict[str, Any] = {
            "step": int(step),
            "metric": metric,
            "value": _number(value),
            "values": {name: _number(part) for name, part in values.items()},
        }
        if on_test:
            record["selected_on_test"] = True
        write_whole(self.path / BEST, json.dumps(record, indent=2, allow_nan=False) + "\n")

    def read_best(self) -> dict[str, Any] | None:
        """What `write_best` saved; None before the first evaluation."""
        return read_best(self.path)

    def rewind(self, step: int) -> None:
        """Drops figures of steps after `step`: the run goes on from there."""
        self.metrics.rewind(step)

    def close(self) -> None:
        """Gives the folder free."""
        self.metrics.close()
        if not self._lock.closed:
            self._lock.truncate(0)
            self._lock.close()  # closing releases the lock; the file stays

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take_lock(self) -> None:
        # The kernel frees the lock when the process ends, however it ends: a killed trainer
        # leaves nothing that has to be removed by hand.
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another process"
            self._lock.close()
            raise UserError(
                f"model_dir {self.path} is in use by {holder}; "
                "wait for it, stop it, or choose another model_dir"
            ) from error
        self._lock.truncate(0)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()} since {started}")
        self._lock.flush()


class MetricsLog:
    """A file of JSON lines: ``{"step": 10, "kind": "train", "time": 1.7e9, "loss": 2.5}``.

    A line is written at once and whole; a line that a kill cut short is dropped at the next
    opening. Non-finite figures become null and are named under "non_finite".

    Args:
        path: the file; created by the first write.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: FileIO | None = None

    def write(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Appends one line.

        Args:
            step: training step.
            kind: "train", "eval", ... what the figures describe.
            values: name -> number (NumPy and jax scalars too) or string.

        Raises:
            ValueError: a name is one of the line's own fields.
            UserError: the line cannot be written (disk full).
        """
        clash = _OWN_FIELDS & values.keys()
        if clash:
            raise ValueError(f"metrics named {sorted(clash)} would hide the line's own fields")
        record: dict[str, Any] = {"step": int(step), "kind": kind, "time": round(time.time(), 3)}
        plain = {name: _plain(value) for name, value in values.items()}
        record.update({name: _number(value) for name, value in plain.items()})
        odd = {n: repr(v) for n, v in plain.items() if isinstance(v, float) and not _finite(v)}
        if odd:
            record["non_finite"] = odd
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        try:
            if self._open().write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def read(self) -> list[dict[str, Any]]:
        """All whole lines, in file order."""
        return [record for record, _ in self._lines()]

    def rewind(self, step: int) -> None:
        """Drops lines with a greater step, and lines that are not whole."""
        self.close()
        if self.path.exists():
            kept = [line for record, line in self._lines() if record["step"] <= step]
            write_whole(self.path, "".join(line + "\n" for line in kept))

    def close(self) -> None:
        """Closes the file; a later write opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileIO:
        if self._file is None:
            if self.path.exists():
                data = self.path.read_bytes()
                if data and not data.endswith(b"\n"):
                    os.truncate(self.path, data.rfind(b"\n") + 1)
            self._file = self.path.open("ab", buffering=0)
        return self._file

    def _lines(self) -> list[tuple[dict[str, Any], str]]:
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                found.append((record, line))
        return found


def read_best(model_dir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The chosen step of a run: {"step", "metric", "value", "values"}; None before there is one.

    Raises:
        UserError: the file was damaged.
    """
    path = Path(model_dir) / BEST
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        return {name: record[name] for name in ("step", "metric", "value", "values")}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error!r}); delete it, the next evaluation writes it again"
        ) from error


def versions() -> dict[str, Any]:
    """Python, packages (None where one is not installed), machine and command line."""
    packages: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "command": sys.argv,
        "packages": packages,
    }


def _plain(value: Any) -> Any:
    """A Python number or string; NumPy and jax scalars know how to become one."""
    if isinstance(value, str | int | float) or value is None:
        return value
    return value.item()


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not _finite(value) else value


def _finite(value: float) -> bool:
    return math.isfinite(value)
