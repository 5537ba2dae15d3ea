"""Trained families turned round, as Flan 2022 does: from the answer to the list or text it is of.

Many lists have three animals, so the target is one right answer of many; it is scored by overlap
of words. A question and the same one turned round stand in the same split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache, partial

from flan_t5x.data.draws import Draws

from .catalog import families
from .family import Draft, Family, Generator, templates, wordings
from .lexicon import CATEGORIES

INVERTED = "mini_inverted"

INVERTED_FAMILIES: tuple[str, ...] = (
    "any_animals", "any_tools", "first_animal", "first_tool", "last_animal", "last_color",
    "all_colors", "all_tools", "count_animals", "count_colors", "sentiment", "who_has",
    "color_of", "add", "take", "together", "who_has_more", "who_has_fewer",
)  # fmt: skip
"""Those over a list or text that can be written; choices among shown options cannot."""

_CONTENT: Mapping[str, str] = {"sentiment": "review", "who_has": "passage", "color_of": "passage"}
_STORIES = ("add", "take", "together", "compare")


def content_field(operation: str) -> str:
    """The field of the question that is to be written."""
    return "story" if operation in _STORIES else _CONTENT.get(operation, "list")


@cache
def inverted() -> dict[str, Family]:
    """Every family turned round, by name."""
    found = map(_inverted, (families()[name] for name in INVERTED_FAMILIES))
    return {family.name: family for family in found}


def _inverted(family: Family) -> Family:
    operation, category = family.operation, family.category
    words = CATEGORIES.get(category)
    slots = {"kind": words.kind, "kinds": words.kinds, "a_kind": words.a_kind} if words else {}
    section = "end" if operation in ("first", "last") else operation
    said = wordings("inverted.txt", section, position=operation, direction=category, **slots)
    content = content_field(operation)
    return dataclasses.replace(
        family,
        name=f"{family.name}_inv",
        submixture=INVERTED,
        generator=partial(turned_round, forward=family.generator, content=content, said=said),
        templates=templates("inverted.txt", "list" if content == "list" else "text"),
        few_shot=(),
        definitions=(),
        formats=("zs",),
        option_styles=(),
    )


def turned_round(draws: Draws, *, forward: Generator, content: str, said: tuple[str, ...]) -> Draft:
    """A question whose answer is the content of another one.

    Args:
        draws: where both come from.
        forward: makes the other one.
        content: its field that becomes the answer.
        said: patterns of what is told of it, with its fields and ``{given}``, its answer.
    """
    draft = forward(draws)
    wanted = draws.choice(said).format(given=draft.answer, **draft.fields)
    return Draft(draft.content, {"wanted": wanted}, draft.fields[content], ())
