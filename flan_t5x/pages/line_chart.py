"""Curves: a drawing that fits any width, with its labels as text and its figures as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import COLOURS, details, dot, node, table
from flan_t5x.pages.frame import Frame, Scale, short, ticks

MOST_POINTS = 600
"""More are thinned to the least and the greatest of each stretch, so that no spike is lost."""
MOST_ROWS = 60
_BANDS = 2  # curves with intervals; the bands of more would cover each other

_HEIGHT = 1_000.0  # of the drawing's own coordinates, in both directions


class Point(NamedTuple):
    """A place on a chart, with the interval of its y where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: in the legend.
        points: by growing x; a NaN breaks the line.
        colour: number of what it belongs to, e.g. of the run.
        dashed: drawn so, where it is something to compare with.
        marked: a point to point out, and what is said about it.
        sign: a letter that stands at each point and in the legend, so that curves are told apart
            without their colours; "" for a line alone.
        joined: whether a line joins the points; where not, each has its sign alone.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0
    dashed: bool = False
    marked: tuple[Point, str] | None = None
    sign: str = ""
    joined: bool = True


def line_chart(
    title: str,
    curves: Sequence[Curve],
    *,
    x_name: str,
    bounds: tuple[float, float] | None = None,
    scale: Scale = "linear",
) -> Element:
    """A figure: legend, drawing, and the figures as a table that can be opened.

    Args:
        title: what is drawn.
        curves: some of them may be empty.
        x_name: what grows to the right.
        bounds: least and greatest y; None for those of the points and their intervals.
        scale: of x.

    Raises:
        ValueError: an x that a logarithmic scale does not have.
    """
    drawn = [c for c in curves if any(math.isfinite(p.y) for p in c.points)]
    if not drawn:
        return node("figure", node("figcaption", title), node("p", "No figures.", class_="soft"))
    finite = [p for c in drawn for p in c.points if math.isfinite(p.y)]
    finite += [c.marked[0] for c in drawn if c.marked]
    ys = [y for p in finite for y in (p.y, p.low, p.high) if y is not None]
    frame = Frame.around([p.x for p in finite], ys, bounds=bounds, scale=scale)
    legend = node("ul", *(_legend(curve) for curve in drawn), class_="legend")
    rows = _rows(drawn)
    shown = table([x_name, *(c.name for c in drawn)], rows, label=f"{title}: figures")
    every = len({p.x for c in drawn for p in c.points})
    some = "" if len(rows) == every else f", {len(rows)} of {every:,} {x_name}s"
    return node(
        "figure",
        node("figcaption", title),
        legend,
        _plot(title, drawn, frame, x_name),
        node("p", class_="reading", aria_live="polite"),
        details(f"The figures{some}", shown),
        class_="chart",
    )


