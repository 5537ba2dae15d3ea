"""`python -m flan_t5x.evaluation.seeds RUN RUN ...`: one table over runs that differ in seed.

Reads what `flan-t5x train` left in each model_dir: the first evaluation (before tuning), the
chosen one, and the final sets with their baselines. Intervals are 95 %, Student's t over runs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flan_t5x.errors import EXIT_BAD_INPUT, UserError
from flan_t5x.evaluation.baselines import shown

_TASK = "task/"


@dataclass(frozen=True)
class Interval:
    """Mean over runs and half the width of its 95 % interval (NaN for a single run)."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.half:.3f}"


def interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean. Raises ValueError for no values."""
    if not values:
        raise ValueError("no values")
    mean = sum(values) / len(values)
    if len(values) == 1:
        return Interval(mean, math.nan)
    from scipy.stats import t

    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return Interval(mean, float(t.ppf(0.975, len(values) - 1)) * math.sqrt(variance / len(values)))


@dataclass(frozen=True)
class Run:
    """What a finished run wrote.

    Attributes:
        first: the first held-out evaluation: average, baseline and "task/..." scores.
        best: best.json.
        sets: of final.json: label -> {"average", "baseline", "tasks"}.
    """

    first: Mapping[str, Any]
    best: Mapping[str, Any]
    sets: Mapping[str, Any]


def read_run(model_dir: Path) -> Run:
    """Raises UserError where the run has not ended, or is none."""
    try:
        lines = (model_dir / "metrics.jsonl").read_text("utf-8").splitlines()
        best = json.loads((model_dir / "best.json").read_text("utf-8"))
        final = json.loads((model_dir / "final.json").read_text("utf-8"))
    except OSError as error:
        raise UserError(
            f"{error.filename}: {error.strerror}; is {model_dir} a finished run?"
        ) from error
    records = [json.loads(line) for line in lines]
    first = next(r for r in records if r["kind"] == "held_out")
    return Run(first, best, final["sets"])


def table(runs: Sequence[Run]) -> str:
    """The runs' scores as text, a line a task, averages last."""
    lines = [
        f"selection, {len(runs)} runs, chosen steps {', '.join(str(r.best['step']) for r in runs)}",
        f"{'task':<36} {'first step':>18} {'chosen step':>18}",
    ]
    for name in runs[0].best["values"]:
        before = interval([run.first[_TASK + name] for run in runs])
        after = interval([run.best["values"][name] for run in runs])
        lines.append(f"{name:<36} {before!s:>18} {after!s:>18}")
    before = interval([run.first["average"] for run in runs])
    after = interval([run.best["value"] for run in runs])
    lines.append(f"{'average':<36} {before!s:>18} {after!s:>18}")
    for label in runs[0].sets:
        lines += ["", *_set_lines(label, [run.sets[label] for run in runs])]
    return "\n".join(lines)


def _set_lines(label: str, sets: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """One final set: score, baseline and the difference of both."""
    yield f"{label} at the chosen step"
    yield f"{'task':<36} {'score':>18} {'baseline':>9} {'difference':>18}"
    for name in sets[0]["tasks"]:
        scores = [s["tasks"][name]["score"] for s in sets]
        yield _line(name, scores, [s["tasks"][name]["baseline"] for s in sets])
    scores = [s["average"] for s in sets]
    yield _line("average", scores, [s["baseline"] for s in sets])


def _line(name: str, scores: list[float], bases: list[float | None]) -> str:
    """Score, baseline of the first run, and by how much it is beaten; "-" for undefined ones."""
    known = [base for base in bases if base is not None]
    difference = "-"
    if len(known) == len(bases):
        difference = str(interval([s - base for s, base in zip(scores, known, strict=True)]))
    return f"{name:<36} {interval(scores)!s:>18} {shown(bases[0]):>9} {difference:>18}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="scores over runs that differ in seed")
    parser.add_argument("model_dir", type=Path, nargs="+")
    options = parser.parse_args()
    try:
        print(table([read_run(path) for path in options.model_dir]))
    except UserError as error:
        print(f"seeds: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
