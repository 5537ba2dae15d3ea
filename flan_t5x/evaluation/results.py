"""An evaluation as a table for people, and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from flan_t5x.data.aggregates import defined_aggregates, published_scores
from flan_t5x.evaluation.aggregates import Aggregate, aggregates_of, relevant
from flan_t5x.evaluation.baselines import shown
from flan_t5x.evaluation.bootstrap import RESAMPLES, interval, resampled_means
from flan_t5x.evaluation.scoring import EvaluationResult, ScoredExample, TaskScore

RESULTS = "results.json"
"""Where an evaluation leaves its settings and `result_record`."""
PREDICTIONS = "predictions.jsonl"
"""Where an evaluation leaves `prediction_lines`."""

_FLAN = "Flan-T5-"
_WIDTH = 44


def result_table(label: str, result: EvaluationResult, *, most: int = 40) -> str:
    """Scores beside baselines: a line a task, or a group where there are many, and the averages.

    Args:
        label: what was evaluated.
        result: the scores.
        most: more tasks than this are shown as means of their groups.
    """
    tasks = result.tasks
    width = max(_WIDTH, *(len(t.name) for t in tasks)) if len(tasks) <= most else _WIDTH
    lines = [f"{label}: {len(tasks)} tasks"]
    lines.append(f"{'task':<{width}} {'n':>5} {'score':>7} {'base':>7}")
    if len(tasks) <= most:
        lines += [_line(t.name, [t], width) for t in tasks]
    else:
        groups = dict.fromkeys(t.group for t in tasks)
        for group in groups:
            inside = [t for t in tasks if t.group == group]
            lines.append(_line(f"mean of {len(inside)} tasks of {group}", inside, width))
    lines.append(_line("average", tasks, width))
    return "\n".join([*lines, *filter(None, [aggregate_table(result), shortened(result)])])


def _line(name: str, tasks: Sequence[TaskScore], width: int) -> str:
    count = sum(t.num_examples for t in tasks)
    score = sum(t.score for t in tasks) / len(tasks)
    base = sum(t.baseline.value for t in tasks) / len(tasks)
    return f"{name:<{width}} {count:>5} {score:>7.3f} {shown(base):>7}"


def result_record(result: EvaluationResult) -> dict[str, Any]:
    """Averages, aggregates and, by task, scores and counts; undefined figures are None."""
    return {
        "average": finite(result.average),
        "baseline": finite(result.baseline),
        "aggregates": {
            name: _aggregate_record(found) for name, found in all_aggregates(result).items()
        },
        "tasks": {t.name: _task_record(t) for t in result.tasks},
    }


def all_aggregates(result: EvaluationResult) -> dict[str, Aggregate]:
    """Every figure that the task package defines over at least one of the evaluated tasks."""
    names = relevant([t.name for t in result.tasks])
    return aggregates_of(names, result.tasks)


def _aggregate_record(found: Aggregate) -> dict[str, Any]:
    low, high = found.interval or (None, None)
    return {"value": finite(found.value), "low": low, "high": high, "missing": list(found.missing)}


def _task_record(task: TaskScore) -> dict[str, Any]:
    draws = resampled_means(task, RESAMPLES, 0)
    low, high = (None, None) if draws is None else interval(draws)
    return {
        "score": finite(task.score),
        "low": low,
        "high": high,
        "baseline": finite(task.baseline.value),
        "metrics": {name: finite(value) for name, value in task.metrics.items()},
        "examples": task.num_examples,
        "group": task.group,
        "failures": dict(task.failures),
        "fitted": dict(task.fitted),
    }


def aggregate_table(result: EvaluationResult) -> str:
    """The figures over tasks with their intervals, and published ones below; "" for none.

    Normalised parts are left to the record.
    """
    hidden = {part.name for d in defined_aggregates().values() for part in d.parts}
    lines = []
    for name, found in all_aggregates(result).items():
        if name in hidden:
            continue
        if found.missing:
            more = f" and {len(found.missing) - 1} more" if found.missing[1:] else ""
            lines.append(f"{name:<{_WIDTH}} undefined: {found.missing[0]}{more} missing")
            continue
        spread = f" [{found.interval.low:.3f}, {found.interval.high:.3f}]" if found.interval else ""
        lines.append(f"{name:<{_WIDTH}} {found.value:>13.3f}{spread}{_published(name)}")
    return "\n".join(["aggregate (95 % interval from the examples)", *lines]) if lines else ""


def _published(name: str) -> str:
    scores = {model: rows[name] for model, rows in published_scores().items() if name in rows}
    flan = [
        f"{model.removeprefix(_FLAN)} {score:.3f}"
        for model, score in scores.items()
        if model.startswith(_FLAN)
    ]
    return f"  (published Flan-T5: {', '.join(flan)})" if flan else ""


def shortened(result: EvaluationResult) -> str:
    """How many prompts had to be fitted to the encoder's length, as a line; "" for none."""
    counts: dict[str, int] = {}
    for task in result.tasks:
        for what, count in task.fitted.items():
            counts[what] = counts.get(what, 0) + count
    total = sum(t.num_examples for t in result.tasks)
    parts = [f"{what} {count:,} ({count / total:.2%})" for what, count in counts.items()]
    return f"prompts fitted to the input length: {', '.join(parts)}" if parts else ""


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
        "score": finite(example.score),
        "failure": example.failure,
        "log_prob": rounded(example.log_prob),
    }


def finite(value: float) -> float | None:
    """The number, or None (JSON's null) where it is not finite."""
    return value if math.isfinite(value) else None


def rounded(log_prob: float) -> float | None:
    """A float32 log-probability with the six decimals that mean something; None as `finite`."""
    return finite(round(float(log_prob), 6))
