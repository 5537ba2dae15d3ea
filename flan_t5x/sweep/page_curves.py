"""Curves along an axis with numbers, one for each combination of the other choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.evaluation.seeds import interval
from flan_t5x.pages.elements import details, node, table
from flan_t5x.pages.line_chart import Curve, Point, line_chart
from flan_t5x.sweep.outcome import Law, Outcome
from flan_t5x.sweep.regression import Fit
from flan_t5x.sweep.statistics import TOGETHER
from flan_t5x.sweep.words import LAW_HEAD, counted, law_row, law_text, slope_unit

_TOGETHER = 6  # curves of one chart: as many as have a colour that nothing else has there
_LAW, _BASELINE = 6, 7  # colours
_CHARTS = 4
"""More charts are folded."""
_TOLD = 3
"""More laws are a table first, with the sentences folded."""


def curves(found: Outcome, laws: Sequence[Law]) -> list[Element]:
    """Charts of the laws of one axis, and what they say.

    Args:
        found: the figure that they are of.
        laws: all of one axis; at least one.
    """
    laws = [law for law in laws if law.runs]
    if not laws:
        return []
    parts = [laws[i : i + _TOGETHER] for i in range(0, len(laws), _TOGETHER)]
    bounds = _bounds(found, laws)
    charts = [
        _chart(found, part, first=i * _TOGETHER, bounds=bounds) for i, part in enumerate(parts)
    ]
    said = node("ul", *(_sentence(found, law, number) for number, law in enumerate(laws)))
    if len(laws) > _TOLD:
        said = details("The laws in words", said)
    folded = None
    if charts[_CHARTS:]:
        more = counted(len(laws) - _CHARTS * _TOGETHER, "more curve")
        folded = details(more, node("div", *charts[_CHARTS:], class_="charts"))
    listed = _listed(found, laws) if len(laws) > _TOLD else None
    elements = [node("div", *charts[:_CHARTS], class_="charts"), folded, listed, said]
    return [element for element in elements if element is not None]


def _listed(found: Outcome, laws: Sequence[Law]) -> Element:
    """Laws as a table: a slope is the change for what the note says."""
    rows = [(f"{sign_of(n)}, {law_row(law)[0]}", *law_row(law)[1:]) for n, law in enumerate(laws)]
    note = f"Slope: change of {found.metric} with {slope_unit(laws[0])}."
    label = f"{found.metric}: laws of {laws[0].axis.name}"
    return node("div", table(LAW_HEAD, rows, label=label), node("p", note, class_="soft"))


def _chart(
    found: Outcome, laws: Sequence[Law], *, first: int, bounds: tuple[float, float]
) -> Element:
    axis = laws[0].axis
    drawn = [
        Curve(
            law.group or found.metric,
            _points(law),
            number % _TOGETHER,
            sign=sign_of(number),
            joined=law.group != TOGETHER,
        )
        for number, law in enumerate(laws, start=first)
    ]
    xs = sorted({x for law in laws for x in law.runs})
    if found.baseline is not None:
        level = [Point(x, found.baseline) for x in xs]
        drawn.append(Curve("guessing", level, _BASELINE, dashed=True))
    fit = laws[0].fit
    if len(laws) == 1 and isinstance(fit, Fit) and len(xs) > 1:
        line = (fit.intercept + fit.slope.mean * _scaled(laws[0], x) for x in (xs[0], xs[-1]))
        ends = [Point(x, y) for x, y in zip((xs[0], xs[-1]), line, strict=True)]
        drawn.append(Curve("fitted law", ends, _LAW, dashed=True, sign="×"))
    log = axis.kind == "log" and xs[0] > 0
    return line_chart(
        f"{found.metric} along {axis.name}",
        drawn,
        x_name=axis.name,
        bounds=bounds,
        scale="log" if log else "linear",
    )


def sign_of(number: int) -> str:
    """A, B, ... Z, A1, B1, ... for the n-th curve."""
    return f"{chr(ord('A') + number % 26)}{number // 26 or ''}"


def _sentence(found: Outcome, law: Law, number: int) -> Element:
    where = node("strong", f"{sign_of(number)}, {law.group or found.metric}: ")
    return node("li", where, law_text(found.metric, law))


def _scaled(law: Law, x: float) -> float:
    return math.log2(x) if law.axis.kind == "log" else x


def _points(law: Law) -> list[Point]:
    """Means, with their intervals where the runs differ in their seeds alone."""
    points = []
    for x, values in law.runs.items():
        found = interval(values)
        ends = (found.mean - found.half, found.mean + found.half)
        known = law.group != TOGETHER and not math.isnan(found.half)
        points.append(Point(x, found.mean, *ends) if known else Point(x, found.mean))
    return points


def _bounds(found: Outcome, laws: Sequence[Law]) -> tuple[float, float]:
    """Of all charts of an axis alike. Intervals of few seeds may be cut, so that means are seen."""
    points = [point for law in laws for point in _points(law)]
    levels = [] if found.baseline is None else [found.baseline]
    means = [p.y for p in points] + levels
    low, high = min(means), max(means)
    room = max(0.6 * (high - low), 0.02 * max(abs(low), abs(high)))
    margin = 0.05 * (high - low)
    lows = [p.low for p in points if p.low is not None]
    highs = [p.high for p in points if p.high is not None]
    return (
        max(min([low - margin, *lows]), low - room),
        min(max([high + margin, *highs]), high + room),
    )
