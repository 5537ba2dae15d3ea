"""Points chosen one by one by an Optuna study, whose journal in the sweep's folder is the record.

A run is a trial. Its held-out scores are reported as they appear; where the study's pruner finds
it hopeless, it is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flan_t5x.errors import UserError
from flan_t5x.sweep.axes import SweptAxis
from flan_t5x.sweep.design import Point, at
from flan_t5x.sweep.results import done_row
from flan_t5x.sweep.runs import PlannedRun
from flan_t5x.sweep.schedule import give_up
from flan_t5x.sweep.table import Row, Status
from flan_t5x.train.run_dir import FINAL as FINISHED
from flan_t5x.train.run_dir import METRICS, MetricsLog

JOURNAL = "optuna.journal"
_STUDY = "sweep"


class OptunaSchedule:
    """A schedule whose next run depends on what the earlier ones came to.

    Args:
        sweep_dir: its ``runs/`` holds the runs, and `JOURNAL` the study.
        axes: what is varied.
        plan: makes the run at a point.
        trials: how many, those of earlier sweeps in this folder included.
        metric: the figure that is made as large as possible.
        selection: name of the selection metric in the runs' metrics.jsonl, which pruning reads.
        seed: of the sampler (tree-structured Parzen estimator).

    Raises:
        UserError: Optuna is not installed.
    """

    def __init__(
        self,
        sweep_dir: Path,
        axes: Sequence[SweptAxis],
        plan: Callable[[Point], PlannedRun],
        *,
        trials: int,
        metric: str,
        selection: str,
        seed: int,
    ) -> None:
        optuna = _optuna()
        self._optuna = optuna
        self._folder = sweep_dir / "runs"
        self._axes, self._plan, self._metric = axes, plan, metric
        self._trials, self._selection = trials, selection
        backend = optuna.storages.journal.JournalFileBackend(str(sweep_dir / JOURNAL))
        self._study = optuna.create_study(
            study_name=_STUDY,
            storage=optuna.storages.JournalStorage(backend),
            direction="maximize",
            load_if_exists=True,
        )
        trials_before = self._study.get_trials(deepcopy=False)
        # The sampler's random numbers are not in the journal: a sweep that goes on must not draw
        # those of its beginning again.
        self._study.sampler = optuna.samplers.TPESampler(seed=seed + len(trials_before))
        self._runs: dict[str, PlannedRun] = {}
        self._trial_of: dict[str, Any] = {}
        self._rows: dict[str, Row] = {}
        self._waiting: list[PlannedRun] = []
        self._read: dict[str, int] = {}  # bytes of a run's metrics that are reported
        for trial in trials_before:
            self._remember(trial)

    def _remember(self, trial: Any) -> None:
        """Takes in a trial of an earlier sweep; one that had not ended goes on."""
        states = self._optuna.trial.TrialState
        run = self._plan(at(self._axes, self._cube(trial.params)))
        self._runs[run.name] = run
        if trial.state == states.RUNNING:
            self._trial_of[run.name] = self._optuna.trial.Trial(self._study, trial._trial_id)
            if (self._folder / run.name / FINISHED).exists():
                self.finished(run)
            else:
                self._waiting.append(run)
        elif trial.state == states.COMPLETE:
            self._note(run, "done")
        elif trial.state == states.PRUNED:
            self._note(run, "pruned")
        else:
            self._note(run, "failed", problem="failed in an earlier sweep")

    def next(self) -> PlannedRun | None:
        while not self._waiting and len(self._study.get_trials(deepcopy=False)) < self._trials:
            trial = self._study.ask()
            run = self._plan(at(self._axes, self._suggest(trial)))
            known = self._rows.get(run.name)
            if known is not None and self._metric in known.figures:  # the same point once more
                self._study.tell(trial, known.figures[self._metric])
                continue
            if run.name in self._runs:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
                continue
            self._runs[run.name], self._trial_of[run.name] = run, trial
            self._waiting.append(run)
        if not self._waiting:
            return None
        run = self._waiting.pop(0)
        self._note(run, "running")
        return run

    def finished(self, run: PlannedRun) -> None:
        try:
            row = done_row(self._folder, run)
            value = row.figures[self._metric]
        except (UserError, KeyError) as error:
            self.failed(run, str(error))
            return
        self._study.tell(self._trial_of[run.name], value)
        self._rows[run.name] = row

    def again(self, run: PlannedRun) -> None:
        if self._rows[run.name].status != "pruned":
            self._waiting.append(run)
            self._note(run, "waiting")

    def failed(self, run: PlannedRun, problem: str) -> None:
        self._study.tell(self._trial_of[run.name], state=self._optuna.trial.TrialState.FAIL)
        give_up(self._folder, run, problem)
        self._note(run, "failed", problem=problem)

    def hopeless(self, running: Sequence[PlannedRun]) -> list[PlannedRun]:
        found = []
        for run in running:
            trial = self._trial_of[run.name]
            if self._rows[run.name].status == "running" and self._report(run, trial):
                self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
                self._note(run, "pruned")
                found.append(run)
        return found

    def rows(self) -> list[Row]:
        return [self._rows.get(r.name) or _row(r, "waiting") for r in self._runs.values()]

    def notes(self) -> list[str]:
        return []

    def _report(self, run: PlannedRun, trial: Any) -> bool:
        """Passes new held-out scores on; whether the study gives the run up."""
        path = self._folder / run.name / METRICS
        size = path.stat().st_size if path.exists() else 0
        if self._read.get(run.name) == size:  # asked ten times a second, new once in minutes
            return False
        self._read[run.name] = size
        known = self._study._storage.get_trial(trial._trial_id).intermediate_values
        for line in MetricsLog(path).read():
            value = line.get(self._selection)
            if line["kind"] == "held_out" and value is not None and line["step"] not in known:
                trial.report(value, line["step"])
                if trial.should_prune():
                    return True
        return False

    def _suggest(self, trial: Any) -> list[float]:
        for axis in self._axes:
            if axis.kind == "category":
                trial.suggest_categorical(axis.name, list(range(len(axis.settings))))
            else:
                for i in range(axis.dimensions):
                    trial.suggest_float(f"{axis.name}[{i}]", 0.0, 1.0)
        return self._cube(trial.params)

    def _cube(self, params: dict[str, Any]) -> list[float]:
        cube = []
        for axis in self._axes:
            if axis.kind == "category":
                cube.append((params[axis.name] + 0.5) / len(axis.settings))
            else:
                cube += [params[f"{axis.name}[{i}]"] for i in range(axis.dimensions)]
        return cube

    def _note(self, run: PlannedRun, status: Status, problem: str = "") -> None:
        done = status == "done"
        self._rows[run.name] = done_row(self._folder, run) if done else _row(run, status, problem)


def _row(run: PlannedRun, status: Status, problem: str = "") -> Row:
    return Row(run.name, status, run.choices, run.seed, problem=problem)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError("method 'optuna' needs Optuna: pip install 'flan-t5x[optuna]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
