"""Bars: a share with its interval, and a whole with its parts. The figures stand beside them."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import COLOURS, node


def interval_bar(
    value: float,
    *,
    low: float | None = None,
    high: float | None = None,
    tick: float | None = None,
    colour: int = 0,
) -> Element:
    """A bar from 0 to 1.

    Args:
        value: a share; what is outside of [0, 1] is drawn at the edge.
        low: where its interval begins; None for none.
        high: where it ends.
        tick: another share to compare with, e.g. the baseline.
        colour: number of what it belongs to.
    """
    whisker = None
    if low is not None and high is not None:
        place = f"left:{_percent(low)}%;width:{_percent(_inside(high) - _inside(low))}%"
        whisker = node("span", class_="whisker", style=place)
    return node(
        "div",
        node("span", class_=f"fill s{colour % COLOURS}", style=f"width:{_percent(value)}%"),
        whisker,
        None if tick is None else node("span", class_="tick", style=f"left:{_percent(tick)}%"),
        class_="track",
        aria_hidden="true",
    )


def parted_bar(parts: Sequence[tuple[str, float]], *, label: str) -> Element:
    """A bar of parts, with their names and shares below.

    Args:
        parts: name and size of each; sizes of 0 are left out.
        label: what the whole is.
    """
    total = sum(size for _, size in parts) or 1.0
    shown = [(name, size, i) for i, (name, size) in enumerate(parts) if size > 0]
    pieces = (
        node("span", class_="fill", style=f"{_hue(i)};flex-grow:{size / total:.5f}")
        for _, size, i in shown
    )
    names = (
        node(
            "li",
            node("span", class_="dot", style=_hue(i), aria_hidden="true"),
            f"{name} {size / total:.1%}",
        )
        for name, size, i in shown
    )
    return node(
        "div",
        node("div", *pieces, class_="parted", aria_hidden="true"),
        node("ul", *names, class_="legend", aria_label=label),
    )


def _hue(part: int) -> str:
    """Colours of parts are softer than those of runs, and as many as there are parts."""
    return f"--own:hsl({(215 + 137.5 * part) % 360:.0f} 38% var(--tone))"


def _inside(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _percent(share: float) -> str:
    return f"{100 * _inside(share):.2f}"
