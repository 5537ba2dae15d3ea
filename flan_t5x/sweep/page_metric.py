"""The part of the page about one figure."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from flan_t5x.pages.elements import details, node, section
from flan_t5x.sweep.outcome import Blend, Categories, Outcome
from flan_t5x.sweep.page_curves import curves
from flan_t5x.sweep.page_tables import comparison_table
from flan_t5x.sweep.parallel_coordinates import parallel_coordinates
from flan_t5x.sweep.statistics import Comparison
from flan_t5x.sweep.table import Axis
from flan_t5x.sweep.ternary import ternary
from flan_t5x.sweep.words import anchors, best_text, blend_text, counted, rivals_text

_OPENED = 3  # analyses of one axis that are not folded
_RANKED = 100  # combinations that the ranking lists


def metric_section(found: Outcome, axes: Sequence[Axis], *, anchor: str) -> Element:
    """Best choices, curves, mixtures and names.

    Args:
        found: what is known of the figure.
        axes: of the sweep.
        anchor: of the section.
    """
    parts: list[Element | None] = [
        node("p", f"{best_text(found)} {rivals_text(found)}", class_="outcome")
    ]
    said = anchors(found)
    parts.append(node("p", said, class_="soft") if said else None)
    parts.append(_ranking(found) if axes else None)
    for axis in axes:
        laws = [law for law in found.laws if law.axis == axis]
        blends = [blend for blend in found.blends if blend.axis == axis]
        categories = [part for part in found.categories if part.axis == axis]
        inner = curves(found, laws) if laws else []
        inner += _folded([_blend(found, blend) for blend in blends])
        inner += _folded([_categories(found, part) for part in categories])
        if inner:
            parts += [node("h3", axis.name), *inner]
    return section(found.metric, anchor, *parts)


def _ranking(found: Outcome) -> Element | None:
    if not isinstance(found.ranking, Comparison):
        return None
    count = len(found.ranking.means)
    first = f", the best {_RANKED}" if count > _RANKED else ""
    shown = comparison_table(
        found.ranking,
        head="choices",
        label=f"{found.metric}: all combinations of choices",
        higher=found.higher,
        tick=found.baseline,
        most=_RANKED,
    )
    return details(f"{counted(count, 'combination')} of choices, ranked{first}", shown)


def _folded(parts: Sequence[Element]) -> list[Element]:
    """The first ones, and the others where they are wanted."""
    more = len(parts) - _OPENED
    folded = [details(f"{more} more, one by one", *parts[_OPENED:])] if more > 0 else []
    return [*parts[:_OPENED], *folded]


def _blend(found: Outcome, blend: Blend) -> Element:
    draw = ternary if len(blend.axis.parts) == 3 else parallel_coordinates
    shares = {
        name: [f"{100 * share:.1f} %" for share in rates] for name, rates in blend.rates.items()
    }
    figures = comparison_table(
        blend.comparison,
        head=blend.axis.name,
        label=f"{found.metric}: mixtures{_where(blend.group)}",
        higher=found.higher,
        tick=found.baseline,
        more=shares,
        more_head=blend.axis.parts,
    )
    return node(
        "div",
        node("h4", blend.group) if blend.group else None,
        node("ul", *(node("li", said) for said in blend_text(found.metric, blend))),
        draw(blend, metric=found.metric, higher=found.higher),
        details("The figures of the mixtures", figures),
    )


def _categories(found: Outcome, part: Categories) -> Element:
    shown = comparison_table(
        part.comparison,
        head=part.axis.name,
        label=f"{found.metric}: {part.axis.name}{_where(part.group)}",
        higher=found.higher,
        tick=found.baseline,
    )
    return node("div", node("h4", part.group) if part.group else None, shown)


def _where(group: str) -> str:
    return f", {group}" if group else ""
