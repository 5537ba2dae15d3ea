"""Answers worked out anew from a question's text, sharing no code with the generators.

Facts (which word is an animal, what is the opposite of hot) come from the lexicon; reading the
lists, passages and stories is done here, by other means than the ones that wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flan_tasks.mini.lexicon import (
    CAPITAL_OF,
    CATEGORIES,
    KIND_OF,
    OPPOSITE_PAIRS,
    PRAISE,
)

from flan_t5x.data.definitions import Example

INDEX = {"first": 0, "second": 1, "third": 2, "last": -1}


def words(example: Example) -> list[str]:
    return re.findall(r"\w+", example.fields["list"])


def belongs(word: str, category: str) -> bool:
    return word in CATEGORIES[category].members


def opposite(word: str) -> str:
    (pair,) = [p for p in OPPOSITE_PAIRS if word in p]
    return pair[1 - pair.index(word)]


def any_(e: Example, category: str) -> str:
    return "yes" if any(belongs(w, category) for w in words(e)) else "no"


def find(e: Example, category: str) -> str:
    (only,) = [w for w in e.options if belongs(w, category)]
    return only


def end(position: str) -> Callable[[Example, str], str]:
    return lambda e, category: [w for w in words(e) if belongs(w, category)][INDEX[position]]


def all_(e: Example, category: str) -> str:
    return ", ".join(w for w in words(e) if belongs(w, category))


def remove(e: Example, category: str) -> str:
    return ", ".join(w for w in words(e) if not belongs(w, category))


def count(e: Example, category: str) -> str:
    return str(sum(belongs(w, category) for w in words(e)))


def copy(e: Example, position: str) -> str:
    return words(e)[INDEX[position]]


def opposite_at(e: Example, position: str) -> str:
    return opposite(copy(e, position))


def kind_at(e: Example, position: str) -> str:
    (kind,) = [c for c in CATEGORIES if belongs(copy(e, position), c)]
    return kind


def owners(e: Example) -> dict[str, str]:
    """Thing by person, read from the passage."""
    return dict(re.findall(r"(\w+) has an? (\w+)", e.fields["passage"]))


def who_has(e: Example, _: str) -> str:
    (name,) = [n for n, t in owners(e).items() if t == e.fields["thing"]]
    return name


def what_has(e: Example, _: str) -> str:
    return owners(e)[e.fields["name"]]


def is_true(e: Example, _: str) -> str:
    said = f" {e.fields['passage']}".find(f" {e.fields['statement']}.") >= 0
    return "yes" if said else "no"


def color_of(e: Example, _: str) -> str:
    return dict(re.findall(r"The (\w+) is (\w+)", e.fields["passage"]))[e.fields["thing"]]


def sentiment(e: Example, _: str) -> str:
    return "good" if set(re.findall(r"\w+", e.fields["review"])) & set(PRAISE) else "bad"


def kind_of(e: Example, _: str) -> str:
    (kind,) = [k for k in e.options if belongs(e.fields["word"], k)]
    return kind


def same_kind(e: Example, _: str) -> str:
    return "yes" if KIND_OF[e.fields["one"]] == KIND_OF[e.fields["two"]] else "no"


def odd_one_out(e: Example, _: str) -> str:
    kinds = [KIND_OF[w] for w in e.options]
    (odd,) = [w for w, k in zip(e.options, kinds, strict=True) if kinds.count(k) == 1]
    return odd


def capital(e: Example, _: str) -> str:
    return CAPITAL_OF[e.fields["word"]]


def country_of(e: Example, _: str) -> str:
    (country,) = [c for c, city in CAPITAL_OF.items() if city == e.fields["word"]]
    return country


def opposite_of(e: Example, _: str) -> str:
    (found,) = [o for o in e.options if o == opposite(e.fields["word"])]
    return found


def opposite_each(e: Example, _: str) -> str:
    return ", ".join(opposite(w) for w in words(e))


def reverse(e: Example, _: str) -> str:
    return ", ".join(words(e)[::-1])


def count_words(e: Example, _: str) -> str:
    return str(len(words(e)))


def numbers(e: Example) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", e.fields["story"])]


def add(e: Example, _: str) -> str:
    return str(sum(numbers(e)))


def take(e: Example, _: str) -> str:
    had, less = numbers(e)
    return str(had - less)


def compare(e: Example, direction: str) -> str:
    held = {n: int(k) for n, k in re.findall(r"(\w+) has (\d+)", e.fields["story"])}
    return sorted(held, key=held.__getitem__)[-1 if direction == "more" else 0]


BY_CELL: dict[tuple[str, bool], Callable[[Example, str], str]] = {
    # (operation, whether it is crossed with a position)
    ("any", False): any_,
    ("find", False): find,
    ("first", False): end("first"),
    ("last", False): end("last"),
    ("all", False): all_,
    ("remove", False): remove,
    ("count", False): count,
    ("copy", True): copy,
    ("opposite", True): opposite_at,
    ("kind", True): kind_at,
    ("sentiment", False): sentiment,
    ("kind_of", False): kind_of,
    ("same_kind", False): same_kind,
    ("odd_one_out", False): odd_one_out,
    ("who_has", False): who_has,
    ("what_has", False): what_has,
    ("is_true", False): is_true,
    ("color_of", False): color_of,
    ("capital", False): capital,
    ("country_of", False): country_of,
    ("opposite", False): opposite_of,
    ("opposite_each", False): opposite_each,
    ("reverse", False): reverse,
    ("count_words", False): count_words,
    ("add", False): add,
    ("take", False): take,
    ("together", False): add,
    ("compare", False): compare,
}


def solve(operation: str, category: str, example: Example) -> str:
    """The answer to a question of the cell (operation, category or position)."""
    return BY_CELL[operation, category in INDEX](example, category)
