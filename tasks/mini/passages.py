"""Generators over little sentences and single words: reading, facts, sums.

`larger` is by how much the first number of a sum, or both numbers of a comparison, are above those
of training; it changes no draw, so the rows of training (0) are what they always were.
"""

from __future__ import annotations

from flan_t5x.data.draws import Draws

from .family import Draft
from .lexicon import (
    ADJECTIVES,
    BLAME,
    CAPITAL_OF,
    CAPITALS,
    CATEGORIES,
    COUNTRIES,
    COUNTRY_OF,
    KIND_OF,
    NOUNS,
    OBJECTS,
    OPPOSITE_OF,
    OTHERS,
    OWNED,
    PEOPLE,
    PRAISE,
    REVIEWED,
    with_article,
)
from .word_lists import YES_NO

COLORS = CATEGORIES["color"].members
_REVIEW_FRAMES = (
    "The {thing} was {word}.",
    "It was a {thing} that {name} found {word}.",
    "{name} said the {thing} was {word}.",
    "What {article} {word} {thing}!",
)


def sentiment(draws: Draws) -> Draft:
    """Whether a review is good or bad."""
    thing, name = draws.choice(REVIEWED), draws.choice(PEOPLE)
    answer = draws.choice(("good", "bad"))
    word = draws.choice(PRAISE if answer == "good" else BLAME)
    article = with_article(word).split()[0]
    review = draws.choice(_REVIEW_FRAMES).format(thing=thing, name=name, word=word, article=article)
    options = ("good", "bad")
    return Draft((review,), {"review": review}, answer, options, options=options)


def kind_of(draws: Draws) -> Draft:
    """Which of three categories a word belongs to."""
    word = draws.choice(NOUNS)
    wrong = draws.sample([k for k in CATEGORIES if k != KIND_OF[word]], 2)
    options = tuple(draws.shuffled([KIND_OF[word], *wrong]))
    return Draft((word, *options), {"word": word}, KIND_OF[word], options, options=options)


def same_kind(draws: Draws) -> Draft:
    """Whether two words belong to one category."""
    same = draws.integer(2) == 1
    first = draws.choice(NOUNS)
    if same:
        second = draws.choice([w for w in CATEGORIES[KIND_OF[first]].members if w != first])
    else:
        second = draws.choice(OTHERS[KIND_OF[first]])
    fields = {"one": first, "two": second}
    return Draft((first, second), fields, "yes" if same else "no", YES_NO, options=YES_NO)


def odd_one_out(draws: Draws) -> Draft:
    """The word among four that is of another category."""
    category = draws.choice(tuple(CATEGORIES))
    odd = draws.choice(OTHERS[category])
    options = tuple(draws.shuffled([*draws.sample(CATEGORIES[category].members, 3), odd]))
    return Draft(options, {}, odd, options, options=options)


def _owners(draws: Draws, size: int) -> tuple[list[str], list[str], str]:
    names, things = draws.sample(PEOPLE, size), draws.sample(OWNED, size)
    pairs = zip(names, things, strict=True)
    return names, things, " ".join(f"{n} has {with_article(t)}." for n, t in pairs)


def who_has(draws: Draws) -> Draft:
    """Who of two or three people has a thing."""
    names, things, passage = _owners(draws, 2 + draws.integer(2))
    asked = draws.integer(len(names))
    fields = {"passage": passage, "thing": things[asked]}
    options = tuple(draws.shuffled(names))
    return Draft((passage, things[asked]), fields, names[asked], options, options=options)


def what_has(draws: Draws) -> Draft:
    """What one of two or three people has."""
    names, things, passage = _owners(draws, 2 + draws.integer(2))
    asked = draws.integer(len(names))
    fields = {"passage": passage, "name": names[asked]}
    return Draft((passage, names[asked]), fields, things[asked], tuple(things))


def is_true(draws: Draws) -> Draft:
    """Whether a statement follows from a passage."""
    names, things, passage = _owners(draws, 2 + draws.integer(2))
    asked = draws.integer(len(names))
    shift = 0 if draws.integer(2) else 1 + draws.integer(len(names) - 1)
    statement = f"{names[asked]} has {with_article(things[(asked + shift) % len(names)])}"
    fields = {"passage": passage, "statement": statement}
    answer = "no" if shift else "yes"
    return Draft((passage, statement), fields, answer, YES_NO, options=YES_NO)


