"""`flan-t5x eval --predictions`: scores what any system wrote, without a model.

A file of JSON Lines. Each row has "prediction"; which example it answers is told by "id" (the id of
the task's row), by "inputs" (the rendered prompt), or by nothing: then the rows are in the task's
order, one for each example. "task" names the task in a file that has several, as the
`predictions.jsonl` of `flan-t5x eval` does. Other fields are passed over.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flan_t5x.data.aggregates import tasks_in
from flan_t5x.data.definitions import Example, RowError, TaskDefinition
from flan_t5x.data.example_info import example_info
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.registry import get_mixture, get_task
from flan_t5x.data.task_sets import evaluation_tasks
from flan_t5x.data.vocabulary import resolve_vocabulary
from flan_t5x.errors import UserError
from flan_t5x.evaluation.results import result_record
from flan_t5x.evaluation.scoring import EvaluationResult, TaskScore, check_names, score_task

_NO_LIMIT = 1 << 30
_NAMED = 5  # ids that a message lists


@dataclass(frozen=True)
class Matched:
    """How predictions and examples met.

    Attributes:
        task: its name.
        scored: examples with a prediction.
        missing: ids of examples without one.
        unknown: what rows claim to answer and the task does not have.
        repeated: ids that several rows answer; the first one counts.
        unusable: ids of the task's own rows that cannot be asked, with the reason.
    """

    task: str
    scored: int
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """A sentence for each way in which the two do not fit."""
        for what, ids in (
            ("examples have no prediction and are not scored", self.missing),
            ("predictions are for no example of the task", self.unknown),
            ("examples are answered more than once; the first answer counts", self.repeated),
            ("rows of the task are unusable", self.unusable),
        ):
            if ids:
                named = ", ".join(ids[:_NAMED]) + (" ..." if len(ids) > _NAMED else "")
                yield f"{self.task}: {len(ids):,} {what}: {named}"

    def as_json(self) -> dict[str, Any]:
        """Counts, with the first few of each."""
        found: dict[str, Any] = {"scored": self.scored}
        for name in ("missing", "unknown", "repeated", "unusable"):
            ids = getattr(self, name)
            found[name] = {"count": len(ids), "first": list(ids[:_NAMED])}
        return found


@dataclass(frozen=True)
class Judged:
    """Scores of somebody's predictions.

    Attributes:
        split: the split whose examples were answered.
        result: the scores.
        matches: one for each task.
    """

    split: str
    result: EvaluationResult
    matches: tuple[Matched, ...]

    def as_json(self) -> dict[str, Any]:
        """The scores as in ``results.json``, with the split and the matches."""
        matches = {match.task: match.as_json() for match in self.matches}
        return {"split": self.split, **result_record(self.result), "matches": matches}


def judge(path: str, name: str, *, split: str | None = None) -> Judged:
    """Scores a file of predictions.

    Args:
        path: the file.
        name: of the task, or of a mixture where rows have "task".
        split: None takes "validation", else "test".

    Raises:
        UserError: no such file or task, a malformed row, or no prediction that fits.
    """
    rows = _read(Path(path).expanduser())
    names = list(dict.fromkeys(tasks_in(get_mixture(name))))
    there = get_task(names[0]).source.splits
    split = split or next((s for s in ("validation", "test") if s in there), there[0])
    tasks = evaluation_tasks(name, split).tasks
    scores: list[TaskScore] = []
    matches: list[Matched] = []
    for task, given in zip(tasks, _by_task(rows, names, path), strict=True):
        check_names(task)
        asked, unusable = _asked(task, split)
        texts, match = _match(task.name, asked, given, path)
        matches.append(dataclasses.replace(match, unusable=tuple(unusable)))
        if texts:
            answered = [asked[place] for place in texts]
            unknown = [math.nan] * len(texts)
            scores.append(score_task(task, answered, list(texts.values()), unknown))
    if not scores:
        why = next((line for match in matches for line in match.lines()), "")
        raise UserError(
            f"{path}: none of its {len(rows)} predictions is for an example of {name}, split "
            f"{split!r}; give the task's ids or rendered prompts, or another split. {why}".strip()
        )
    return Judged(split, EvaluationResult(tuple(scores), 0.0, 0), tuple(matches))


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows. Raises UserError for a malformed one, by its line."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"cannot read predictions at {path}: {error.strerror or error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict) or not isinstance(row.get("prediction"), str):
            raise UserError(
                f'{path}, line {number}: needs an object with the text "prediction", e.g. '
                '{"id": "7", "prediction": "(B)"}'
            )
        rows.append(row)
    if not rows:
        raise UserError(f"{path} has no predictions; write one JSON object a line")
    return rows


def _by_task(
    rows: Sequence[dict[str, Any]], names: Sequence[str], path: str
) -> list[list[dict[str, Any]]]:
    """The rows of each task, in the order of the names; others are told of with the first task."""
    if len(names) == 1:
        return [list(rows)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("task"), str):
            raise UserError(
                f'{path}, row {number}: "task" is missing; a file for a mixture of {len(names)} '
                "tasks says in each row which one it answers"
            )
        found.get(row["task"], found[names[0]]).append(row)
    return list(found.values())


def _asked(task: TaskDefinition, split: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What the task asks, as the token cache keeps it, and the rows that cannot be asked.

    Prompts are rendered as if the encoder had no limit: nothing is left out of them.
    """
    pool = ExemplarPool.for_task(task)
    vocabulary = resolve_vocabulary("mini")  # asked for token counts only, which limit nothing
    asked: list[dict[str, Any]] = []
    unusable: list[str] = []
    for row in task.source.read(split, 0, task.source.num_examples(split)):
        try:
            if not isinstance(row, Example):
                raise RowError(row.reason, row.detail)
            made = render(task, row, exemplars=pool, vocabulary=vocabulary, budget=_NO_LIMIT)
        except RowError as error:
            unusable.append(f"{row.id} ({error.reason})")
            continue
        asked.append(example_info(row, made))
    return asked, unusable


def _match(
    task: str, asked: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], path: str
) -> tuple[dict[int, str], Matched]:
    """The prediction of each example by its place, in the task's order, and what did not fit."""
    if rows and not any("id" in row or "inputs" in row for row in rows):
        if len(rows) != len(asked):
            raise UserError(
                f"{path}: {len(rows)} predictions without ids for the {len(asked)} examples of "
                f'{task}; write one for each, in order, or say in each row which "id" it answers'
            )
        texts = {place: str(row["prediction"]) for place, row in enumerate(rows)}
        return texts, Matched(task, len(texts))
    by_id = {str(example["id"]): place for place, example in enumerate(asked)}
    by_inputs: dict[str, list[int]] = {}
    for position, example in enumerate(asked):
        by_inputs.setdefault(example["inputs"], []).append(position)
    found: dict[int, str] = {}
    unknown: list[str] = []
    repeated: list[str] = []
    for number, row in enumerate(rows, start=1):
        known = row.get("task", task) == task
        place = by_id.get(str(row.get("id"))) if known else None
        if place is None and known:  # the same prompt may stand in several rows
            same = by_inputs.get(str(row.get("inputs")), [])
            place = next((p for p in same if p not in found), same[0] if same else None)
        if place is None:
            unknown.append(str(row.get("id", f"row {number}")))
        elif place in found:
            repeated.append(str(asked[place]["id"]))
        else:
            found[place] = str(row["prediction"])
    missing = tuple(str(e["id"]) for position, e in enumerate(asked) if position not in found)
    ordered = dict(sorted(found.items()))
    return ordered, Matched(task, len(found), missing, tuple(unknown), tuple(repeated))
