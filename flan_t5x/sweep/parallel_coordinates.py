"""Mixtures of any number of parts as lines over one upright scale for each part."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import node
from flan_t5x.pages.frame import Frame, ticks
from flan_t5x.sweep.heat import heat, heat_legend, heat_style, told_apart
from flan_t5x.sweep.outcome import Blend
from flan_t5x.sweep.words import mean_text, mixture_text

_SIZE = 1_000.0  # of the drawing's own coordinates, in both directions


def parallel_coordinates(blend: Blend, *, metric: str, higher: bool) -> Element:
    """A figure: legend, drawing, and the names of the numbered parts.

    Args:
        blend: of any number of parts.
        metric: name of the figure.
        higher: whether the greatest is the best.
    """
    parts, comparison = blend.axis.parts, blend.comparison
    names = sorted(comparison.means, key=lambda name: heat(comparison, name, higher=higher))
    most = max(share for rates in blend.rates.values() for share in rates)
    frame = Frame.around([0.0, max(len(parts) - 1.0, 1.0)], [0.0, most])
    levels = ticks(0.0, most, 4)
    signs = [("━━", "best"), ("──", "not told apart from it"), ("╌╌", "worse")]
    drawing = node(
        "svg",
        *(
            node("line", class_="grid", x1=x, x2=x, y1=0, y2=_SIZE)
            for x in (_SIZE * frame.x(float(i)) for i in range(len(parts)))
        ),
        *(_line(blend, name, frame, higher=higher) for name in names),
        viewBox=f"0 0 {_SIZE:g} {_SIZE:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{metric} over mixtures of {', '.join(parts)}; best: "
        f"{mixture_text(parts, blend.rates[comparison.best])}, "
        f"{mean_text(comparison.means[comparison.best])}",
    )
    feet = (
        node("span", f"{i + 1}", class_="step", style=f"left:{100 * frame.x(float(i)):.2f}%")
        for i in range(len(parts))
    )
    heights = (
        node("span", f"{100 * y:.3g} %", class_="level", style=f"top:{100 * frame.y(y):.2f}%")
        for y in levels
    )
    return node(
        "figure",
        node("figcaption", f"{metric} over mixtures of {len(parts)} parts"),
        heat_legend(comparison, metric=metric, higher=higher, signs=signs),
        node("div", drawing, *heights, *feet, class_="upright"),
        node("ol", *(node("li", part) for part in parts), class_="parts"),
    )


def _line(blend: Blend, name: str, frame: Frame, *, higher: bool) -> Element:
    rates, comparison = blend.rates[name], blend.comparison
    share = heat(comparison, name, higher=higher)
    kind = "line heat worse" if told_apart(comparison, name) else "line heat"
    kind += " best" if name == comparison.best else ""
    places = ((_SIZE * frame.x(float(i)), _SIZE * frame.y(y)) for i, y in enumerate(rates))
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    said = f"{mixture_text(blend.axis.parts, rates)}: {mean_text(comparison.means[name])}"
    return node("polyline", node("title", said), points=text, class_=kind, style=heat_style(share))