def _readable(curves: Sequence[Curve], frame: Frame) -> str:
    """The drawn points of each curve as JSON, for the reading that follows pointer and keys."""
    found: list[dict[str, Any]] = [
        {
            "name": curve.name,
            "points": [
                [p.x, _rounded(p.y), round(frame.x(p.x), 4), *map(_rounded, _interval(p))]
                for p in thinned(curve.points)
                if math.isfinite(p.y)
            ],
        }
        for curve in curves
    ]
    return json.dumps(found, separators=(",", ":"))


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points: of each stretch the lowest and the highest, in their order."""
    if len(points) <= most:
        return list(points)
    stretches = most // 2
    kept: list[Point] = []
    for i in range(stretches):
        part = points[i * len(points) // stretches : (i + 1) * len(points) // stretches]
        ends = {min(part, key=lambda p: p.y), max(part, key=lambda p: p.y)}
        kept += sorted(ends, key=lambda p: p.x)
    return kept


def _plot(title: str, curves: Sequence[Curve], frame: Frame, x_name: str) -> Element:
    levels = ticks(frame.low, frame.high)
    bands = sum(any(map(_interval, curve.points)) for curve in curves) <= _BANDS
    steps = frame.x_ticks(sorted({p.x for curve in curves for p in curve.points}))
    lines = [
        node("line", class_="grid", x1=0, x2=_HEIGHT, y1=_HEIGHT * y, y2=_HEIGHT * y)
        for y in map(frame.y, levels)
    ]
    drawing = node(
        "svg",
        *lines,
        *(shape for curve in curves for shape in _intervals(curve, frame, bands=bands)),
        *(path for curve in curves for path in _paths(curve, frame)),
        viewBox=f"0 0 {_HEIGHT:g} {_HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=_summary(title, curves, x_name),
    )
    return node(
        "div",
        drawing,
        *(
            node("span", short(level), class_="level", style=f"top:{100 * frame.y(level):.2f}%")
            for level in levels
        ),
        *(
            node("span", short(step), class_="step", style=f"left:{100 * frame.x(step):.2f}%")
            for step in steps
        ),
        *(_mark(curve, frame) for curve in curves),
        *(sign for curve in curves for sign in _signs(curve, frame)),
        node("span", x_name, class_="x-name"),
        class_="plot",
        tabindex="0",
        role="group",
        aria_label=f"{title}; the arrow keys read its figures",
        data_curves=_readable(curves, frame),
        data_x=x_name,
    )


def _paths(curve: Curve, frame: Frame) -> Iterable[Element]:
    """The line in as many pieces as NaN breaks it into; a lone point is a short dash."""
    style = f"line s{curve.colour % COLOURS}" + (" dashed" if curve.dashed else "")
    piece: list[Point] = []
    for point in [*thinned(curve.points), Point(math.nan, math.nan)] if curve.joined else ():
        if math.isfinite(point.y):
            piece.append(point)
            continue
        places = [(_HEIGHT * frame.x(p.x), _HEIGHT * frame.y(p.y)) for p in piece]
        if len(places) == 1:
            (x, y), *_ = places
            places = [(max(x - 5, 0), y), (min(x + 5, _HEIGHT), y)]
        if places:
            text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            yield node("polyline", points=text, class_=style)
        piece = []


def _intervals(curve: Curve, frame: Frame, *, bands: bool) -> Iterable[Element]:
    """A bar at each point that has an interval, and a band between neighbours that both have."""
    colour = f"s{curve.colour % COLOURS}"
    last: list[tuple[float, float]] = []
    for point in thinned(curve.points):
        x = _HEIGHT * frame.x(point.x)
        ends = [(x, _HEIGHT * frame.y(y)) for y in _interval(point)]
        if ends and last and curve.joined and bands:
            text = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*last, *reversed(ends)))
            yield node("polygon", points=text, class_=f"band {colour}")
        if ends:
            (_, low), (_, high) = ends
            yield node("line", class_=f"spread {colour}", x1=x, x2=x, y1=low, y2=high)
        last = ends


def _interval(point: Point) -> tuple[float, ...]:
    """Its two ends, or nothing."""
    if point.low is None or point.high is None:
        return ()
    return point.low, point.high


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _signs(curve: Curve, frame: Frame) -> Iterable[Element]:
    for point in thinned(curve.points) if curve.sign else ():
        if math.isfinite(point.y):
            place = f"left:{100 * frame.x(point.x):.2f}%;top:{100 * frame.y(point.y):.2f}%"
            kind = f"sign s{curve.colour % COLOURS}"
            yield node("span", curve.sign, class_=kind, style=place, aria_hidden="true")


def _mark(curve: Curve, frame: Frame) -> Element | None:
    if curve.marked is None:
        return None
    point, text = curve.marked
    place = f"left:{100 * frame.x(point.x):.2f}%;top:{100 * frame.y(point.y):.2f}%"
    return node("span", class_=f"mark s{curve.colour % COLOURS}", style=place, title=text)


def _legend(curve: Curve) -> Element:
    swatch = dot(curve.colour)
    if curve.dashed:
        swatch.set("class", f"{swatch.get('class')} dashed")
    said = f": {curve.marked[1]}" if curve.marked else ""
    if curve.sign:
        kind = f"sign s{curve.colour % COLOURS}"
        swatch = node("span", curve.sign, class_=kind, aria_hidden="true")
    return node("li", swatch, curve.name + said)


def _summary(title: str, curves: Sequence[Curve], x_name: str) -> str:
    parts = []
    for curve in curves:
        points = [p for p in curve.points if math.isfinite(p.y)]
        first, last = points[0], points[-1]
        parts.append(
            f"{curve.name} from {short(first.y)} at {x_name} {short(first.x)} "
            f"to {short(last.y)} at {x_name} {short(last.x)}"
        )
    return f"{title}: {'; '.join(parts)}"


def _rows(curves: Sequence[Curve]) -> list[list[str]]:
    """A row for each x, at most `MOST_ROWS` of them, the last one and the marked ones included."""
    by_x = [{p.x: p for p in c.points} for c in curves]
    xs = sorted({x for found in by_x for x in found})
    marked = {c.marked[0].x for c in curves if c.marked}
    every = max(math.ceil(len(xs) / MOST_ROWS), 1)
    kept = [x for i, x in enumerate(xs) if (len(xs) - 1 - i) % every == 0 or x in marked]
    return [[f"{x:,g}", *(_cell(found.get(x)) for found in by_x)] for x in kept]


def _cell(point: Point | None) -> str:
    if point is None:
        return ""
    if not math.isfinite(point.y):
        return "not finite"
    ends = _interval(point)
    return f"{point.y:.4g}" + (f" [{ends[0]:.4g}, {ends[1]:.4g}]" if ends else "")
