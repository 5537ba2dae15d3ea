"""Answers that could not be used: by task and reason, and what came instead of what was wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import details, dot, node, section, table
from flan_t5x.report.answers import OUTSIDE, RIGHT, WRONG, TaskAnswers
from flan_t5x.report.eval_files import Evaluation
from flan_t5x.report.run_files import Run
from flan_t5x.report.scores import ScoreSet
from flan_t5x.report.show import counted

_OTHER = "another text"


def failures_section(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> Element | None:
    """For each evaluation a table of outcomes; below, what was taken for what.

    Where there are scores alone (the final sets of runs), the counts of failures in them.
    """
    parts: list[Element] = []
    for number, run in enumerate(runs):
        for found in run.sets:
            parts += _counted(f"{run.label}, {found.label}", number, found)
    for number, one in enumerate(evaluations, start=len(runs)):
        if one.answers and one.answers.tasks:
            parts += [node("h3", dot(number), one.label), *_outcomes(one)]
        elif one.scores:
            parts += _counted(one.label, number, one.scores)
    if not parts:
        return None
    note = (
        "Each prediction is counted once. Whether an answer is among the possible ones is told "
        "where a task has few different targets, each many times."
    )
    return section("Extraction failures", "failures", node("p", note, class_="soft"), *parts)


def _counted(label: str, number: int, scores: ScoreSet) -> list[Element]:
    """The tasks of a set that have failures; nothing where there are none."""
    failed = {name: task for name, task in scores.tasks.items() if any(task.failures.values())}
    if not failed:
        return []
    reasons = sorted({reason for task in failed.values() for reason in task.failures})
    rows = [
        [name, f"{task.examples or 0:,}", *(f"{task.failures.get(r, 0):,}" for r in reasons)]
        for name, task in failed.items()
    ]
    shown = table(["task", "examples", *reasons], rows, label=f"Failures of {label}")
    return [node("h3", dot(number), label), shown]


def _outcomes(one: Evaluation) -> list[Element]:
    assert one.answers is not None
    tasks = one.answers.tasks
    total = Counter[str]()
    for answers in tasks.values():
        total.update(answers.outcomes)
    reasons = sorted(set(total) - {RIGHT, WRONG, OUTSIDE})
    columns = [*reasons, OUTSIDE, WRONG, RIGHT]
    failed = {n: a for n, a in tasks.items() if any(a.outcomes[r] for r in (*reasons, OUTSIDE))}
    rows = [["all tasks", *_row(total, columns)]]
    rows += [[name, *_row(answers.outcomes, columns)] for name, answers in failed.items()]
    whole = len(tasks) - len(failed)
    label = f"Outcomes of {one.label}"
    parts: list[Element] = [table(["task", "examples", *columns], rows, label=label)]
    if whole:
        parts.append(
            node(
                "p", f"{counted(whole, 'task')} without such a failure: not listed.", class_="soft"
            )
        )
    closed = {name: a for name, a in tasks.items() if a.counts}
    if closed:
        tables = (_confusion(name, answers) for name, answers in closed.items())
        parts.append(details(f"What came for what, {counted(len(closed), 'task')}", *tables))
    return parts


def _row(outcomes: Counter[str], columns: Sequence[str]) -> list[str]:
    total = outcomes.total()
    cells = [f"{outcomes[c]:,} ({outcomes[c] / total:.0%})" if outcomes[c] else "" for c in columns]
    return [f"{total:,}", *cells]


def _confusion(name: str, answers: TaskAnswers) -> Element:
    """Rows are targets, columns what was extracted."""
    targets = sorted(answers.targets)
    seen = Counter[tuple[str, str]]()
    others: dict[str, None] = {}
    for (target, extracted, outcome), count in answers.counts.items():
        column = extracted if outcome in (RIGHT, WRONG) and extracted in targets else outcome
        column = _OTHER if column in (OUTSIDE, RIGHT, WRONG) and column not in targets else column
        seen[target, column] += count
        if column not in targets:
            others[column] = None
    columns = [*targets, *sorted(others)]
    rows = [[t, *(f"{seen[t, c]:,}" if seen[t, c] else "" for c in columns)] for t in targets]
    head = ["wanted", *(f"“{column}”" if column in targets else column for column in columns)]
    return node("div", node("h3", name), table(head, rows, label=f"What came for what: {name}"))
