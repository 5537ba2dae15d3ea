"""Runs as processes of this machine, so many at a time, each with processors of its own.

A run's processes end with the sweep, however it ends: a sweep that is killed leaves nothing
behind that would hold a run's folder when it is started again.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flan_t5x.errors import UserError
from flan_t5x.sweep.runs import PlannedRun

LOG = "log.txt"
"""What a run printed, in its folder; a further attempt is added."""

PROGRAM = (sys.executable, "-m", "flan_t5x.cli.main")
GRACE_SECONDS = 60.0
"""How long a run may take to save after SIGTERM."""

_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec as little as possible is done


@dataclasses.dataclass(frozen=True)
class Ended:
    """A run whose process has ended.

    Attributes:
        run: which.
        code: its exit code; negative for a signal.
        said: the last line it printed.
    """

    run: PlannedRun
    code: int
    said: str


@dataclasses.dataclass
class _Slot:
    """A place for one run at a time, with its processors."""

    processors: tuple[int, ...]
    run: PlannedRun | None = None
    process: subprocess.Popen[bytes] | None = None


class LocalPool:
    """Runs on this machine.

    Args:
        folder: the sweep's ``runs/``.
        arguments: the command line of a run, without its folder.
        workers: runs at a time; None for as many as there are processors for.
        cpus_per_run: processors of each run; None lets the runs share all. The last bits of sums
            depend on how many threads share them, so a sweep keeps to one number for all runs,
            whatever the number of workers.

    Raises:
        UserError: more processors asked for than there are.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Callable[[PlannedRun], Sequence[str]],
        *,
        workers: int | None,
        cpus_per_run: int | None,
    ) -> None:
        self._folder = folder
        self._arguments = arguments
        self._slots = [_Slot(cpus) for cpus in divided(workers, cpus_per_run)]
        self.detached = False

    @property
    def free(self) -> int:
        """How many more runs can be started now."""
        return sum(slot.run is None for slot in self._slots)

    @property
    def running(self) -> list[PlannedRun]:
        """The runs under way."""
        return [slot.run for slot in self._slots if slot.run is not None]

    def start(self, run: PlannedRun) -> None:
        """Starts a run, or lets it go on from its newest checkpoint."""
        slot = next(slot for slot in self._slots if slot.run is None)
        place = self._folder / run.name
        place.mkdir(parents=True, exist_ok=True)
        with (place / LOG).open("ab") as log:
            slot.process = subprocess.Popen(
                [*PROGRAM, *self._arguments(run)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C reaches it through us, once
                preexec_fn=lambda: _in_child(slot.processors),
            )
        slot.run = run

    def ended(self) -> list[Ended]:
        """The runs that have ended since this was last asked; waits a moment where none has."""
        found = []
        for slot in self._slots:
            code = slot.process.poll() if slot.process else None
            if code is not None and slot.run is not None:
                found.append(Ended(slot.run, code, last_line(self._folder / slot.run.name / LOG)))
                slot.run = slot.process = None
        if not found:
            time.sleep(_POLL_SECONDS)
        return found

    def stop(self, run: PlannedRun) -> None:
        """Asks a run to save and to end."""
        for slot in self._slots:
            if slot.run is run and slot.process is not None:
                slot.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Ends all runs: a request first, then by force."""
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def divided(workers: int | None, cpus_per_run: int | None) -> list[tuple[int, ...]]:
    """The processors of each worker.

    Raises:
        UserError: more asked for than there are.
    """
    there = sorted(os.sched_getaffinity(0))
    if cpus_per_run is None:
        return [tuple(there)] * (workers or 1)
    most = len(there) // cpus_per_run
    if (workers or 1) > most:
        raise UserError(
            f"workers = {workers or 1} with cpus_per_run = {cpus_per_run} need "
            f"{(workers or 1) * cpus_per_run} processors, and there are {len(there)}; "
            "use fewer, or cpus_per_run = None to share them"
        )
    return [tuple(there[i * cpus_per_run : (i + 1) * cpus_per_run]) for i in range(workers or most)]


def last_line(log: Path) -> str:
    """The last line of a log that says something; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - 8192, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""


def _in_child(processors: tuple[int, ...]) -> None:
    """Between fork and exec: the kernel ends the run with the sweep, even one that is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, processors)