def color_of(draws: Draws) -> Draft:
    """The color of one of two or three things."""
    size = 2 + draws.integer(2)
    things, colors = draws.sample(OWNED, size), draws.sample(COLORS, size)
    pairs = zip(things, colors, strict=True)
    passage = " ".join(f"The {t} is {c}." for t, c in pairs)
    asked = draws.integer(size)
    fields = {"passage": passage, "thing": things[asked]}
    return Draft((passage, things[asked]), fields, colors[asked], tuple(colors))


def _choice_of(draws: Draws, word: str, right: str, choices: tuple[str, ...]) -> Draft:
    wrong = draws.sample([c for c in choices if c not in (right, word)], 3)
    options = tuple(draws.shuffled([right, *wrong]))
    return Draft((word, *options), {"word": word}, right, options, options=options)


def capital(draws: Draws) -> Draft:
    """The capital of a country, among four cities."""
    word = draws.choice(COUNTRIES)
    return _choice_of(draws, word, CAPITAL_OF[word], CAPITALS)


def country_of(draws: Draws) -> Draft:
    """The country a capital belongs to, among four countries."""
    word = draws.choice(CAPITALS)
    return _choice_of(draws, word, COUNTRY_OF[word], COUNTRIES)


def opposite(draws: Draws) -> Draft:
    """The opposite of an adjective, among four words."""
    word = draws.choice(ADJECTIVES)
    return _choice_of(draws, word, OPPOSITE_OF[word], ADJECTIVES)


def _story(draws: Draws) -> tuple[list[str], str]:
    return draws.sample(PEOPLE, 2), draws.choice(OBJECTS)


def _numbers(low: int, high: int) -> tuple[str, ...]:
    return tuple(str(n) for n in range(low, high + 1))


def add(draws: Draws, *, larger: int = 0) -> Draft:
    """A person gets more objects: the sum, at most nine in training."""
    (name, giver), things = _story(draws)
    had, more = 2 + draws.integer(4) + larger, 2 + draws.integer(3)
    story = f"{name} has {had} {things}. {giver} gives {name} {more} {things}."
    fields = {"story": story, "name": name, "things": things}
    rationale = f"{name} has {had} and gets {more}. {had} + {more} = {had + more}."
    valid = _numbers(4 + larger, 9 + larger)
    return Draft((story,), fields, str(had + more), valid, rationale=rationale)


def take(draws: Draws, *, larger: int = 0) -> Draft:
    """A person gives objects away: the difference, at least one."""
    (name, other), things = _story(draws)
    had = 3 + draws.integer(7) + larger
    less = 2 + draws.integer(min(had - 2, 4))
    story = f"{name} has {had} {things}. {name} gives {other} {less} {things}."
    fields = {"story": story, "name": name, "things": things}
    rationale = f"{name} has {had} and gives {less}. {had} - {less} = {had - less}."
    valid = _numbers(max(1, larger - 2), 7 + larger)
    return Draft((story,), fields, str(had - less), valid, rationale=rationale)


def together(draws: Draws, *, larger: int = 0) -> Draft:
    """What two people have together."""
    (one, two), things = _story(draws)
    left, right = 2 + draws.integer(4) + larger, 2 + draws.integer(3)
    story = f"{one} has {left} {things}. {two} has {right} {things}."
    fields = {"story": story, "things": things}
    rationale = f"{one} has {left} and {two} has {right}. {left} + {right} = {left + right}."
    valid = _numbers(4 + larger, 9 + larger)
    return Draft((story,), fields, str(left + right), valid, rationale=rationale)


def compare(draws: Draws, *, direction: str, larger: int = 0) -> Draft:
    """Who of two people has more, or fewer, objects.

    Args:
        draws: where the question comes from.
        direction: ``more`` or ``fewer``.
        larger: see the module.
    """
    names, things = _story(draws)
    numbers = draws.sample(range(2 + larger, 10 + larger), 2)
    asked = numbers.index(max(numbers) if direction == "more" else min(numbers))
    story = " ".join(f"{n} has {k} {things}." for n, k in zip(names, numbers, strict=True))
    fields = {"story": story, "things": things}
    rationale = f"{numbers[asked]} is {direction} than {numbers[1 - asked]}."
    return Draft((story,), fields, names[asked], tuple(names), rationale=rationale)
