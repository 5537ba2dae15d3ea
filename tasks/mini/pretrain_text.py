"""Plain text in the words of mini-Flan: what span corruption and cloze are done to.

Statements, never questions or instructions. Those about a list state what holds for trained
cells of the grids only; `catalog.HELD_OUT_CELLS` are skipped. What a statement says about its
list or its fact stands between square brackets, which `plain` takes away and `cloze` fills
with sentinels.
"""

from __future__ import annotations

import re

from flan_t5x.data.draws import Draws

from .catalog import HELD_OUT_CELLS
from .lexicon import (
    ADJECTIVES,
    BLAME,
    CAPITAL_OF,
    CATEGORIES,
    COUNTRIES,
    GRID,
    KIND_OF,
    NOUNS,
    OBJECTS,
    OPPOSITE_OF,
    OTHERS,
    OWNED,
    PEOPLE,
    POSITIONS,
    PRAISE,
    REVIEWED,
    at_position,
    joined,
    with_article,
)

COLORS = CATEGORIES["color"].members
_MARKED = re.compile(r"\[([^]]*)\]")


def _fact(draws: Draws) -> str:
    """One thing that is always true."""
    which = draws.integer(6)
    if which == 0:
        country = draws.choice(COUNTRIES)
        city = CAPITAL_OF[country]
        if draws.integer(2):
            return f"[{city}] is the capital of {country}."
        return f"{city} is the capital of [{country}]."
    if which in (1, 2):
        word = draws.choice(ADJECTIVES)
        return f"The opposite of {word} is [{OPPOSITE_OF[word]}]."
    if which == 3:
        category = CATEGORIES[draws.choice(tuple(CATEGORIES))]
        words = draws.sample(category.members, 2 + draws.integer(2))
        return f"{joined(words)} are [{category.kinds}]."
    word = draws.choice(NOUNS)
    kind = KIND_OF[word]
    if which == 4:
        return f"{word} is [{CATEGORIES[kind].a_kind}]."
    same = draws.integer(2) == 1
    pool = CATEGORIES[kind].members if same else OTHERS[kind]
    other = draws.choice([w for w in pool if w != word])
    return f"{word} and {other} are [{'the same' if same else 'not the same'}] kind of thing."


def _event(draws: Draws) -> str:
    """One or two things that happen to be true."""
    which = draws.integer(6)
    name, other = draws.sample(PEOPLE, 2)
    asked = draws.integer(2)
    if which == 0:
        things = draws.sample(OWNED, 2)
        again = f"The one that has the {things[asked]} is [{(name, other)[asked]}]."
        return (
            f"{name} has {with_article(things[0])}. {other} has {with_article(things[1])}. {again}"
        )
    if which == 1:
        things, colors = draws.sample(OWNED, 2), draws.sample(COLORS, 2)
        again = f"The color of the {things[asked]} is [{colors[asked]}]."
        return f"The {things[0]} is {colors[0]}. The {things[1]} is {colors[1]}. {again}"
    if which == 2:
        word = draws.choice(PRAISE if asked else BLAME)
        return f"The {draws.choice(REVIEWED)} was {word}. It was [{'good' if asked else 'bad'}]."
    objects = draws.choice(OBJECTS)
    numbers = draws.sample(range(2, 10), 2)
    story = f"{name} has {numbers[0]} {objects} and {other} has {numbers[1]}."
    if which == 3:
        return f"{story} [{(name, other)[numbers.index(max(numbers))]}] has more {objects}."
    if which == 4:
        return f"{story} [{(name, other)[numbers.index(min(numbers))]}] has fewer {objects}."
    had, more = 2 + draws.integer(4), 2 + draws.integer(3)
    if asked:
        return (
            f"{name} has {had} {objects} and gets {more}. Now {name} has [{had + more}] {objects}."
        )
    had += more
    return f"{name} has {had} {objects} and gives {more}. Now {name} has [{had - more}] {objects}."


