"""The pretraining tasks of the base: span corruption and dense symbolic text tasks.

What the base sees: plain statements (`pretrain_text`) with spans or answers taken out, and
terse signs (``# animal : dog, red, cat`` is 2) instead of instructions. It learns copying,
positions, the category of every word, opposites, capitals and small sums, and the operations
of the grids as signs and as statements. What it never sees: an instruction or a question of
mini-Flan, and, in no form that names the category or the position, a pair of
`catalog.HELD_OUT_CELLS`. Operations on a category that is given by two example words
(``cat wolf # : ...``) cover all categories: there no category is named. Tables over whole lists
(``~ : hot, big`` is cold, small) and picking by numbers cover all positions: there no pair of
operation and position is asked for.

Targets are long for their inputs (many queries about one list): that is what teaches copying.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

from flan_t5x.data.definitions import Template
from flan_t5x.data.draws import Draws

from .catalog import HELD_OUT_CELLS
from .family import Draft, Family
from .lexicon import (
    ADJECTIVES,
    BLAME,
    CAPITAL_OF,
    CATEGORIES,
    COUNTRY_OF,
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
)
from .pretrain_text import cloze, marked_passage, plain

PRETRAIN = "mini_pretrain"
WORDS: tuple[str, ...] = (*NOUNS, *ADJECTIVES, *PEOPLE, *OBJECTS, *REVIEWED)
SIGNS = {
    "any": "?",
    "first": "<",
    "last": ">",
    "all": "+",
    "remove": "-",
    "count": "#",
    "find": "!",
}
"""How an operation over a category is written in pretraining."""
POSITION_SIGNS = dict(zip(POSITIONS, ("1", "2", "3", "$"), strict=True))
CHAIN_SIGNS = {"copy": "=", "opposite": "~", "kind": "%"}


def _draft(text: str, answer: str) -> Draft:
    # Commas and the order of query and words are wording, not content.
    content = tuple(sorted(text.replace(",", "").split(" : ")))
    return Draft(content, {"text": text}, answer, ())


def _list(draws: Draws, words: Sequence[str]) -> str:
    return (" " if draws.integer(3) == 0 else ", ").join(words)


def _around(draws: Draws, query: str, text: str) -> str:
    """The query before or after the text."""
    return f"{query} : {text}" if draws.integer(2) else f"{text} : {query}"


def _some(draws: Draws, low: int, high: int, words: Sequence[str] = WORDS) -> list[str]:
    return draws.sample(words, low + draws.integer(high - low + 1))


def span(draws: Draws) -> Draft:
    """Word-level span corruption: spans of 1..3 words, about a fifth of the text."""
    words = plain(marked_passage(draws)).split()[:70]
    inputs: list[str] = []
    targets: list[str] = []
    position, taken = 0, 0
    while position < len(words):
        if draws.uniform() < 0.12:
            size = 1 + draws.integer(3)
            sentinel = f"<extra_id_{taken}>"
            inputs.append(sentinel)
            targets += [sentinel, *words[position : position + size]]
            position, taken = position + size, taken + 1
        if position < len(words):  # a kept word between two spans
            inputs.append(words[position])
            position += 1
    if not taken:
        inputs[-1:], targets = ["<extra_id_0>"], ["<extra_id_0>", inputs[-1]]
        taken = 1
    targets.append(f"<extra_id_{taken}>")
    return _draft(" ".join(inputs), " ".join(targets))


def answers(draws: Draws) -> Draft:
    """Statements whose answers are sentinels: span corruption where it is worth most."""
    inputs, targets = cloze(draws, marked_passage(draws))
    return _draft(inputs, targets)


def copy(draws: Draws) -> Draft:
    """The same words again."""
    words = _list(draws, _some(draws, 3, 20))
    return _draft(f"copy : {words}", words)


def pick(draws: Draws) -> Draft:
    """Words at given positions; several positions at once."""
    words = _some(draws, 4, 8)
    asked = [1 + draws.integer(len(words)) for _ in range(1 + draws.integer(5))]
    answer = " ".join(words[n - 1] for n in asked)
    return _draft(_around(draws, " ".join(map(str, asked)), _list(draws, words)), answer)


def reverse(draws: Draws) -> Draft:
    """The words backwards."""
    words = _some(draws, 3, 10)
    return _draft(_around(draws, "back", _list(draws, words)), ", ".join(reversed(words)))


def delete(draws: Draws) -> Draft:
    """The words without one or two that are named."""
    words = _some(draws, 4, 10)
    gone = draws.sample(words, 1 + draws.integer(2))
    answer = ", ".join(w for w in words if w not in gone)
    return _draft(_around(draws, f"- {' '.join(gone)}", _list(draws, words)), answer)


def repeat(draws: Draws) -> Draft:
    """How a repeated pattern goes on for six words."""
    pattern = _some(draws, 2, 4)
    shown = 2 * len(pattern) + draws.integer(len(pattern))
    words = [pattern[i % len(pattern)] for i in range(shown + 6)]
    return _draft(f"{' '.join(words[:shown])} ...", " ".join(words[shown:]))


def marked(draws: Draws) -> Draft:
    """The words after the marker ``*``."""
    words = _some(draws, 4, 10)
    hits = set(draws.sample(range(len(words)), 1 + draws.integer(4)))
    text = " ".join(f"* {w}" if i in hits else w for i, w in enumerate(words))
    return _draft(f"* : {text}", " ".join(w for i, w in enumerate(words) if i in hits))


def neighbour(draws: Draws) -> Draft:
    """The word after each of some named words."""
    words = _some(draws, 4, 9)
    asked = draws.sample(range(len(words) - 1), 1 + draws.integer(3))
    query = f"{' '.join(words[i] for i in asked)} ->"
    answer = " ".join(words[i + 1] for i in asked)
    return _draft(_around(draws, query, _list(draws, words)), answer)


def mapped(draws: Draws, *, sign: str, table: str) -> Draft:
    """Every word's partner in a table of facts: category, opposite, capital, country, praise."""
    facts = _TABLES[table]
    words = _some(draws, 2, 10, tuple(facts))
    return _draft(_around(draws, sign, _list(draws, words)), ", ".join(facts[w] for w in words))


