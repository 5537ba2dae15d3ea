"""An evaluation as a table for people, and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from flan_t5x.evaluation.heldout import EvaluationResult, ScoredExample, TaskScore


def result_table(label: str, result: EvaluationResult, *, most: int = 40) -> str:
    """Scores beside baselines: a line a task, or a group where there are many, and the averages.

    Args:
        label: what was evaluated.
        result: the scores.
        most: more tasks than this are shown as means of their groups.
    """
    tasks = result.tasks
    lines = [f"{label}: {len(tasks)} tasks", f"{'task':<44} {'n':>5} {'score':>7} {'base':>7}"]
    if len(tasks) <= most:
        lines += [_line(t.name, [t]) for t in tasks]
    else:
        groups = dict.fromkeys(t.group for t in tasks)
        for group in groups:
            inside = [t for t in tasks if t.group == group]
            lines.append(_line(f"mean of {len(inside)} tasks of {group}", inside))
    return "\n".join([*lines, _line("average", tasks)])


def _line(name: str, tasks: Sequence[TaskScore]) -> str:
    count = sum(t.num_examples for t in tasks)
    score = sum(t.score for t in tasks) / len(tasks)
    base = sum(t.baseline.value for t in tasks) / len(tasks)
    return f"{name:<44} {count:>5} {score:>7.3f} {base:>7.3f}"


def result_record(result: EvaluationResult) -> dict[str, Any]:
    """Averages and, by task, score, baseline, metrics and counts; undefined scores are None."""
    return {
        "average": finite(result.average),
        "baseline": finite(result.baseline),
        "tasks": {
            t.name: {
                "score": finite(t.score),
                "baseline": finite(t.baseline.value),
                "metrics": {name: finite(value) for name, value in t.metrics.items()},
                "examples": t.num_examples,
                "group": t.group,
            }
            for t in result.tasks
        },
    }


def prediction_lines(result: EvaluationResult) -> Iterator[str]:
    """The kept examples (`TaskScore.samples`) as JSON Lines, task by task."""
    for task in result.tasks:
        for example in task.samples:
            yield json.dumps(_prediction(task.name, example), ensure_ascii=False) + "\n"


def _prediction(task: str, example: ScoredExample) -> dict[str, Any]:
    return {
        "task": task,
        "id": example.id,
        "inputs": example.inputs,
        "target": example.target,
        "prediction": example.prediction,
        "extracted": example.extracted,
        "correct": example.correct,
        "log_prob": rounded(example.log_prob),
    }


def finite(value: float) -> float | None:
    """The number, or None (JSON's null) where it is not finite."""
    return value if math.isfinite(value) else None


def rounded(log_prob: float) -> float | None:
    """A float32 log-probability with the six decimals that mean something; None as `finite`."""
    return finite(round(float(log_prob), 6))
