"""Answers as they come, on disk: what a killed `eval` or `infer` has done is not done again.

A file of JSON lines. The first describes the job; each other one holds a batch that is done. A
line is written at once and whole; one that a kill cut short is dropped at the next opening.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from flan_t5x.errors import UserError


class Journal:
    """Opens (and creates) the journal of one job, and keeps other processes out of it.

    Args:
        path: the file.
        job: all that the answers depend on, JSON-able, with a "version".

    Attributes:
        answers: by row number, those that are done, as JSON gives them back.
        cut: how many of their prompts were cut.

    Raises:
        UserError: the file cannot be written, is in use, or belongs to another job.
    """

    def __init__(self, path: Path, job: Mapping[str, Any]) -> None:
        self.path = path
        self.answers: dict[int, Any] = {}
        self.cut = 0
        try:
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            self._lock()
            self._read(json.loads(json.dumps(job)))
        except BaseException:
            self._file.close()
            raise

    def add(self, rows: Sequence[int], answers: Sequence[Any], *, cut: int) -> None:
        """Takes the answers of one batch, and returns when the system has them.

        Args:
            rows: row numbers.
            answers: what is to be kept of each, JSON-able.
            cut: how many of the prompts were cut.
        """
        batch = {"rows": list(rows), "answers": list(answers), "cut": cut}
        self._write(batch)
        self._take(batch)

    def remove(self) -> None:
        """Deletes the file: the answers are in their final place."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Gives the file free; what is in it stays."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:  # the kernel frees the lock when the process ends, however it ends
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"{self.path} is in use: another process writes the same output; wait for "
                "it, or choose another"
            ) from error

    def _read(self, job: dict[str, Any]) -> None:
        self._file.seek(0)
        whole = 0  # bytes of the lines that are whole
        head: dict[str, Any] | None = None
        with open(self._file.fileno(), "rb", closefd=False) as file:
            for line in file:
                record = _parse(line)
                if head is None:
                    if record is None and _line(job).startswith(line):
                        break  # killed while the file was begun
                    self._compare(record, job)
                    head = record
                elif record is None:
                    break
                else:
                    self._take(record)
                whole += len(line)
        self._file.truncate(whole)
        if head is None:
            self._write(job)

    def _compare(self, found: dict[str, Any] | None, job: dict[str, Any]) -> None:
        if found is None or "version" not in found:
            raise UserError(f"{self.path} is in the way: it is no file of answers; move it")
        keys = [key for key in {**found, **job} if found.get(key) != job.get(key)]
        if keys:
            differ = "; ".join(f"{k} was {found.get(k)!s:.60}, is {job.get(k)!s:.60}" for k in keys)
            raise UserError(
                f"{self.path} holds answers of a job that was not finished, and that differs: "
                f"{differ}. Go on with that job's settings, or delete the file to start anew"
            )

    def _take(self, batch: Mapping[str, Any]) -> None:
        self.answers.update(zip(batch["rows"], batch["answers"], strict=True))
        self.cut += batch["cut"]

    def _write(self, record: Mapping[str, Any]) -> None:
        line = _line(record)
        try:
            written = self._file.write(line)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error
        if written != len(line):
            free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
            raise UserError(
                f"cannot write {self.path}: disk full ({free} bytes free); make room and run the "
                "same command again, it goes on"
            )


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    """A line's object; None where the line is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
