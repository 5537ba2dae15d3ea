"""Every family's answers are right, its guessers fair and its rationales lead to the answer."""

from __future__ import annotations

import re

import pytest
from flan_tasks.mini.catalog import families
from flan_tasks.mini.lexicon import CAPITAL_OF, CATEGORIES, KIND_OF, OPPOSITE_OF, PEOPLE
from flan_tasks.mini.source import MiniSource

from flan_t5x.data.definitions import Example
from flan_t5x.evaluation.baselines import baseline

from .solvers import solve

NAMES = sorted(families())
SIZES = {"train": 120, "validation": 60}


def rows(name: str, split: str = "train") -> list[Example]:
    source = MiniSource(name, sizes=SIZES, seed=5)
    found = list(source.read(split, 0, SIZES[split]))
    assert all(isinstance(row, Example) for row in found)
    return [row for row in found if isinstance(row, Example)]


@pytest.mark.parametrize("name", NAMES)
def test_answers_agree_with_an_independent_solver(name: str) -> None:
    family = families()[name]
    for row in rows(name) + rows(name, "validation"):
        assert row.answer == solve(family.operation, family.category, row), row


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_valid_and_shown_options_are_distinct(name: str) -> None:
    for row in rows(name):
        assert row.valid_answers.count(row.answer) == 1, row
        assert len(set(row.options)) == len(row.options)
        assert not row.options or row.answer in row.options


@pytest.mark.parametrize("name", NAMES)
def test_guessing_leaves_room(name: str) -> None:
    """At least 0.45 between the better guess and a perfect score, so that +0.25 can be seen."""
    found = rows(name)
    guess = baseline([r.answer for r in found], [r.valid_answers for r in found])
    assert guess.value < 0.6, guess


@pytest.mark.parametrize("name", [n for n in NAMES if "zs_cot" in families()[n].formats])
def test_rationales_name_what_the_answer_follows_from(name: str) -> None:
    family = families()[name]
    for row in rows(name):
        text = row.rationale
        if family.operation == "count":
            kinds = CATEGORIES[family.category].kinds
            named = [w for w in re.findall(r"\w+", text) if KIND_OF.get(w) == family.category]
            assert len(named) == int(row.answer)
            assert kinds in text
        elif family.operation == "compare":
            left, right = map(int, re.findall(r"\d+", text))
            assert (left > right) == (family.category == "more")
            assert f"{row.answer} has {left} " in row.fields["story"]
        else:
            left, sign, right, total = re.findall(r"(\d) ([+-]) (\d) = (\d+)", text)[0]
            assert int(total) == int(left) + (int(right) if sign == "+" else -int(right))
            assert row.answer == total


def test_the_lexicon_is_consistent() -> None:
    members = [w for c in CATEGORIES.values() for w in c.members]
    assert len(members) == len(set(members))
    assert all(len(c.members) == 12 for c in CATEGORIES.values())
    assert len(OPPOSITE_OF) == 48
    assert (len(set(PEOPLE)), min(map(len, PEOPLE))) == (20, 3)
    assert all(OPPOSITE_OF[OPPOSITE_OF[w]] == w != OPPOSITE_OF[w] for w in OPPOSITE_OF)
    assert not set(OPPOSITE_OF) & set(members)
    # A few facts from outside the code.
    assert CAPITAL_OF["Canada"] == "Ottawa"
    assert CAPITAL_OF["Brazil"] == "Brasilia"
    assert (KIND_OF["oboe"], KIND_OF["chisel"]) == ("instrument", "tool")
    assert OPPOSITE_OF["shallow"] == "deep"
