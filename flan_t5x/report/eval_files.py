"""What `flan-t5x eval` left in its output folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flan_t5x.evaluation.results import PREDICTIONS, RESULTS
from flan_t5x.report.answers import Answers
from flan_t5x.report.files import Reader
from flan_t5x.report.scores import ScoreSet, number, objects, score_set

_OWN = {"tasks", "aggregates", "self_consistency", "average", "baseline"}


@dataclass
class Evaluation:
    """All that is known of an evaluation.

    Attributes:
        path: its folder.
        label: names it on the page.
        settings: what was evaluated and how.
        scores: by task, and over tasks.
        consistency: self-consistency: task -> number of samples -> score.
        answers: counts and samples of the predictions.
        problems: files that are missing or damaged, a sentence each.
    """

    path: Path
    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    scores: ScoreSet | None = None
    consistency: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    answers: Answers | None = None
    problems: list[str] = field(default_factory=list)


def evaluation_folders(folder: Path) -> list[Path]:
    """The folder, or those right below it that hold an evaluation (a list, a watched run)."""
    if _holds_one(folder) or not folder.is_dir():
        return [folder]
    return sorted(filter(_holds_one, folder.iterdir()), key=_by_step) or [folder]


def read_evaluation(
    folder: Path, label: str, collect: Callable[[Iterable[dict[str, Any]]], Answers]
) -> Evaluation | None:
    """Reads an evaluation; None where the folder holds none.

    Args:
        folder: an output_dir.
        label: names it on the page.
        collect: what makes answers of the rows of predictions.
    """
    reader = Reader(folder)
    found = Evaluation(folder, label, problems=reader.problems)
    record = reader.record(RESULTS)
    if record is not None:
        found.settings = {name: v for name, v in record.items() if name not in _OWN}
        found.scores = score_set(label, record)
        found.consistency = _curves(record.get("self_consistency"))
        if not found.scores.tasks:
            reader.damaged(RESULTS, "it holds no task's score")
    found.answers = collect(reader.lines(PREDICTIONS))
    if found.answers.unusable:
        count = found.answers.unusable
        reader.damaged(PREDICTIONS, f"{count:,} rows lack their task, id or prediction")
    return found if reader.found else None


def _curves(value: object) -> dict[str, dict[int, float]]:
    curves: dict[str, dict[int, float]] = {}
    for task, found in objects(value).items():
        points = {k: number(score) for k, score in found.items() if str(k).isdecimal()}
        curves[task] = {int(k): score for k, score in points.items() if score is not None}
    return {task: dict(sorted(curve.items())) for task, curve in curves.items() if curve}


def _holds_one(folder: Path) -> bool:
    return (folder / RESULTS).is_file() or (folder / PREDICTIONS).is_file()


def _by_step(folder: Path) -> tuple[str, int]:
    """step_9 before step_10."""
    name, _, tail = folder.name.rpartition("_")
    return (name, int(tail)) if tail.isdecimal() else (folder.name, -1)
