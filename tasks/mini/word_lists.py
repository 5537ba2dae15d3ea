"""Generators over lists of words: the grids operation x category and operation x position.

`longer` is how many words more a list has than in training, all of them of other categories; it
changes no draw, so the rows of training (0) are what they always were.
"""

from __future__ import annotations

from itertools import combinations

from flan_t5x.data.draws import Draws

from .family import Draft
from .lexicon import (
    CATEGORIES,
    KIND_OF,
    NOUNS,
    OPPOSITE_OF,
    OPPOSITE_PAIRS,
    OTHERS,
    at_position,
)

YES_NO = ("yes", "no")


def mixed(draws: Draws, category: str, members: int, others: int) -> list[str]:
    """`members` words of the category and `others` of other categories, in random order."""
    words = draws.sample(CATEGORIES[category].members, members)
    words += draws.sample(OTHERS[category], others)
    return draws.shuffled(words)


def listed(draws: Draws, words: list[str]) -> dict[str, str]:
    """The field ``list``: mostly with commas, sometimes only with spaces."""
    return {"list": (" " if draws.integer(4) == 0 else ", ").join(words)}


def members_of(words: list[str], category: str) -> list[str]:
    """The words that belong to the category, in order."""
    return [w for w in words if KIND_OF.get(w) == category]


def _between(draws: Draws, low: int, high: int) -> int:
    """A uniform integer in low..high, both included."""
    return low + draws.integer(high - low + 1)


def _parts(words: list[str], low: int, high: int) -> tuple[str, ...]:
    """Every way to keep low..high of the words in order."""
    return tuple(
        ", ".join(kept) for size in range(low, high + 1) for kept in combinations(words, size)
    )


def find(draws: Draws, *, category: str) -> Draft:
    """Which of the words (shown as options) belongs to the category; exactly one does."""
    words = mixed(draws, category, 1, _between(draws, 2, 4))
    answer = members_of(words, category)[0]
    return Draft(tuple(words), {}, answer, tuple(words), options=tuple(words))


def any_of(draws: Draws, *, category: str, longer: int = 0) -> Draft:
    """Whether the list holds a word of the category: yes or no."""
    size = _between(draws, 3, 5) + longer
    words = mixed(draws, category, hits := draws.integer(2), size - hits)
    answer = "yes" if members_of(words, category) else "no"
    return Draft(tuple(words), listed(draws, words), answer, YES_NO, options=YES_NO)


def end_of(draws: Draws, *, category: str, position: str, longer: int = 0) -> Draft:
    """The first or last word of the category."""
    words = mixed(draws, category, _between(draws, 2, 3), _between(draws, 1, 3) + longer)
    answer = at_position(members_of(words, category), position)
    return Draft(tuple(words), listed(draws, words), answer, tuple(words))


def all_of(draws: Draws, *, category: str, longer: int = 0) -> Draft:
    """Every word of the category, in the order of the list."""
    hits = _between(draws, 1, 3)
    words = mixed(draws, category, hits, _between(draws, max(1, 3 - hits), 3) + longer)
    answer = ", ".join(members_of(words, category))
    highest = min(3, len(words))
    return Draft(tuple(words), listed(draws, words), answer, _parts(words, 1, highest))


def remove(draws: Draws, *, category: str, longer: int = 0) -> Draft:
    """The list without the words of the category."""
    words = mixed(draws, category, _between(draws, 1, 2), _between(draws, 2, 3) + longer)
    answer = ", ".join(w for w in words if KIND_OF[w] != category)
    highest = min(3 + longer, len(words))
    return Draft(tuple(words), listed(draws, words), answer, _parts(words, 1, highest))


def count(draws: Draws, *, category: str, longer: int = 0) -> Draft:
    """How many words of the category there are, with a rationale that names them."""
    hits = draws.integer(5)
    words = mixed(draws, category, hits, _between(draws, max(1, 3 - hits), 3) + longer)
    found = members_of(words, category)
    kinds = CATEGORIES[category].kinds
    rationale = f"The {kinds} are {', '.join(found)}." if found else f"There are no {kinds}."
    valid = tuple(str(n) for n in range(len(words) + 1))
    fields = listed(draws, words)
    return Draft(tuple(words), fields, str(len(found)), valid, rationale=rationale)


def copy_at(draws: Draws, *, position: str) -> Draft:
    """The word at a position."""
    words = draws.sample(NOUNS, _between(draws, 4, 5))
    return Draft(tuple(words), listed(draws, words), at_position(words, position), tuple(words))


def opposite_at(draws: Draws, *, position: str) -> Draft:
    """The opposite of the word at a position: two steps, one question."""
    words = _adjectives(draws, _between(draws, 4, 5))
    valid = tuple(OPPOSITE_OF[w] for w in words)
    answer = OPPOSITE_OF[at_position(words, position)]
    return Draft(tuple(words), listed(draws, words), answer, valid)


def kind_at(draws: Draws, *, position: str) -> Draft:
    """The category of the word at a position: two steps, one question."""
    kinds = draws.sample(tuple(CATEGORIES), _between(draws, 4, 5))
    words = [draws.choice(CATEGORIES[k].members) for k in kinds]
    return Draft(tuple(words), listed(draws, words), at_position(kinds, position), tuple(kinds))


def opposite_each(draws: Draws) -> Draft:
    """The opposite of every word in a list of two or three."""
    words = _adjectives(draws, _between(draws, 2, 3))
    sides = [(w, OPPOSITE_OF[w]) for w in words]
    valid = [""]
    for pair in sides:
        valid = [f"{done}, {side}" if done else side for done in valid for side in pair]
    answer = ", ".join(OPPOSITE_OF[w] for w in words)
    return Draft(tuple(words), listed(draws, words), answer, tuple(valid))


def reverse(draws: Draws) -> Draft:
    """The list of three words, backwards."""
    words = draws.sample(NOUNS, 3)
    orders = [(a, b, c) for a in words for b in words for c in words if len({a, b, c}) == 3]
    answer = ", ".join(reversed(words))
    valid = tuple(", ".join(order) for order in orders)
    return Draft(tuple(words), listed(draws, words), answer, valid)


def count_words(draws: Draws, *, longer: int = 0) -> Draft:
    """How many words the list has."""
    words = draws.sample(NOUNS, _between(draws, 2, 6) + longer)
    valid = tuple(str(n) for n in range(2 + longer, 7 + longer))
    return Draft(tuple(words), listed(draws, words), str(len(words)), valid)


def _adjectives(draws: Draws, size: int) -> list[str]:
    """Adjectives of which no two are opposites."""
    return [draws.choice(pair) for pair in draws.sample(OPPOSITE_PAIRS, size)]
