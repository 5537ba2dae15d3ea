"""Curves: a drawing that fits any width, with its labels as text and its figures as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import COLOURS, details, dot, node, table

MOST_POINTS = 600
"""More are thinned to the least and the greatest of each stretch, so that no spike is lost."""
MOST_ROWS = 60

_HEIGHT = 1_000.0  # of the drawing's own coordinates, in both directions


class Point(NamedTuple):
    """A place on a chart."""

    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: in the legend.
        points: by growing x; a NaN breaks the line.
        colour: number of what it belongs to, e.g. of the run.
        dashed: drawn so, where it is something to compare with.
        marked: a point to point out, and what is said about it.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0
    dashed: bool = False
    marked: tuple[Point, str] | None = None


def line_chart(
    title: str, curves: Sequence[Curve], *, x_name: str, bounds: tuple[float, float] | None = None
) -> Element:
    """A figure: legend, drawing, and the figures as a table that can be opened.

    Args:
        title: what is drawn.
        curves: some of them may be empty.
        x_name: what grows to the right.
        bounds: least and greatest y; None for those of the points.
    """
    drawn = [c for c in curves if any(math.isfinite(p.y) for p in c.points)]
    if not drawn:
        return node("figure", node("figcaption", title), node("p", "No figures.", class_="soft"))
    finite = [p for c in drawn for p in c.points if math.isfinite(p.y)]
    finite += [c.marked[0] for c in drawn if c.marked]
    frame = _Frame.around(finite, bounds)
    legend = node("ul", *(_legend(curve) for curve in drawn), class_="legend")
    rows = _rows(drawn)
    shown = table([x_name, *(c.name for c in drawn)], rows, label=f"{title}: figures")
    every = len({p.x for c in drawn for p in c.points})
    some = "" if len(rows) == every else f", {len(rows)} of {every:,} steps"
    return node(
        "figure",
        node("figcaption", title),
        legend,
        _plot(title, drawn, frame, x_name),
        node("p", class_="reading", aria_live="polite"),
        details(f"The figures{some}", shown),
        class_="chart",
    )


def _readable(curves: Sequence[Curve], frame: _Frame) -> str:
    """The drawn points of each curve as JSON, for the reading that follows pointer and keys."""
    found: list[dict[str, Any]] = [
        {
            "name": curve.name,
            "points": [
                [p.x, float(f"{p.y:.4g}"), round(frame.x(p.x), 4)]
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


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) between two, about so many."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * m for m in (1, 2, 5, 10, 20) if span / (power * m) <= about)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first
    return [(first + i) * step for i in range(count + 1)]


def short(value: float) -> str:
    """A number in few letters: 0.25, 12, 3.4k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


@dataclass(frozen=True)
class _Frame:
    """What part of the plane is drawn."""

    left: float
    right: float
    low: float
    high: float

    @classmethod
    def around(cls, points: Sequence[Point], bounds: tuple[float, float] | None) -> _Frame:
        xs, ys = [p.x for p in points], [p.y for p in points]
        low, high = bounds or (min(ys), max(ys))
        if high - low <= 0:
            low, high = low - 0.5, high + 0.5
        right = max(xs) if max(xs) > min(xs) else min(xs) + 1
        return cls(min(xs), right, low, high)

    def x(self, value: float) -> float:
        """Share of the width, from the left."""
        return (value - self.left) / (self.right - self.left)

    def y(self, value: float) -> float:
        """Share of the height, from the top; what is outside is drawn at the edge."""
        return min(max((self.high - value) / (self.high - self.low), 0.0), 1.0)


def _plot(title: str, curves: Sequence[Curve], frame: _Frame, x_name: str) -> Element:
    levels, steps = ticks(frame.low, frame.high), ticks(frame.left, frame.right)
    if all(float(p.x).is_integer() for curve in curves for p in curve.points):
        steps = [step for step in steps if abs(step - round(step)) < 1e-9]
    lines = [
        node("line", class_="grid", x1=0, x2=_HEIGHT, y1=_HEIGHT * y, y2=_HEIGHT * y)
        for y in map(frame.y, levels)
    ]
    drawing = node(
        "svg",
        *lines,
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
        node("span", x_name, class_="x-name"),
        class_="plot",
        tabindex="0",
        role="group",
        aria_label=f"{title}; the arrow keys read its figures",
        data_curves=_readable(curves, frame),
        data_x=x_name,
    )


def _paths(curve: Curve, frame: _Frame) -> Iterable[Element]:
    """The line in as many pieces as NaN breaks it into; a lone point is a short dash."""
    style = f"line s{curve.colour % COLOURS}" + (" dashed" if curve.dashed else "")
    piece: list[Point] = []
    for point in [*thinned(curve.points), Point(math.nan, math.nan)]:
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


def _mark(curve: Curve, frame: _Frame) -> Element | None:
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
    by_x = [{p.x: p.y for p in c.points} for c in curves]
    xs = sorted({x for found in by_x for x in found})
    marked = {c.marked[0].x for c in curves if c.marked}
    every = max(math.ceil(len(xs) / MOST_ROWS), 1)
    kept = [x for i, x in enumerate(xs) if (len(xs) - 1 - i) % every == 0 or x in marked]
    return [[f"{x:,g}", *(_cell(found.get(x)) for found in by_x)] for x in kept]


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if math.isfinite(value) else "not finite"
