"""Held-out evaluation inside a run: when, what is recorded, which checkpoint is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.data.aggregates import get_aggregate
from flan_t5x.evaluation.aggregates import aggregate_value
from flan_t5x.evaluation.baselines import shown
from flan_t5x.evaluation.heldout import EvaluationResult, HeldOut
from flan_t5x.evaluation.results import result_record
from flan_t5x.files import write_whole
from flan_t5x.model.model import Params
from flan_t5x.train.config import AVERAGE
from flan_t5x.train.metric_writers import MetricWriter
from flan_t5x.train.progress import Progress
from flan_t5x.train.run_dir import HELD_OUT, RunDirectory
from flan_t5x.train.state import TrainState


class Selection:
    """Evaluates when due, keeps the record of all evaluations, names the best step.

    The record travels in the checkpoints, so a resumed run knows what was found before.

    Args:
        heldout: the held-out tasks; None where nothing selects.
        params: gives what `heldout` answers with.
        period: steps between evaluations.
        checkpoints: where states are kept, the metric with them.
        folder: the run's folder on the process that writes; else None.
        metric: name of the figure that selects, see `EvalConfig.metric`.
        on_test: whether the held-out examples are of a test set; best.json then says so.
        record: evaluations so far, as `extra` of the restored checkpoint gives them.
    """

    def __init__(
        self,
        heldout: HeldOut | None,
        *,
        params: Callable[[TrainState], Params],
        period: int,
        checkpoints: Checkpoints,
        folder: RunDirectory | None,
        metric: str = AVERAGE,
        on_test: bool = False,
        record: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._heldout = heldout
        self._params = params
        self._period = period
        self._checkpoints = checkpoints
        self._folder = folder
        self._on_test = on_test
        self._metric = metric
        self._figure = None if metric == AVERAGE else get_aggregate(metric)
        self.record: list[dict[str, Any]] = [dict(entry) for entry in record]

    @property
    def metric(self) -> str:
        """Name of what selects, as best.json has it: "held_out/average" by default."""
        return f"{HELD_OUT}{self._metric}"

    def warning(self) -> str:
        """What must be said with the choice: that a test set made it; else ""."""
        return "chosen on a test split: its score is no held-out result" if self._on_test else ""

    @property
    def saved_steps(self) -> list[int]:
        """Steps that are saved, oldest first; empty at the start of a new run."""
        return self._checkpoints.steps()

    def due(self, step: int, *, last: bool) -> bool:
        """Whether an evaluation belongs to this step and was not made yet."""
        if self._heldout is None or any(entry["step"] == step for entry in self.record):
            return False
        return last or step % self._period == 0

    def evaluate(
        self, step: int, state: TrainState, writer: MetricWriter | None, progress: Progress
    ) -> float:
        """Scores the held-out tasks and records it; returns the selection metric."""
        assert self._heldout is not None
        result = self._heldout(self._params(state))
        value = result.average
        if self._figure is not None:
            value = aggregate_value(self._figure, result.values())
        self.record.append({"step": step, "value": value, "values": result.values()})
        if writer is not None and not self._is_written(step):
            chosen = {} if self._figure is None else {self._metric: value}
            writer.scalars(step, "held_out", figures(result) | chosen)
            writer.texts(step, sample_texts(result))
        beaten = sum(t.score > t.baseline.value for t in result.tasks)
        progress.say(
            f"step {step}: {'' if self._figure is None else f'{self._metric} {value:.4f}, '}"
            f"held-out average {result.average:.4f} (baseline {shown(result.baseline, 4)}; "
            f"{beaten} of {len(result.tasks)} tasks above theirs; {result.seconds:.1f} s)"
        )
        return value

    def _is_written(self, step: int) -> bool:
        """Whether an earlier process wrote this very evaluation.

        A checkpoint made before its evaluation (after SIGTERM) has no record of it. Where the
        run is killed between that evaluation and the next save, it is made once more.
        """
        if self._folder is None or step not in self._checkpoints.steps():
            return False
        lines = self._folder.metrics.read()
        return any(line["step"] == step and line["kind"] == "held_out" for line in lines)

    def save(
        self, step: int, state: TrainState, *, extra: Mapping[str, Any], value: float | None
    ) -> None:
        """Saves the state; after an evaluation waits until it is on disk, then names the best."""
        extra = {**extra, "evaluations": self.record}
        self._checkpoints.save(step, state.saved, extra=extra, metric=value)
        if value is not None:
            self._checkpoints.wait()
            self.write_best()

    def best(self) -> dict[str, Any] | None:
        """The evaluation of the best kept step: {"step", "value", "values"}."""
        step = self._checkpoints.best()
        return next((entry for entry in self.record if entry["step"] == step), None)

    def write_best(self) -> None:
        """Writes best.json."""
        best = self.best()
        if best is not None and self._folder is not None:
            self._folder.write_best(
                step=best["step"],
                metric=self.metric,
                value=best["value"],
                values=best["values"],
                on_test=self._on_test,
            )


def figures(result: EvaluationResult) -> dict[str, float]:
    """An evaluation as flat figures: average, baseline, and each task's score."""
    flat = {"average": result.average, "baseline": result.baseline, "seconds": result.seconds}
    return flat | {f"task/{name}": score for name, score in result.values().items()}


def sample_texts(result: EvaluationResult) -> dict[str, str]:
    """Each task's sample predictions as text."""
    return {
        f"held_out/{task.name}": "\n\n".join(
            f"inputs:     {s.inputs}\ntarget:     {s.target}\nprediction: {s.prediction}"
            f"\n{'right' if s.correct else 'wrong'}"
            for s in task.samples
        )
        for task in result.tasks
    }


def write_final(path: Path, *, step: int, results: Mapping[str, EvaluationResult]) -> None:
    """Writes the evaluations of the chosen step as JSON: scores, baselines, counts by task."""
    record = {
        "step": step,
        "sets": {label: result_record(result) for label, result in results.items()},
    }
    write_whole(path, json.dumps(record, indent=2, allow_nan=False) + "\n")