_TABLES: dict[str, dict[str, str]] = {
    "kind": KIND_OF,
    "opposite": OPPOSITE_OF,
    "capital": CAPITAL_OF,
    "country": COUNTRY_OF,
    "praise": dict.fromkeys(PRAISE, "good") | dict.fromkeys(BLAME, "bad"),
}


def _grid_words(draws: Draws, kinds: Sequence[str]) -> list[str]:
    """A list where each of the kinds has 0..3 words, with others between."""
    words = [w for k in kinds for w in draws.sample(CATEGORIES[k].members, draws.integer(4))]
    pool = [w for w in draws.sample(NOUNS, 12) if KIND_OF[w] not in kinds]
    words += pool[: max(3 - len(words), draws.integer(4))]
    return draws.shuffled(words)


def apply(operation: str, words: Sequence[str], category: str) -> str:
    """The answer of a grid operation, as pretraining writes it; "none" where nothing is left."""
    found = [w for w in words if KIND_OF[w] == category]
    if operation == "any":
        return "yes" if found else "no"
    if operation == "count":
        return str(len(found))
    if operation == "remove":
        return ", ".join(w for w in words if KIND_OF[w] != category) or "none"
    if operation == "all":
        return ", ".join(found) or "none"
    if not found:
        return "none"
    return found[-1] if operation == "last" else found[0]


def by_name(draws: Draws) -> Draft:
    """One to four grid operations, by their signs, on categories given by name."""
    kinds = draws.sample(tuple(CATEGORIES), 2 + draws.integer(2))
    words = _grid_words(draws, kinds)
    queries, answers = [], []
    for _ in range(1 + draws.integer(4)):
        operation, kind = draws.choice(tuple(SIGNS)), draws.choice(kinds)
        if (operation, kind) in HELD_OUT_CELLS:
            continue
        if operation == "find" and sum(KIND_OF[w] == kind for w in words) != 1:
            continue
        category = CATEGORIES[kind]
        name = category.kinds if draws.integer(2) else category.kind
        queries.append(f"{SIGNS[operation]} {name}")
        answers.append(apply(operation, words, kind))
    if not queries:
        return mapped(draws, sign="%", table="kind")
    return _draft(_around(draws, " ; ".join(queries), _list(draws, words)), " ; ".join(answers))


def by_example(draws: Draws) -> Draft:
    """One to three grid operations on a category given by two of its words."""
    kind = draws.choice(tuple(CATEGORIES))
    words = _grid_words(draws, [kind])
    rest = [w for w in CATEGORIES[kind].members if w not in words]
    signs = draws.sample([s for s in SIGNS if s != "find"], 1 + draws.integer(3))
    query = f"{' '.join(draws.sample(rest, 2))} {' '.join(SIGNS[s] for s in signs)}"
    answer = " ; ".join(apply(s, words, kind) for s in signs)
    return _draft(_around(draws, query, _list(draws, words)), answer)


def chains(draws: Draws) -> Draft:
    """Copy, opposite or category of the words at one to four positions."""
    operation = draws.choice(tuple(CHAIN_SIGNS))
    table = {"copy": {}, "opposite": OPPOSITE_OF, "kind": KIND_OF}[operation]
    words = _some(draws, 4, 6, ADJECTIVES if operation == "opposite" else NOUNS)
    known = [p for p in POSITIONS if (operation, p) not in HELD_OUT_CELLS]
    queries, answers = [], []
    for position in draws.sample(known, 1 + draws.integer(len(known))):
        word = words[-1] if position == "last" else words[POSITIONS.index(position)]
        queries.append(f"{CHAIN_SIGNS[operation]} {POSITION_SIGNS[position]}")
        answers.append(table.get(word, word))
    return _draft(_around(draws, " ; ".join(queries), _list(draws, words)), " ; ".join(answers))


