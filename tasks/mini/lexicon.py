"""The closed vocabulary of mini-Flan: every content word, and the facts between them.

Small on purpose. A base of a million parameters must know each word well (its category, its
opposite, its capital) so that tuning has only instructions left to learn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """A kind of thing with its members.

    Attributes:
        kind: the word for one, e.g. ``animal``.
        kinds: the word for several, e.g. ``animals``.
        a_kind: with its article, e.g. ``an animal``.
        members: the words that belong to it; no word belongs to two categories.
    """

    kind: str
    kinds: str
    a_kind: str
    members: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _category(kind: str, kinds: str, members: str) -> Category:
    article = "an" if kind[0] in "aeiou" else "a"
    return Category(kind, kinds, f"{article} {kind}", _words(members))


COUNTRIES = _words("France Spain Italy Japan China India Brazil Egypt Kenya Peru Canada Norway")
CAPITALS = _words("Paris Madrid Rome Tokyo Beijing Delhi Brasilia Cairo Nairobi Lima Ottawa Oslo")
CAPITAL_OF: dict[str, str] = dict(zip(COUNTRIES, CAPITALS, strict=True))
COUNTRY_OF: dict[str, str] = dict(zip(CAPITALS, COUNTRIES, strict=True))

CATEGORIES: dict[str, Category] = {
    c.kind: c
    for c in (
        _category("animal", "animals", "dog cat horse cow pig sheep lion tiger bear wolf fox duck"),
        _category(
            "color",
            "colors",
            "red blue green yellow black white brown pink purple gray gold silver",
        ),
        _category(
            "fruit",
            "fruits",
            "apple pear banana cherry lemon mango grape peach plum melon fig kiwi",
        ),
        _category(
            "tool",
            "tools",
            "hammer drill axe shovel rake wrench chisel ladder needle broom spade lever",
        ),
        _category("country", "countries", " ".join(COUNTRIES)),
        _category(
            "instrument",
            "instruments",
            "piano guitar violin drum flute harp trumpet cello banjo tuba oboe clarinet",
        ),
        _category(
            "vehicle", "vehicles", "car bus train truck boat ship plane bike taxi tram van rocket"
        ),
        _category(
            "drink",
            "drinks",
            "tea coffee milk juice water wine beer soda cocoa cider syrup lemonade",
        ),
        _category(
            "garment",
            "garments",
            "shirt hat coat shoe scarf dress skirt sock glove belt jacket sweater",
        ),
        _category(
            "job",
            "jobs",
            "doctor teacher farmer baker driver nurse pilot singer painter lawyer sailor cook",
        ),
        _category("city", "cities", " ".join(CAPITALS)),
    )
}

# The categories that operations are crossed with; the others only stand among the words.
GRID = ("animal", "color", "fruit", "tool", "country", "instrument", "vehicle")

KIND_OF: dict[str, str] = {w: c.kind for c in CATEGORIES.values() for w in c.members}
NOUNS: tuple[str, ...] = tuple(KIND_OF)
OTHERS: dict[str, tuple[str, ...]] = {
    kind: tuple(w for w in NOUNS if KIND_OF[w] != kind) for kind in CATEGORIES
}

OPPOSITE_PAIRS: tuple[tuple[str, str], ...] = (
    ("hot", "cold"),
    ("big", "small"),
    ("old", "young"),
    ("fast", "slow"),
    ("tall", "short"),
    ("happy", "sad"),
    ("rich", "poor"),
    ("hard", "soft"),
    ("light", "dark"),
    ("wet", "dry"),
    ("clean", "dirty"),
    ("full", "empty"),
    ("early", "late"),
    ("strong", "weak"),
    ("loud", "quiet"),
    ("high", "low"),
    ("wide", "narrow"),
    ("thick", "thin"),
    ("near", "far"),
    ("deep", "shallow"),
    ("sweet", "sour"),
    ("rough", "smooth"),
    ("open", "shut"),
    ("sharp", "dull"),
)
OPPOSITE_OF: dict[str, str] = dict(OPPOSITE_PAIRS) | {b: a for a, b in OPPOSITE_PAIRS}
ADJECTIVES: tuple[str, ...] = tuple(OPPOSITE_OF)

PRAISE = _words("great lovely wonderful nice superb fine perfect pleasant charming amazing")
BLAME = _words("awful terrible horrible nasty dreadful boring ugly useless rotten annoying")
REVIEWED = _words("film book meal song hotel trip game show party soup cake room")

PEOPLE = _words(
    "Anna Tom Ben Lucy Mark Sara Paul Emma Jack Nina Omar Lily Sam Rosa Leo Maya Ivan Kate Hugo Eva"
)
OBJECTS = _words("coins books cards stones keys cups balls stamps")

# Things a person can own, as "Tom has a dog."
OWNED_KINDS = ("animal", "fruit", "tool", "instrument", "vehicle", "garment")
OWNED: tuple[str, ...] = tuple(w for k in OWNED_KINDS for w in CATEGORIES[k].members)

POSITIONS = ("first", "second", "third", "last")


def with_article(word: str) -> str:
    """``a dog`` or ``an apple``."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def joined(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def at_position(words: list[str], position: str) -> str:
    """The word at one of `POSITIONS`. Raises IndexError where the list is too short."""
    return words[-1] if position == "last" else words[POSITIONS.index(position)]
