"""Curves of the runs, one over the other, each with its chosen checkpoint marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import details, node, section
from flan_t5x.pages.line_chart import Curve, Point, line_chart
from flan_t5x.report.run_files import TASK, Run
from flan_t5x.report.show import counted

TRAIN, HELD_OUT = "train", "held_out"
LOSS, AVERAGE, BASELINE = "loss", "average", "baseline"


def curves_section(runs: Sequence[Run]) -> Element | None:
    """Loss and the figures that choose; all others of the training below, where they are wanted."""
    if not any(run.lines for run in runs):
        return None
    metrics = dict.fromkeys(run.best.metric for run in runs if run.best and run.best.metric)
    charts = [_chart("Training loss", runs, TRAIN, LOSS)]
    charts += [_held_out(runs, metric) for metric in metrics or [AVERAGE]]
    others = [
        _chart(name.replace("_", " "), runs, TRAIN, name)
        for name in _names(runs, TRAIN)
        if name != LOSS
    ]
    tasks = [
        _chart(name.removeprefix(TASK), runs, HELD_OUT, name, bounds=(0.0, 1.0))
        for name in _names(runs, HELD_OUT)
        if name.startswith(TASK)
    ]
    return section(
        "Curves",
        "curves",
        node("div", *charts, class_="charts"),
        _more(f"{counted(len(tasks), 'held-out task')}, one by one", tasks),
        _more(f"{counted(len(others), 'more figure')} of the training", others),
    )


def _more(summary: str, charts: Sequence[Element]) -> Element | None:
    return details(summary, node("div", *charts, class_="charts small")) if charts else None


def _held_out(runs: Sequence[Run], metric: str) -> Element:
    """The figure that chooses; baselines belong to the average alone."""
    baselines = _baselines(runs) if metric == AVERAGE else []
    return _chart(f"Held-out {metric}", runs, HELD_OUT, metric, more=baselines)


def _baselines(runs: Sequence[Run]) -> list[Curve]:
    """One line for each baseline: runs that share one show the longest."""
    by_value: dict[float, Curve] = {}
    for number, run in enumerate(runs):
        points = _points(run, HELD_OUT, BASELINE)
        if points:
            old = by_value.get(points[0].y)
            if old is None or old.points[-1].x < points[-1].x:
                by_value[points[0].y] = Curve(run.label, points, number, dashed=True)
    several = len(by_value) > 1
    return [
        replace(curve, name=f"baseline of {curve.name}" if several else "baseline")
        for curve in by_value.values()
    ]


def _chart(
    title: str,
    runs: Sequence[Run],
    kind: str,
    name: str,
    *,
    more: Sequence[Curve] = (),
    bounds: tuple[float, float] | None = None,
) -> Element:
    curves = [
        Curve(run.label, points, number, marked=_chosen(run, points))
        for number, run in enumerate(runs)
        if (points := _points(run, kind, name))
    ]
    return line_chart(title, [*curves, *more], x_name="step", bounds=bounds)


def _points(run: Run, kind: str, name: str) -> list[Point]:
    return [Point(float(step), value) for step, value in run.curve(kind, name)]


def _chosen(run: Run, points: Sequence[Point]) -> tuple[Point, str] | None:
    """The chosen step on a curve: the curve's last point that is not after it."""
    if run.best is None:
        return None
    step = run.best.step
    before = [point for point in points if point.x <= step and math.isfinite(point.y)]
    if not before:
        return None
    return Point(float(step), before[-1].y), f"step {step:,} chosen"


def _names(runs: Sequence[Run], kind: str) -> list[str]:
    """Names of all figures of a kind, in the order of their first appearance."""
    lines = (line for run in runs for line in run.lines.get(kind, ()))
    return list(dict.fromkeys(name for line in lines for name in line.figures))
