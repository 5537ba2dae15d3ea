"""Trained families under a shift of one kind each, for evaluation: longer lists, larger numbers,
other words. All else about them is as in training, so the score that is lost is the shift's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache, partial

from .catalog import BY_WORDING, families
from .family import Family, templates, wordings
from .lexicon import CATEGORIES

SHIFTED = "mini_shifted"
LONGER, LARGER, REWORDED = KINDS = ("longer", "larger", "reworded")
"""Families are called ``<kind>_<family>``."""

BY_LENGTH = "longer lists of a known operation"
BY_NUMBER = "larger numbers in a known operation"

# Words more than in training: the shortest list is longer than the longest one trained on (five
# words for any and remove, six for first, last, all and count_words, seven for count).
LONGER_BY: Mapping[str, int] = {
    "any": 3, "first": 4, "last": 4, "all": 4, "remove": 3, "count": 5, "count_words": 5,
}  # fmt: skip

# The first number is larger than any of training: sums end at 9 there, what is taken from too.
LARGER_BY: Mapping[str, int] = {"add": 6, "together": 6, "take": 7, "compare": 8}

OF_KIND: Mapping[str, tuple[str, ...]] = {
    LONGER: (
        "any_animals", "any_tools", "first_animal", "first_tool", "last_animal", "last_color",
        "all_colors", "all_tools", "remove_animals", "remove_tools", "count_animals",
        "count_colors", "count_words",
    ),
    LARGER: ("add", "together", "take", "who_has_more", "who_has_fewer"),
    REWORDED: (
        "any_animals", "first_animal", "count_animals", "odd_one_out", "is_true", "color_of",
        "capital", "opposite", "add", "reverse",
    ),
}  # fmt: skip
"""The trained families that are shifted; `mini_unshifted` holds the same ones as they are."""


@cache
def shifted() -> dict[str, Family]:
    """Every shifted family by name."""
    made = {LONGER: _longer, LARGER: _larger, REWORDED: _reworded}
    found = (made[kind](families()[name]) for kind, names in OF_KIND.items() for name in names)
    return {family.name: family for family in found}


def of_kind(kind: str) -> Iterator[tuple[Family, Family]]:
    """Pairs of a trained family and its shifted one."""
    for name in OF_KIND[kind]:
        yield families()[name], shifted()[f"{kind}_{name}"]


def _shifted(family: Family, kind: str, transfer: str) -> Family:
    """Zero-shot alone: exemplars would be shifted too, and show how it goes."""
    return dataclasses.replace(
        family,
        name=f"{kind}_{family.name}",
        submixture=SHIFTED,
        few_shot=(),
        formats=tuple(format for format in family.formats if format.startswith("zs")),
        transfer=transfer,
    )


def _longer(family: Family) -> Family:
    generator = partial(family.generator, longer=LONGER_BY[family.operation])
    return dataclasses.replace(_shifted(family, LONGER, BY_LENGTH), generator=generator)


def _larger(family: Family) -> Family:
    generator = partial(family.generator, larger=LARGER_BY[family.operation])
    return dataclasses.replace(_shifted(family, LARGER, BY_NUMBER), generator=generator)


def _reworded(family: Family) -> Family:
    found = _shifted(family, REWORDED, BY_WORDING)
    if family.definitions:
        said = wordings("shifted.txt", family.operation)
        return dataclasses.replace(found, definitions=said)
    words = CATEGORIES.get(family.category)
    slots = {"kind": words.kind, "kinds": words.kinds, "a_kind": words.a_kind} if words else {}
    return dataclasses.replace(found, templates=templates("shifted.txt", family.operation, **slots))
