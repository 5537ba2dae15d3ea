"""What is on the page: runs and evaluations with their main figures, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.bars import parted_bar
from flan_t5x.pages.elements import Child, dot, node, section, table
from flan_t5x.report.eval_files import Evaluation
from flan_t5x.report.run_files import Run
from flan_t5x.report.show import share, with_dot


def overview(
    runs: Sequence[Run], evaluations: Sequence[Evaluation], problems: Sequence[str]
) -> Element:
    """The first part of the page.

    Args:
        runs: those on the page.
        evaluations: likewise.
        problems: a sentence for each file or folder that is missing or damaged.
    """
    return section(
        "Overview",
        "overview",
        *_warnings(runs),
        _runs(runs) if runs else None,
        _evaluations(evaluations, first=len(runs)) if evaluations else None,
        *_problems(problems),
    )


def _runs(runs: Sequence[Run]) -> Element:
    sets = list(dict.fromkeys(found.label for run in runs for found in run.sets))
    head = ["run", "chosen step", "of steps", "selected by", "value"]
    head += [f"final: {label}" for label in sets]
    rows = []
    for number, run in enumerate(runs):
        steps = [line.step for lines in run.lines.values() for line in lines]
        best, by_label = run.best, {found.label: found for found in run.sets}
        row: list[Child] = [with_dot(run.label, number)]
        row += [f"{best.step:,}" if best else "none", f"{max(steps):,}" if steps else "none"]
        row += [best.metric, share(best.value)] if best else ["", ""]
        for label in sets:
            found = by_label.get(label)
            row.append(f"{share(found.average)} / {share(found.baseline)}" if found else "")
        rows.append(row)
    note = "Final sets: average of the tasks / of their baselines, at the chosen step."
    return node(
        "div", table(head, rows, label="Runs"), node("p", note, class_="soft") if sets else None
    )


def _evaluations(evaluations: Sequence[Evaluation], *, first: int) -> Element:
    rows: list[list[Child]] = []
    for number, one in enumerate(evaluations, start=first):
        scores, settings = one.scores, one.settings
        rows.append(
            [
                with_dot(one.label, number),
                str(settings.get("checkpoint", "")),
                str(settings.get("mixture_or_task_name", "")),
                str(settings.get("split", "")),
                f"{len(scores.tasks):,}" if scores else "",
                share(scores.average) if scores else "",
                share(scores.baseline) if scores else "",
            ]
        )
    head = ["evaluation", "checkpoint", "mixture", "split", "tasks", "average", "baseline"]
    return table(head, rows, label="Evaluations", numbers_from=4)


def _warnings(runs: Sequence[Run]) -> list[Element]:
    return [
        node(
            "p",
            f"{run.label}: a test split chose the step; its score is no held-out result.",
            class_="bad",
        )
        for run in runs
        if run.best and run.best.on_test
    ]


def _problems(problems: Sequence[str]) -> list[Element]:
    if not problems:
        return []
    listed = node("ul", *(node("li", problem, class_="bad") for problem in problems))
    return [node("h3", "Not here, or not readable"), listed]


def time_section(runs: Sequence[Run]) -> Element | None:
    """Where the wall time of each run went."""
    timed = [(number, run) for number, run in enumerate(runs) if sum(run.seconds.values()) > 0]
    if not timed:
        return None
    activities = list(dict.fromkeys(name for _, run in timed for name in run.seconds))
    parts: list[Element] = []
    for number, run in timed:
        total = sum(run.seconds.values())
        shares = [(name.replace("_", " "), run.seconds.get(name, 0.0)) for name in activities]
        title = node("h3", dot(number), f"{run.label}: {_duration(total)}")
        parts += [title, parted_bar(shares, label=f"wall time of {run.label}")]
    return section("Wall time", "time", *parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
