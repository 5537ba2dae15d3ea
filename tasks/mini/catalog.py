"""The families of mini-Flan: four trained submixtures and the held-out ones.

Operations over word lists are crossed with categories and with positions. Most cells of the
grids are trained, each as a family of its own; the cells in `HELD_OUT_CELLS` are not, in any
form, and the base checkpoint's text skips them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

from flan_t5x.data.definitions import Format

from . import passages, word_lists
from .family import MARKER_STYLES, TEXT_STYLES, Family, Generator, templates, wordings
from .lexicon import CATEGORIES, GRID, POSITIONS

MUFFIN, T0, NIV2, COT, HELDOUT = (
    f"mini_{name}" for name in ("muffin", "t0", "niv2", "cot", "heldout")
)
SUBMIXTURES = (MUFFIN, T0, NIV2, COT)

HELD_OUT_CELLS: frozenset[tuple[str, str]] = frozenset(
    {
        ("any", "fruit"),
        ("find", "vehicle"),
        ("first", "color"),
        ("last", "instrument"),
        ("all", "animal"),
        ("remove", "country"),
        ("count", "tool"),
        ("count", "country"),
        ("opposite", "third"),
        ("kind", "last"),
    }
)
"""(operation, category or position) pairs that no training family and no pretraining text has."""

ALL_FORMATS: tuple[Format, ...] = ("zs", "fs", "zs_cot", "fs_cot")

BY_CATEGORY = "operation x category"
BY_POSITION = "chain of two known operations"
BY_WORDING = "new wording of a known operation"

_FILE_OF = {MUFFIN: "muffin.txt", T0: "t0.txt", NIV2: "niv2.txt", COT: "cot.txt"}
_GRID_OPERATIONS: tuple[tuple[str, str], ...] = (
    ("any", MUFFIN),
    ("find", MUFFIN),
    ("first", T0),
    ("last", T0),
    ("all", NIV2),
    ("remove", NIV2),
    ("count", COT),
)
_CHAIN_OPERATIONS: tuple[tuple[str, str], ...] = (
    ("copy", "{position}_word"),
    ("opposite", "opposite_of_{position}"),
    ("kind", "kind_of_{position}"),
)


def _with_definition(
    name: str,
    generator: Generator,
    *,
    operation: str,
    category: str,
    definitions: tuple[str, ...],
    transfer: str = "",
) -> Family:
    """A family in the manner of Natural Instructions."""
    return Family(
        name=name,
        submixture=HELDOUT if transfer else NIV2,
        operation=operation,
        category=category,
        generator=generator,
        templates=templates("niv2.txt", "zs"),
        few_shot=templates("niv2.txt", "fs"),
        definitions=definitions,
        formats=("zs",) if transfer else ("zs", "fs"),
        transfer=transfer,
    )


def _grid_generator(operation: str, category: str) -> Generator:
    """The generator of a cell of operation x category."""
    if operation in ("first", "last"):
        return partial(word_lists.end_of, category=category, position=operation)
    function = {
        "any": word_lists.any_of,
        "find": word_lists.find,
        "all": word_lists.all_of,
        "remove": word_lists.remove,
        "count": word_lists.count,
    }[operation]
    return partial(function, category=category)


def _grid_family(operation: str, home: str, category: str) -> Family:
    """One cell of operation x category."""
    words = CATEGORIES[category]
    slots = {"kind": words.kind, "kinds": words.kinds, "a_kind": words.a_kind}
    several = operation in ("any", "all", "remove", "count")
    name = f"{operation}_{words.kinds if several else words.kind}"
    transfer = BY_CATEGORY if (operation, category) in HELD_OUT_CELLS else ""
    generator = _grid_generator(operation, category)
    if home == NIV2:
        return _with_definition(
            name,
            generator,
            operation=operation,
            category=category,
            definitions=wordings("niv2.txt", operation, **slots),
            transfer=transfer,
        )
    if operation in ("first", "last"):
        lines = templates("t0.txt", "end", position=operation, **slots)
    else:
        lines = templates(_FILE_OF[home], operation, **slots)
    formats: tuple[Format, ...] = ALL_FORMATS if home == COT else ("zs", "fs")
    if transfer:  # few-shot prompts would show a held-out question with its answer
        formats = tuple(format for format in formats if format.startswith("zs"))
    return Family(
        name=name,
        submixture=HELDOUT if transfer else home,
        operation=operation,
        category=category,
        generator=generator,
        templates=lines,
        formats=formats,
        transfer=transfer,
    )


def _chain_family(operation: str, pattern: str, position: str) -> Family:
    """One cell of operation x position."""
    function = {
        "copy": word_lists.copy_at,
        "opposite": word_lists.opposite_at,
        "kind": word_lists.kind_at,
    }[operation]
    return _with_definition(
        pattern.format(position=position),
        partial(function, position=position),
        operation=operation,
        category=position,
        definitions=wordings("niv2.txt", operation, position=position),
        transfer=BY_POSITION if (operation, position) in HELD_OUT_CELLS else "",
    )


def _single(
    submixture: str,
    generator: Generator,
    about: str,
    *,
    styles: tuple[str, ...] = TEXT_STYLES,
) -> Family:
    """A family outside the grids, named like its generator and its section of the data file."""
    operation = generator.__name__
    return Family(
        name=operation,
        submixture=submixture,
        operation=operation,
        category=about,
        generator=generator,
        templates=templates(_FILE_OF[submixture], operation),
        formats=ALL_FORMATS if submixture == COT else ("zs", "fs"),
        option_styles=styles,
    )


def _muffin() -> Iterator[Family]:
    yield _single(MUFFIN, passages.sentiment, "review", styles=MARKER_STYLES)
    yield _single(MUFFIN, passages.kind_of, "word", styles=MARKER_STYLES)
    yield _single(MUFFIN, passages.odd_one_out, "words", styles=MARKER_STYLES)
    yield _single(MUFFIN, passages.same_kind, "two words")
    yield _single(MUFFIN, passages.who_has, "owners")
    yield _single(MUFFIN, passages.is_true, "owners")


def _t0() -> Iterator[Family]:
    yield _single(T0, passages.what_has, "owners")
    yield _single(T0, passages.color_of, "things")
    yield _single(T0, passages.capital, "one country")
    yield _single(T0, passages.country_of, "one city")
    yield _single(T0, passages.opposite, "one word")


def _niv2() -> Iterator[Family]:
    for generator in (word_lists.opposite_each, word_lists.reverse, word_lists.count_words):
        name = generator.__name__
        yield _with_definition(
            name,
            generator,
            operation=name,
            category="every word",
            definitions=wordings("niv2.txt", name),
        )


def _cot() -> Iterator[Family]:
    for generator in (passages.add, passages.take, passages.together):
        yield _single(COT, generator, "story")
    for direction in ("more", "fewer"):
        yield Family(
            name=f"who_has_{direction}",
            submixture=COT,
            operation="compare",
            category=direction,
            generator=partial(passages.compare, direction=direction),
            templates=templates("cot.txt", "compare", direction=direction),
            formats=ALL_FORMATS,
        )


def _reworded() -> Iterator[Family]:
    yield Family(
        name="who_has_reworded",
        submixture=HELDOUT,
        operation="who_has",
        category="owners",
        generator=passages.who_has,
        templates=templates("heldout.txt", "who_has_reworded"),
        formats=("zs",),
        transfer=BY_WORDING,
    )


@cache
def families() -> dict[str, Family]:
    """Every trained and held-out family by name, submixture by submixture."""
    found = [_grid_family(*cell, category) for cell in _GRID_OPERATIONS for category in GRID]
    found += [
        _chain_family(*cell, position) for cell in _CHAIN_OPERATIONS for position in POSITIONS
    ]
    for more in (_muffin, _t0, _niv2, _cot, _reworded):
        found += more()
    order = (*SUBMIXTURES, HELDOUT)
    found.sort(key=lambda family: order.index(family.submixture))
    return {family.name: family for family in found}


def trained() -> list[Family]:
    """The training families."""
    return [f for f in families().values() if f.submixture != HELDOUT]


def held_out() -> list[Family]:
    """The held-out families."""
    return [f for f in families().values() if f.submixture == HELDOUT]