def lookup(draws: Draws) -> Draft:
    """Pairs of a name and a thing, then names for things, or things for names."""
    size = 2 + draws.integer(4)
    names, things = draws.sample(PEOPLE, size), draws.sample(OWNED, size)
    text = ", ".join(f"{n} = {t}" for n, t in zip(names, things, strict=True))
    asked = draws.sample(range(size), 1 + draws.integer(size))
    left, right = (names, things) if draws.integer(2) else (things, names)
    query = " ".join(left[i] for i in asked)
    return _draft(_around(draws, f"{query} =", text), " ".join(right[i] for i in asked))


def sums(draws: Draws) -> Draft:
    """Some sums, differences and comparisons of numbers up to ten."""
    queries, answers = [], []
    for _ in range(2 + draws.integer(6)):
        sign = draws.choice(("+", "-", "more", "fewer"))
        low, high = sorted(draws.sample(range(1, 10), 2))
        if sign == "+":
            left, right = 1 + draws.integer(5), 1 + draws.integer(4)
            answer = left + right
        elif sign == "-":
            left, right, answer = high, low, high - low
        else:
            left, right = (low, high) if draws.integer(2) else (high, low)
            answer = high if sign == "more" else low
        queries.append(f"{left} {sign} {right}")
        answers.append(str(answer))
    return _draft(" ; ".join(queries), " ; ".join(answers))


def series(draws: Draws) -> Draft:
    """The next numbers, or the number of words in each of some groups."""
    if draws.integer(2):
        start = draws.integer(14)
        numbers = [str(n) for n in range(start, start + 8)]
        shown = 2 + draws.integer(3)
        return _draft(f"{' '.join(numbers[:shown])} ...", " ".join(numbers[shown:]))
    groups = [_some(draws, 1, 6) for _ in range(1 + draws.integer(4))]
    text = " ; ".join(", ".join(g) for g in groups)
    return _draft(f"# : {text}", " ; ".join(str(len(g)) for g in groups))


def pairs(draws: Draws) -> Draft:
    """Whether the two words of each pair share a category."""
    texts, answers = [], []
    for _ in range(1 + draws.integer(5)):
        first = draws.choice(NOUNS)
        same = draws.integer(2) == 1
        pool = CATEGORIES[KIND_OF[first]].members if same else OTHERS[KIND_OF[first]]
        second = draws.choice([w for w in pool if w != first])
        texts.append(f"{first} {second}")
        answers.append("yes" if same else "no")
    return _draft(f"same : {' ; '.join(texts)}", " ; ".join(answers))


def odd(draws: Draws) -> Draft:
    """In each of some groups, the word of another category."""
    texts, answers = [], []
    for _ in range(1 + draws.integer(3)):
        kind = draws.choice(GRID)
        answers.append(draws.choice(OTHERS[kind]))
        members = draws.sample(CATEGORIES[kind].members, 2 + draws.integer(2))
        texts.append(" ".join(draws.shuffled([*members, answers[-1]])))
    return _draft(f"odd : {' ; '.join(texts)}", " ; ".join(answers))


_WEIGHTED: tuple[tuple[str, Callable[[Draws], Draft], float], ...] = (
    ("span", span, 3.0),
    ("answers", answers, 5.0),
    ("copy", copy, 1.0),
    ("pick", pick, 1.5),
    ("back", reverse, 0.7),
    ("delete", delete, 1.0),
    ("repeat", repeat, 0.5),
    ("marked", marked, 0.5),
    ("neighbour", neighbour, 1.0),
    ("map_kind", partial(mapped, sign="%", table="kind"), 1.0),
    ("map_opposite", partial(mapped, sign="~", table="opposite"), 1.0),
    ("map_capital", partial(mapped, sign="capital", table="capital"), 0.4),
    ("map_country", partial(mapped, sign="country", table="country"), 0.4),
    ("map_praise", partial(mapped, sign="good bad", table="praise"), 0.3),
    ("by_name", by_name, 4.0),
    ("by_example", by_example, 2.0),
    ("chains", chains, 1.5),
    ("lookup", lookup, 1.0),
    ("sums", sums, 1.0),
    ("series", series, 0.5),
    ("pairs", pairs, 0.7),
    ("odd", odd, 0.7),
)
RATES: dict[str, float] = {f"pretrain_{name}": rate for name, _, rate in _WEIGHTED}
"""Share of the pretraining mixture by family name; relative."""


@cache
def pretraining() -> dict[str, Family]:
    """The pretraining families by name."""
    made = [
        Family(
            name=f"pretrain_{name}",
            submixture=PRETRAIN,
            operation=name,
            category="text",
            generator=generator,
            templates=(Template("{text}"),),
            formats=("zs",),
        )
        for name, generator, _ in _WEIGHTED
    ]
    return {family.name: family for family in made}
