"""HTML and SVG elements. Text is only ever text: what becomes markup is escaped in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element, tostring

Child = Element | str | None
Attribute = str | float | bool | None


def node(tag: str, *children: Child, **attributes: Attribute) -> Element:
    """An element.

    Args:
        tag: its name.
        children: elements and plain texts, in order; None is left out.
        attributes: ``class_`` is "class", ``aria_label`` is "aria-label"; None and False are left
            out, True stands alone.

    Example:
        >>> markup(node("p", "1 < 2 ", node("b", "&"), class_="soft"))
        '<p class="soft">1 &lt; 2 <b>&amp;</b></p>'
    """
    element = Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            element.set(name.rstrip("_").replace("_", "-"), _attribute(value))
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif child is not None and last is None:
            element.text = (element.text or "") + child
        elif child is not None and last is not None:
            last.tail = (last.tail or "") + child
    return element


def markup(*elements: Element) -> str:
    """The elements as HTML. A lone surrogate, which no file can hold, is written as its escape."""
    return "".join(tostring(e, encoding="unicode", method="html") for e in elements)


def details(summary: str, *children: Child, opened: bool = False) -> Element:
    """What is closed until somebody wants it."""
    return node("details", node("summary", summary), *children, open=opened)


def section(title: str, anchor: str, *children: Child) -> Element:
    """A part of a page under a heading, with an anchor to go to."""
    return node("section", node("h2", title), *children, id=anchor)


def breakable(name: Child) -> list[Child]:
    """A name that may go on in the next line after each underscore or slash."""
    if not isinstance(name, str):
        return [name]
    pieces: list[Child] = []
    for piece in re.split(r"(?<=[_/])", name):
        pieces += [piece, node("wbr")]
    return pieces[:-1]


def dot(series: int) -> Element:
    """The colour of the n-th run, for the eye only: its name always stands beside it."""
    return node("span", class_=f"dot s{series % COLOURS}", aria_hidden="true")


COLOURS = 8
"""Series that have a colour of their own; the ninth has the first one's again."""


def table(
    head: Iterable[Child],
    rows: Iterable[Iterable[Child]],
    *,
    label: str,
    numbers_from: int = 1,
) -> Element:
    """A table that scrolls by itself where the screen is narrower, by touch or by keys.

    Args:
        head: of the columns.
        rows: cells; the first of each names the row.
        label: what the table shows, for those who do not see it.
        numbers_from: columns from this one on hold numbers, which are set to the right.
    """

    def kind(place: int) -> str | None:
        return "number" if place >= numbers_from else None

    top = node("tr", *(node("th", c, scope="col", class_=kind(i)) for i, c in enumerate(head)))
    body = (
        node(
            "tr",
            node("th", *breakable(name), scope="row"),
            *(node("td", cell, class_=kind(i)) for i, cell in enumerate(cells, start=1)),
        )
        for name, *cells in rows
    )
    whole = node("table", node("thead", top), node("tbody", *body))
    return node("div", whole, class_="scroll", tabindex="0", role="region", aria_label=label)


def _attribute(value: str | float | bool) -> str:
    if value is True:
        return ""
    return value if isinstance(value, str) else f"{value:.6g}"
