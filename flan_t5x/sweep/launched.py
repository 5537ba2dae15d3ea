"""Runs as jobs on rented machines: one call of a launcher each, then waiting for its files.

A launcher is a command such as ``python -m launch.gke --execute --name={name} ...``; the run's
own command line is put behind it. `{name}` becomes a name that clusters take. Jobs go on when the
sweep ends, and are not submitted again by the next one.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flan_t5x.errors import UserError
from flan_t5x.files import write_whole
from flan_t5x.sweep.local import Ended
from flan_t5x.sweep.runs import PlannedRun, mark
from flan_t5x.train.run_dir import FINAL as FINISHED

SUBMITTED = "submitted.json"
"""In a run's folder: the command that submitted it, and when."""


class LaunchedPool:
    """Runs elsewhere, whose folders are seen from here (a mounted bucket).

    Args:
        folder: the sweep's ``runs/``.
        arguments: the command line of a run.
        launcher: the words of the launching command.
        limit: jobs at a time.
        poll_seconds: between two looks at the folders.

    Raises:
        UserError: no launcher, or one that gives all runs the same name.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Callable[[PlannedRun], Sequence[str]],
        *,
        launcher: Sequence[str],
        limit: int,
        poll_seconds: float,
    ) -> None:
        if not launcher or not all(isinstance(word, str) for word in launcher):
            raise UserError(
                "executor 'launch' needs launcher: a list of words such as ['python', '-m', "
                "'launch.gke', '--execute', '--name={name}', ...]"
            )
        if not any("{name}" in word for word in launcher):
            raise UserError("launcher: no word has {name}, so all runs would be the same job")
        self._folder = folder
        self._arguments = arguments
        self._launcher = tuple(launcher)
        self._limit = limit
        self._poll_seconds = poll_seconds
        self._jobs: dict[str, PlannedRun] = {}
        self._failed: list[Ended] = []

    @property
    def free(self) -> int:
        """How many more jobs may be submitted now."""
        return max(self._limit - len(self._jobs), 0)

    @property
    def running(self) -> list[PlannedRun]:
        """The jobs under way."""
        return list(self._jobs.values())

    def start(self, run: PlannedRun) -> None:
        """Submits a run, unless an earlier sweep has; then it is waited for."""
        place = self._folder / run.name
        place.mkdir(parents=True, exist_ok=True)
        if not (place / SUBMITTED).exists():
            argv = self.command(run)
            try:
                done = subprocess.run(argv, capture_output=True, text=True, check=False)
            except OSError as error:
                raise UserError(f"launcher {argv[0]!r}: {error.strerror or error}") from error
            if done.returncode != 0:
                said = [line for line in done.stderr.splitlines() if line.strip()] or [""]
                self._failed.append(Ended(run, done.returncode, said[-1].strip()))
                return
            record = {"command": argv, "time": time.time()}
            write_whole(place / SUBMITTED, json.dumps(record, indent=2) + "\n")
        self._jobs[run.name] = run

    def command(self, run: PlannedRun) -> list[str]:
        """The words that submit a run."""
        name = re.sub(r"[^a-z0-9]", "", mark(run.name))
        words = [word.replace("{name}", f"run-{name}") for word in self._launcher]
        return [*words, *self._arguments(run)]

    def ended(self) -> list[Ended]:
        """The jobs that have finished since this was last asked; waits where none has."""
        found, self._failed = self._failed, []
        for name, run in list(self._jobs.items()):
            if (self._folder / name / FINISHED).exists():
                found.append(Ended(run, 0, ""))
                del self._jobs[name]
        if not found:
            time.sleep(self._poll_seconds)
        return found

    def stop(self, run: PlannedRun) -> None:
        """Jobs are stopped by their launcher's own command."""

    def close(self) -> None:
        """Jobs go on."""
