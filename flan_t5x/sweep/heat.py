"""How good a point is, shown: by colour, by size, and by being filled or not."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import node
from flan_t5x.sweep.statistics import Comparison
from flan_t5x.sweep.words import figure


def heat(comparison: Comparison, name: str, *, higher: bool) -> float:
    """How good a choice is: 0 for the worst mean of all, 1 for the best."""
    means = [found.mean for found in comparison.means.values()]
    low, high = min(means), max(means)
    if high <= low:
        return 1.0
    share = (comparison.means[name].mean - low) / (high - low)
    return share if higher else 1.0 - share


def told_apart(comparison: Comparison, name: str) -> bool:
    """Whether a choice is worse than the best one by more than chance."""
    return name != comparison.best and comparison.differences[name].told_apart


def heat_style(share: float) -> str:
    """The style attribute that the page's class "heat" makes a colour of."""
    return f"--share:{100 * share:.0f}"


def heat_legend(
    comparison: Comparison, *, metric: str, higher: bool, signs: Sequence[tuple[str, str]]
) -> Element:
    """From which figure to which the colours go, and what the signs mean.

    Args:
        comparison: whose means are shown.
        metric: their name.
        higher: whether the greatest is the best.
        signs: each as it looks, and what it says.
    """
    means = [found.mean for found in comparison.means.values()]
    worst, best = (min(means), max(means)) if higher else (max(means), min(means))
    scale = node(
        "li",
        f"{metric}: worst {figure(worst)} ",
        node("span", class_="scale", aria_hidden="true"),
        f" best {figure(best)}",
    )
    said = (node("li", node("span", sign, aria_hidden="true"), f" {what}") for sign, what in signs)
    return node("ul", scale, *said, class_="legend")
