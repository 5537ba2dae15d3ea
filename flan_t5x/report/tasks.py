"""Scores task by task: bars with 95 % intervals and baselines, the figures beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from flan_t5x.pages.bars import interval_bar
from flan_t5x.pages.elements import breakable, details, dot, node, section, table
from flan_t5x.report.benchmarks import published
from flan_t5x.report.eval_files import Evaluation
from flan_t5x.report.run_files import Run
from flan_t5x.report.scores import Figure, TaskFigure
from flan_t5x.report.show import counted, figure_text, share

MOST_OPEN = 40
"""More tasks than this are folded into their groups."""


class Series(NamedTuple):
    """One run or evaluation in a table of tasks; its number gives its colour."""

    label: str
    number: int
    tasks: Mapping[str, TaskFigure]


def tasks_section(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> Element | None:
    """The tasks that chose, those of each final set, those of the evaluations."""
    parts = [_part("Held-out tasks at the chosen step", _chosen(runs))]
    for label in dict.fromkeys(found.label for run in runs for found in run.sets):
        series = [
            Series(run.label, number, found.tasks)
            for number, run in enumerate(runs)
            for found in run.sets
            if found.label == label
        ]
        parts.append(_part(f"Final set {label}", series))
    parts.append(
        _part(
            "Evaluations",
            [
                Series(one.label, number, one.scores.tasks)
                for number, one in enumerate(evaluations, start=len(runs))
                if one.scores
            ],
        )
    )
    shown = [element for part in parts for element in part]
    note = "Bar: score; thin line: 95 % interval from the examples; tick: baseline."
    return section("Tasks", "tasks", node("p", note, class_="soft"), *shown) if shown else None


def _chosen(runs: Sequence[Run]) -> list[Series]:
    """best.json has scores alone; the final sets may know the tasks' groups."""
    known = [found.tasks for run in runs for found in run.sets]
    groups = {name: task.group for tasks in known for name, task in tasks.items()}
    return [
        Series(
            run.label,
            number,
            {
                name: TaskFigure(Figure(score), group=groups.get(name, ""))
                for name, score in run.best.scores.items()
            },
        )
        for number, run in enumerate(runs)
        if run.best and run.best.scores
    ]


def _part(title: str, series: Sequence[Series]) -> list[Element]:
    names = list(dict.fromkeys(name for one in series for name in one.tasks))
    if not names:
        return []
    heading = node("h3", f"{title}: {counted(len(names), 'task')}")
    if len(names) <= MOST_OPEN:
        return [heading, _table(title, names, series)]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_group(name, series), []).append(name)
    return [heading, *(_folded(group, inside, series) for group, inside in groups.items())]


def _folded(group: str, names: Sequence[str], series: Sequence[Series]) -> Element:
    means = []
    for one in series:
        values = [one.tasks[n].score.value for n in names if n in one.tasks]
        known = [value for value in values if value is not None]
        if known:
            label = f"{one.label} " if len(series) > 1 else ""
            means.append(f"{label}{share(sum(known) / len(known))}")
    title = f"{group or 'others'}: {counted(len(names), 'task')}"
    return details(f"{title}, mean {', '.join(means) or 'undefined'}", _table(group, names, series))


def _table(title: str, names: Sequence[str], series: Sequence[Series]) -> Element:
    having = {name: [one for one in series if name in one.tasks] for name in names}
    rows = [
        [
            node("div", node("span", *breakable(name)), _facts(name, series)),
            node("div", *(_bar(one, name, alone=len(series) == 1) for one in having[name])),
        ]
        for name in names
    ]
    shown = table(["task", "score"], rows, label=title, numbers_from=2)
    shown.set("class", "scroll tasks")
    return shown


def _facts(name: str, series: Sequence[Series]) -> Element | None:
    found = [one.tasks[name] for one in series if name in one.tasks]
    counts = dict.fromkeys(t.examples for t in found if t.examples is not None)
    bases = dict.fromkeys(share(t.baseline) for t in found if t.baseline is not None)
    facts = [f"{' or '.join(f'{n:,}' for n in counts)} examples"] if counts else []
    facts += [f"baseline {' or '.join(bases)}"] if bases else []
    facts += [f"{model} {share(scores[name])}" for model, scores in published([name]).items()]
    fitted = Counter[str]()
    for task in found:
        fitted |= Counter(task.fitted)
    facts += [f"{what} {count:,}" for what, count in fitted.items()]
    return node("small", ", ".join(facts)) if facts else None


def _bar(series: Series, name: str, *, alone: bool) -> Element:
    task = series.tasks[name]
    figure = task.score
    bar = None
    if figure.value is not None:
        bar = interval_bar(
            figure.value,
            low=figure.low,
            high=figure.high,
            tick=task.baseline,
            colour=series.number,
        )
    who = node("span", series.label, class_="unseen" if alone else "who", title=series.label)
    value = node("span", figure_text(figure), class_="value")
    return node("div", dot(series.number), who, bar, value, class_="bar")


def _group(name: str, series: Sequence[Series]) -> str:
    return next((one.tasks[name].group for one in series if name in one.tasks), "")
