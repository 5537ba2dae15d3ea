"""Figures and names as the page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import dot, node
from flan_t5x.report.scores import Figure

_NAMED = 3  # parts that an undefined figure lists


def share(value: float | None) -> str:
    """A share with three decimals; "undefined" where there is none."""
    return "undefined" if value is None else f"{value:.3f}"


def figure_text(figure: Figure) -> str:
    """A share with its interval."""
    if figure.low is None or figure.high is None:
        return share(figure.value)
    return f"{share(figure.value)} [{figure.low:.3f}, {figure.high:.3f}]"


def counted(number: int, what: str) -> str:
    """A number of things, e.g. "1 task" or "1,200 tasks"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def lacks(missing: Iterable[str]) -> str:
    """What an undefined figure needs, in short."""
    names = list(missing)
    more = f" and {len(names) - _NAMED} more" if names[_NAMED:] else ""
    return f"undefined without {', '.join(names[:_NAMED])}{more}"


def with_dot(name: str, series: int) -> Element:
    """A name with the colour that belongs to it."""
    return node("span", dot(series), name)
