"""Held-out families: their words and parts are trained, their combination is not."""

from __future__ import annotations

import contextlib
import dataclasses
from functools import partial

import pytest
from flan_tasks.mini import word_lists
from flan_tasks.mini.catalog import (
    BY_CATEGORY,
    BY_POSITION,
    BY_WORDING,
    GRID,
    HELD_OUT_CELLS,
    families,
    held_out,
    trained,
)
from flan_tasks.mini.family import Family
from flan_tasks.mini.source import MiniSource
from flan_tasks.mini.transfer import (
    clashes,
    generator_cell,
    instruction_texts,
    missing_parts,
    unknown_words,
    words_of,
)

from flan_t5x.data.definitions import Example

from .solvers import solve

HELD_OUT = [pytest.param(family, id=family.name) for family in held_out()]
LISTS = [f for f in trained() if f.category in GRID and f.operation != "find"]


@pytest.mark.parametrize("family", HELD_OUT)
def test_every_instruction_word_is_trained(family: Family) -> None:
    assert unknown_words(family) == set()


@pytest.mark.parametrize("family", HELD_OUT)
def test_the_combination_is_not_trained(family: Family) -> None:
    assert clashes(family) == []
    assert missing_parts(family) == set()


@pytest.mark.parametrize("family", families().values(), ids=families())
def test_claimed_cells_are_what_generators_make(family: Family) -> None:
    operation, value = generator_cell(family)
    assert operation == family.operation
    assert value in ("", family.category)


def test_the_grid_is_dense() -> None:
    """Each part of a held-out cell is trained with at least three other parts."""
    cells = [generator_cell(family) for family in trained()]
    for operation, value in HELD_OUT_CELLS:
        enough = 5 if value in GRID else 3
        assert sum(o == operation for o, _ in cells) >= enough, operation
        assert sum(v == value for _, v in cells) >= (enough if value in GRID else 2), value
    assert {f.transfer for f in held_out()} == {BY_CATEGORY, BY_POSITION, BY_WORDING}


@pytest.mark.parametrize("cell", sorted(c for c in HELD_OUT_CELLS if c[1] in GRID))
def test_no_trained_family_behaves_like_a_held_out_one(cell: tuple[str, str]) -> None:
    """By their rows: a held-out cell's answers fit none of the families over lists of words."""
    for family in LISTS:
        right = 0
        rows = list(MiniSource(family.name, sizes={"train": 60}).read("train", 0, 60))
        for row in rows:
            assert isinstance(row, Example)
            # The cell's question may have no answer on a row, e.g. no color to be the first.
            with contextlib.suppress(IndexError, KeyError, ValueError):
                right += solve(*cell, row) == row.answer
        assert right < 0.75 * len(rows), (family.name, right)


def test_the_checks_can_fail() -> None:
    """A copy of a held-out family whose promise is broken is found out."""
    family = families()["count_tools"]
    trained_cell = partial(word_lists.count, category="animal")
    assert clashes(dataclasses.replace(family, generator=trained_cell))
    new_word = (dataclasses.replace(family.templates[0], inputs="{list} Enumerate the tools."),)
    assert unknown_words(dataclasses.replace(family, templates=new_word)) == {"enumerate"}
    unseen = partial(word_lists.count, category="drink")
    assert missing_parts(dataclasses.replace(family, generator=unseen)) == {"drink"}
    reworded = families()["who_has_reworded"]
    copied = dataclasses.replace(reworded, templates=families()["who_has"].templates)
    assert clashes(copied)


def test_instruction_words_are_few_and_shared() -> None:
    """A restrained vocabulary: most instruction words stand in at least three families."""
    per_family = [words_of(instruction_texts(family)) for family in trained()]
    words = set().union(*per_family)
    shared = [w for w in words if sum(w in texts for texts in per_family) >= 3]
    assert len(words) <= 140
    assert len(shared) >= 0.75 * len(words)
