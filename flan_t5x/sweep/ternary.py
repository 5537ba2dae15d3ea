"""Mixtures of three parts as points of a triangle, each corner being one part alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import node
from flan_t5x.sweep.heat import heat, heat_legend, heat_style, told_apart
from flan_t5x.sweep.outcome import Blend
from flan_t5x.sweep.statistics import Undefined
from flan_t5x.sweep.words import figure, mean_text, mixture_text

_SIDE, _LEFT, _TOP = 280.0, 40.0, 50.0  # of the drawing's own coordinates
_HEIGHT = _SIDE * math.sqrt(3) / 2
_WIDTH, _WHOLE = 360.0, _TOP + _HEIGHT + 40.0
_LETTERS = 20  # of a part's name at its corner
_LABELLED = 12
"""Of more points only the best one's figure is written beside it."""


def place(shares: Sequence[float]) -> tuple[float, float]:
    """Where a mixture lies: the first part's corner is left, the second's right, the third's top.

    Example:
        >>> [round(v, 1) for v in place((0.5, 0.5, 0.0))]
        [180.0, 292.5]
    """
    _, right, top = shares
    return _LEFT + _SIDE * (right + top / 2), _TOP + _HEIGHT * (1 - top)


def ternary(blend: Blend, *, metric: str, higher: bool) -> Element:
    """A figure: legend and triangle. The figures stand in a table of their own.

    Args:
        blend: of three parts.
        metric: name of the figure.
        higher: whether the greatest is the best.
    """
    parts, comparison = blend.axis.parts, blend.comparison
    names = sorted(comparison.means, key=lambda name: heat(comparison, name, higher=higher))
    optimum = None if isinstance(blend.model, Undefined) else blend.model.optimum
    signs = [("◎", "best"), ("●", "not told apart from it"), ("○", "worse")]
    signs += [("✕", "the model's optimum")] if optimum else []
    drawing = node(
        "svg",
        *_grid(),
        *(_corner(part, number) for number, part in enumerate(parts)),
        *(_point(blend, name, higher=higher) for name in names),
        _cross(parts, optimum) if optimum else None,
        *(
            _label(blend, name)
            for name in names
            if len(names) <= _LABELLED or name == comparison.best
        ),
        viewBox=f"0 0 {_WIDTH:g} {_WHOLE:.0f}",
        role="img",
        aria_label=f"{metric} over mixtures of {', '.join(parts)}; best: "
        f"{mixture_text(parts, blend.rates[comparison.best])}, "
        f"{mean_text(comparison.means[comparison.best])}",
        class_="ternary",
    )
    return node(
        "figure",
        node("figcaption", f"{metric} over mixtures of {', '.join(parts)}"),
        heat_legend(comparison, metric=metric, higher=higher, signs=signs),
        drawing,
        node("p", "Corners are one part alone; lines lie 25 % apart.", class_="soft"),
    )


def _grid() -> Iterable[Element]:
    for part in range(3):
        for share in (0.0, 0.25, 0.5, 0.75):
            ends = []
            for other in (1, 2):
                shares = [0.0, 0.0, 0.0]
                shares[part], shares[(part + other) % 3] = share, 1 - share
                ends.append(place(shares))
            (x1, y1), (x2, y2) = ends
            kind = "grid" if share else "grid side"
            yield node("line", class_=kind, **_places(x1=x1, y1=y1, x2=x2, y2=y2))


def _corner(part: str, number: int) -> Element:
    x, y = place([float(number == i) for i in range(3)])
    anchor, left = (("start", 4.0), ("end", _WIDTH - 4), ("middle", x))[number]
    down = -34 if number == 2 else 30
    text = part if len(part) <= _LETTERS else part[: _LETTERS - 1] + "…"
    return node("text", text, text_anchor=anchor, **_places(x=left, y=y + down))


def _point(blend: Blend, name: str, *, higher: bool) -> Element:
    x, y = place(blend.rates[name])
    share = heat(blend.comparison, name, higher=higher)
    kind = "heat worse" if told_apart(blend.comparison, name) else "heat"
    said = f"{mixture_text(blend.axis.parts, blend.rates[name])}: "
    said += mean_text(blend.comparison.means[name])
    ring = None
    if name == blend.comparison.best:
        ring = node("circle", class_="ring", **_places(cx=x, cy=y, r=13))
    spot = node("circle", class_="spot", **_places(cx=x, cy=y, r=5 + 4 * share))
    return node("g", node("title", said), ring, spot, class_=kind, style=heat_style(share))


def _label(blend: Blend, name: str) -> Element:
    x, y = place(blend.rates[name])
    best = name == blend.comparison.best
    text = figure(blend.comparison.means[name].mean)
    kind = "best" if best else None
    down = -17 if best else -12
    return node("text", text, text_anchor="middle", class_=kind, **_places(x=x, y=y + down))


def _cross(parts: Sequence[str], optimum: Mapping[str, float]) -> Element:
    x, y = place([optimum[part] for part in parts])
    text = f"M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"
    title = node("title", f"the model's optimum: {mixture_text(parts, list(optimum.values()))}")
    return node("path", title, d=text, class_="cross")


def _places(**numbers: float) -> dict[str, str]:
    return {name: f"{value:.1f}" for name, value in numbers.items()}
