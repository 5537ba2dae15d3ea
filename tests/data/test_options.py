"""Option blocks, to the letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.data.draws import Draws
from flan_t5x.data.options import OPTION_STYLES, OptionLayout

THREE = ("cat", "dog", "hen")


@pytest.mark.parametrize(
    ("name", "block", "target"),
    [
        ("dash", "Options: - cat - dog - hen", "dog"),
        ("star", "Options: * cat * dog * hen", "dog"),
        ("comma_or", "Options: cat, dog or hen", "dog"),
        ("quoted_or", 'Options: "cat", "dog" or "hen"', "dog"),
        ("semicolon", "Options: cat; dog; hen", "dog"),
        ("slash", "Options: cat / dog / hen", "dog"),
        ("pipe", "Options: cat | dog | hen", "dog"),
        ("letter_paren", "Options: (A) cat (B) dog (C) hen", "(B)"),
        ("letter_dot", "Options: A. cat B. dog C. hen", "B"),
        ("letter_colon", "Options: A: cat; B: dog; C: hen", "B"),
        ("letter_bracket", "Options: [a] cat [b] dog [c] hen", "[b]"),
        ("number_dot", "Options: 1. cat 2. dog 3. hen", "2"),
        ("number_paren", "Options: (1) cat (2) dog (3) hen", "(2)"),
        ("number_hash", "Options: #1 cat, #2 dog, #3 hen", "#2"),
        ("roman_paren", "Options: (i) cat (ii) dog (iii) hen", "(ii)"),
    ],
)
def test_every_style(name, block, target):
    layout = OptionLayout(name, "Options:", "")
    assert layout.block(THREE) == block
    assert layout.target(THREE, "dog") == target
    assert "Options:" in OPTION_STYLES[name].starts


def test_the_table_above_is_complete():
    marks = test_every_style.pytestmark[0].args[1]
    assert {case[0] for case in marks} == set(OPTION_STYLES)


def test_start_and_end():
    assert OptionLayout("comma_or", "Say", ".").block(("yes", "no")) == "Say yes or no."
    assert OptionLayout("comma_or", "Say", ".").block(("yes",)) == "Say yes."


def test_braces_in_options_are_text():
    assert OptionLayout("dash", "Options:", "").block(("{x}", "{0}")) == "Options: - {x} - {0}"


@given(st.sampled_from(sorted(OPTION_STYLES)), st.integers(1, 80))
def test_markers_are_different_for_any_number_of_options(name, count):
    layout = OptionLayout(name, "Options:", "")
    options = [f"option {i}" for i in range(count)]
    targets = [layout.target(options, option) for option in options]
    assert len(set(targets)) == count
    block = layout.block(options)
    assert all(target in block for target in targets)


@pytest.mark.parametrize(
    ("name", "position", "marker"),
    [
        ("letter_paren", 25, "Z"),
        ("letter_paren", 26, "AA"),
        ("letter_bracket", 27, "ab"),
        ("letter_dot", 701, "ZZ"),
        ("letter_dot", 702, "AAA"),
        ("roman_paren", 3, "iv"),
        ("roman_paren", 8, "ix"),
        ("roman_paren", 13, "xiv"),
        ("dash", 4, ""),
    ],
)
def test_markers_far_out(name, position, marker):
    assert OPTION_STYLES[name].marker(position) == marker


def test_drawing_takes_the_same_number_of_draws_for_every_style():
    seen = set()
    for i in range(200):
        draws = Draws("layout", i)
        seen.add(OptionLayout.draw(tuple(OPTION_STYLES), draws).name)
        rest = draws.integer(10**9)
        skipped = Draws("layout", i)
        for _ in range(3):
            skipped.integer(2)
        assert rest == skipped.integer(10**9)
    assert seen == set(OPTION_STYLES)
