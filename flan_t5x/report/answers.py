"""Predictions, read once and line by line: what became of them by task, and a few to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any

from flan_t5x.data.registry import get_task
from flan_t5x.errors import UserError
from flan_t5x.evaluation.extraction import EXTRACTORS, failure
from flan_t5x.report.scores import number

RIGHT, WRONG = "right", "wrong"
OUTSIDE = "not among the answers"
"""What an example's outcome is, else why nothing could be extracted (`extraction.failure`)."""

MOST_ANSWERS = 12
"""A task with more different targets has open answers: nothing is outside of them."""
_REPEATS = 3  # so often is a target of a closed set seen on average, or the set is not closed
MOST_CHARACTERS = 4_000
MOST_SAMPLES = 8
"""Of the samples that voted on an answer."""


@dataclass(frozen=True)
class Sample:
    """One prompt with an answer, as far as the page shows it.

    Attributes:
        id: of the row.
        inputs: the prompt.
        target: what was wanted.
        prediction: what came.
        extracted: what was scored of it.
        outcome: `RIGHT`, `WRONG`, `OUTSIDE`, or why nothing could be extracted.
        votes: where several samples voted, each with what was extracted from it.
    """

    id: str
    inputs: str
    target: str
    prediction: str
    extracted: str
    outcome: str
    votes: tuple[tuple[str, str], ...] = ()


@dataclass
class TaskAnswers:
    """What became of a task's predictions.

    Attributes:
        counts: (target, extracted, outcome) -> how many; targets as extraction gives them.
        samples: some, by the order of a hash of their ids.
        open: whether any text may be an answer; there are no counts then.
        outcomes: outcome -> how many.
        targets: as in `counts`.
    """

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    samples: dict[str, Sample] = field(default_factory=dict)
    open: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    targets: set[str] = field(default_factory=set)


@dataclass
class Answers:
    """The predictions of an evaluation.

    Attributes:
        tasks: by name, in the file's order.
        unusable: rows without a task, an id or a prediction.
    """

    tasks: dict[str, TaskAnswers] = field(default_factory=dict)
    unusable: int = 0


def collect_answers(
    rows: Iterable[Mapping[str, Any]], *, samples: int, wanted: Mapping[str, Iterable[str]]
) -> Answers:
    """Counts predictions and keeps a few.

    Args:
        rows: of `predictions.jsonl`.
        samples: how many prompts of each task are kept.
        wanted: ids to keep instead, by task, so that several evaluations show the same prompts.
    """
    found = Answers()
    chosen = {task: frozenset(ids) for task, ids in wanted.items()}
    for row in rows:
        task, id, prediction = row.get("task"), row.get("id"), row.get("prediction")
        if not (isinstance(task, str) and id is not None and isinstance(prediction, str)):
            found.unusable += 1
            continue
        here = found.tasks.setdefault(task, TaskAnswers())
        extractor = _extractor(task)
        sample = _sample(row, str(id), prediction, extractor=extractor)
        _count(here, EXTRACTORS[extractor](str(row.get("target", ""))), sample)
        if task not in chosen or str(id) in chosen[task]:
            here.samples[str(id)] = sample
        if task not in chosen and len(here.samples) > 2 * samples:
            here.samples = _fewest(here.samples, task, samples)
    for task, here in found.tasks.items():
        here.samples = _fewest(here.samples, task, len(chosen.get(task, range(samples))))
        _close(here)
    return found


def _count(here: TaskAnswers, target: str, sample: Sample) -> None:
    here.outcomes[sample.outcome] += 1
    if not here.open:
        here.counts[target, sample.extracted, sample.outcome] += 1
        here.targets.add(target)
        here.open = len(here.targets) > MOST_ANSWERS
        if here.open:
            here.counts.clear()


def _close(here: TaskAnswers) -> None:
    """Once all targets are known: which wrong answers are none of them."""
    answers = here.targets
    if here.open or len(answers) < 2 or here.outcomes.total() < _REPEATS * len(answers):
        here.open = True
        here.counts.clear()
        return

    def seen(extracted: str, outcome: str) -> str:
        return OUTSIDE if outcome == WRONG and extracted not in answers else outcome

    counts = Counter[tuple[str, str, str]]()
    for (target, extracted, outcome), count in here.counts.items():
        counts[target, extracted, seen(extracted, outcome)] += count
    here.counts = counts
    here.outcomes = Counter[str]()
    for (_, _, outcome), count in counts.items():
        here.outcomes[outcome] += count
    here.samples = {
        id: Sample(**{**vars(s), "outcome": seen(s.extracted, s.outcome)})
        for id, s in here.samples.items()
    }


def _sample(row: Mapping[str, Any], id: str, prediction: str, *, extractor: str) -> Sample:
    reason = row.get("failure")
    if not isinstance(reason, str):
        reason = failure(extractor, prediction, cot=False)
    right = row.get("correct") is True or number(row.get("score")) == 1
    votes = row.get("samples")
    return Sample(
        id=id,
        inputs=_cut(str(row.get("inputs", ""))),
        target=_cut(str(row.get("target", ""))),
        prediction=_cut(prediction),
        extracted=_cut(str(row.get("extracted", EXTRACTORS[extractor](prediction)))),
        outcome=RIGHT if right else reason or WRONG,
        votes=tuple(
            (_cut(str(v.get("prediction", ""))), _cut(str(v.get("extracted", ""))))
            for v in (votes if isinstance(votes, list) else [])[:MOST_SAMPLES]
            if isinstance(v, dict)
        ),
    )


def _fewest(samples: dict[str, Sample], task: str, most: int) -> dict[str, Sample]:
    """Those whose ids have the least hashes: a fair choice, and the same for every evaluation."""

    def place(id: str) -> bytes:
        return blake2b(f"{task} {id}".encode("utf-8", "replace"), digest_size=8).digest()

    return {id: samples[id] for id in sorted(samples, key=place)[:most]}


@cache
def _extractor(task: str) -> str:
    """The task's extractor; "text" where nobody here knows the task."""
    try:
        name = get_task(task).extract
    except UserError:
        return "text"
    return name if name in EXTRACTORS else "text"


def _cut(text: str) -> str:
    """The beginning and the end: the question stands after the exemplars."""
    half = MOST_CHARACTERS // 2
    return text if len(text) <= MOST_CHARACTERS else f"{text[:half]}\n […] \n{text[-half:]}"
