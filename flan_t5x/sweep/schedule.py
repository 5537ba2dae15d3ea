"""Which run comes next: pilots first, and nothing more where these show no signal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from flan_t5x.errors import UserError, nearest
from flan_t5x.evaluation.seeds import interval
from flan_t5x.files import write_whole
from flan_t5x.sweep.axes import SweptAxis
from flan_t5x.sweep.results import done_row
from flan_t5x.sweep.runs import PlannedRun
from flan_t5x.sweep.table import BASELINE, FINAL, SCORE, START, Row, Status
from flan_t5x.train.run_dir import FINAL as FINISHED

FAILED = "failed.json"
"""In the folder of a run that was given up: what it said last. The next sweep tries again."""

LIFT = 0.02
"""How far above guessing a single pilot has to be; several have their interval above 0."""

Group = tuple[str, ...]


class Schedule(Protocol):
    """The order of runs, and what became of them."""

    def next(self) -> PlannedRun | None:
        """A run to start now; None where there is none (yet)."""
        ...

    def finished(self, run: PlannedRun) -> None:
        """It has ended well."""
        ...

    def again(self, run: PlannedRun) -> None:
        """It has ended too early, and has another attempt."""
        ...

    def failed(self, run: PlannedRun, problem: str) -> None:
        """It has failed for good."""
        ...

    def hopeless(self, running: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Those under way that need not go on."""
        ...

    def rows(self) -> list[Row]:
        """All runs so far."""
        ...

    def notes(self) -> list[str]:
        """What a reader has to know besides."""
        ...


class Planned:
    """Runs that are known from the start.

    Args:
        folder: the sweep's ``runs/``.
        runs: in order.
        metric: the figure that a signal is looked for in.
        pilot: axis -> label of the runs that are made first, for every combination of the other
            axes; where they are not above guessing, that combination has no further runs. None
            runs all.
    """

    def __init__(
        self,
        folder: Path,
        runs: Sequence[PlannedRun],
        *,
        metric: str,
        pilot: Mapping[str, str] | None,
    ) -> None:
        self._folder = folder
        self._runs = list(runs)
        self._metric = metric
        self._pilot = dict(pilot or {})
        self._status: dict[str, Status] = {run.name: "waiting" for run in runs}
        self._problems: dict[str, str] = {}
        self._rows: dict[str, Row] = {}
        self._notes: dict[Group, str] = {}
        self._pilots: dict[Group, list[PlannedRun]] = {}
        for run in filter(self._is_pilot, runs):
            self._pilots.setdefault(self._group(run), []).append(run)
        for run in runs:
            (folder / run.name / FAILED).unlink(missing_ok=True)
            if (folder / run.name / FINISHED).exists():
                # Where a file is damaged, the run goes on from its checkpoint and writes it anew.
                with contextlib.suppress(UserError):
                    self._take_in(run)

    def next(self) -> PlannedRun | None:
        for pilots in (True, False) if self._pilot else (False,):
            for run in self._runs:
                if self._status[run.name] != "waiting" or (pilots and not self._is_pilot(run)):
                    continue
                if pilots or not self._pilot or self._may_follow(run):
                    self._status[run.name] = "running"
                    return run
        return None

    def finished(self, run: PlannedRun) -> None:
        try:
            self._take_in(run)
        except UserError as error:
            self.failed(run, str(error))

    def _take_in(self, run: PlannedRun) -> None:
        self._rows[run.name] = done_row(self._folder, run)
        self._status[run.name] = "done"

    def again(self, run: PlannedRun) -> None:
        self._status[run.name] = "waiting"

    def failed(self, run: PlannedRun, problem: str) -> None:
        give_up(self._folder, run, problem)
        self._status[run.name], self._problems[run.name] = "failed", problem

    def hopeless(self, running: Sequence[PlannedRun]) -> list[PlannedRun]:
        return []

    def rows(self) -> list[Row]:
        return [
            self._rows.get(run.name)
            or Row(
                run.name,
                self._status[run.name],
                run.choices,
                run.seed,
                problem=self._problems.get(run.name, ""),
            )
            for run in self._runs
        ]

    def notes(self) -> list[str]:
        return list(self._notes.values())

    def _is_pilot(self, run: PlannedRun) -> bool:
        return all(run.choices[axis].label == label for axis, label in self._pilot.items())

    def _group(self, run: PlannedRun) -> Group:
        return tuple(c.label for axis, c in run.choices.items() if axis not in self._pilot)

    def _may_follow(self, run: PlannedRun) -> bool:
        """Whether the pilots of its group are in and show a signal; without one it is left out."""
        group = self._group(run)
        pilots = self._pilots.get(group, [])
        if any(self._status[p.name] in ("waiting", "running") for p in pilots):
            return False
        rows = [self._rows[p.name] for p in pilots if p.name in self._rows]
        why = no_signal(rows, self._metric)
        if not why:
            return True
        self._status[run.name] = "no signal"
        where = ", ".join(group) or "this sweep"
        self._notes[group] = (
            f"No signal at this size ({where}): {why}. Its other runs are left out."
        )
        return False


def give_up(folder: Path, run: PlannedRun, problem: str) -> None:
    """Writes down, in a run's folder, why it is not tried again."""
    (folder / run.name).mkdir(parents=True, exist_ok=True)
    write_whole(folder / run.name / FAILED, json.dumps({"problem": problem}, indent=2) + "\n")


def no_signal(rows: Sequence[Row], metric: str) -> str:
    """Why the runs do not show that training lifts the metric; empty where they do.

    A lift is over guessing, and over the score before training where that is known.
    """
    floor = f"{metric.removesuffix('/average')}/baseline" if metric.startswith(FINAL) else BASELINE
    lifts = []
    for row in rows:
        floors = [row.figures[floor]] if floor in row.figures else []
        if metric == SCORE and START in row.figures:
            floors.append(row.figures[START])
        if metric in row.figures and floors:
            lifts.append(row.figures[metric] - max(floors))
    if not lifts:
        return f"no pilot has {metric} and a baseline to compare it with"
    found = interval(lifts)
    low = found.mean - found.half if len(lifts) > 1 else found.mean - LIFT
    if low > 0:
        return ""
    spread = f" +- {found.half:.3f}" if len(lifts) > 1 else ""
    return f"{metric} is {found.mean:+.3f}{spread} above guessing and the score before training"


def require_pilot(pilot: Mapping[str, str] | None, axes: Sequence[SweptAxis]) -> None:
    """Raises UserError where `pilot` names an axis or a label that is not there."""
    by_name = {axis.name: axis for axis in axes}
    for name, label in (pilot or {}).items():
        if name not in by_name:
            raise UserError(
                f"pilot: there is no axis {name!r}; {nearest(name, by_name) or list(by_name)}"
            )
        labels = [setting.choice.label for setting in by_name[name].settings]
        if str(label) not in labels:
            hint = nearest(str(label), labels) or f"it has {', '.join(labels)}"
            raise UserError(f"pilot: axis {name!r} has no {label!r}; {hint}")