def _about_category(draws: Draws, words: list[str], category: str) -> str:
    """What holds for the words of one category in the list; "" where nothing may be said."""
    cell = draws.choice(("any", "find", "first", "last", "all", "remove", "count"))
    if (cell, category) in HELD_OUT_CELLS:
        return ""
    named = CATEGORIES[category]
    kind, kinds = named.kind, named.kinds
    found = [w for w in words if KIND_OF[w] == category]
    rest = [w for w in words if KIND_OF[w] != category]
    if cell == "any":
        return f"There is [{named.a_kind.split()[0] if found else 'no'}] {kind} in the list."
    if cell == "count":
        return f"The number of {kinds} in the list is [{len(found)}]."
    if not found or not rest:
        return ""
    if cell == "find":
        return f"The only {kind} in the list is [{found[0]}]." if len(found) == 1 else ""
    if cell == "all":
        return f"The {kinds} in the list: [{', '.join(found)}]."
    if cell == "remove":
        return f"The list without the {kinds}: [{', '.join(rest)}]."
    return f"The {cell} {kind} in the list is [{at_position(found, cell)}]."


def _about_position(draws: Draws, words: list[str]) -> str:
    position = draws.choice(POSITIONS)
    word = at_position(words, position)
    if draws.integer(2) or ("kind", position) in HELD_OUT_CELLS:
        return f"The {position} word is [{word}]."
    return f"The {position} word is [{CATEGORIES[KIND_OF[word]].a_kind}]."


def _list_story(draws: Draws) -> str:
    """A list of at least four words and some statements about it."""
    kinds = draws.sample(GRID, 2)
    words = [w for k in kinds for w in draws.sample(CATEGORIES[k].members, draws.integer(4))]
    others = [w for w in draws.sample(NOUNS, 14) if KIND_OF[w] not in kinds]
    words = draws.shuffled(words + others[: max(4 - len(words), draws.integer(3))])
    said = [_about_category(draws, words, draws.choice(kinds)) for _ in range(3 + draws.integer(3))]
    said.append(_about_position(draws, words))
    said = draws.shuffled(list(dict.fromkeys(text for text in said if text)))
    return " ".join([f"List: {', '.join(words)}.", *said])


def _adjective_story(draws: Draws) -> str:
    """A list of adjectives and the opposites of some of them."""
    words = draws.sample(ADJECTIVES, 4 + draws.integer(2))
    known = [p for p in POSITIONS if ("opposite", p) not in HELD_OUT_CELLS]
    said = [
        f"The opposite of the {p} word is [{OPPOSITE_OF[at_position(words, p)]}]."
        for p in draws.sample(known, 1 + draws.integer(len(known)))
    ]
    return " ".join([f"List: {', '.join(words)}.", *said])


def marked_passage(draws: Draws) -> str:
    """Some sentences, about 25 to 60 words, with what they say between brackets."""
    parts = []
    for _ in range(1 + draws.integer(2)):
        which = draws.integer(8)
        if which < 4:
            parts.append(_list_story(draws))
        elif which == 4:
            parts.append(_adjective_story(draws))
        else:
            parts.append(f"{_fact(draws)} {_event(draws)}")
    return " ".join(parts)


def plain(text: str) -> str:
    """The text without its brackets."""
    return _MARKED.sub(r"\1", text)


def cloze(draws: Draws, text: str) -> tuple[str, str]:
    """Inputs and targets: bracketed words become sentinels, four in five of them, at least one."""
    answers: list[str] = []
    spared = draws.integer(5)

    def fill(match: re.Match[str]) -> str:
        if answers and draws.integer(5) == spared:
            return match[1]
        answers.append(match[1])
        return f"<extra_id_{len(answers) - 1}>"

    inputs = _MARKED.sub(fill, text)
    return inputs, " ".join(f"<extra_id_{k}> {a}" for k, a in enumerate(answers))
