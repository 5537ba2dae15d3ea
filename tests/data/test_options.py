"""Option blocks, to the letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.data.draws import Draws
from flan_t5x.data.option_styles import BASE, WIDE, WIDE_LETTERS
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
    assert {case[0] for case in marks} == set(BASE)


def test_start_and_end():
    assert OptionLayout("comma_or", "Say", ".").block(("yes", "no")) == "Say yes or no."
    assert OptionLayout("comma_or", "Say", ".").block(("yes",)) == "Say yes."


@pytest.mark.parametrize(
    ("name", "block", "target"),
    [
        ("wide_bullet_0", "- cat - dog - hen", "dog"),
        ("wide_quoted", '"cat", "dog", "hen"', "dog"),
        ("wide_or", "cat or dog or hen", "dog"),
        ("wide_bars", "cat || dog || hen", "dog"),
        ("wide_upper_paren", "(A) cat (B) dog (C) hen", "(B)"),
        ("wide_lower_right", "a) cat b) dog c) hen", "b"),
        ("wide_number_colon", "1: cat; 2: dog; 3: hen", "2"),
        ("wide_roman_square", "[i] cat [ii] dog [iii] hen", "[ii]"),
        ("wide_upper_roman_hyphen", "I - cat; II - dog; III - hen", "II"),
        ("wide_number_bar", "1 | cat || 2 | dog || 3 | hen", "2"),
        ("wide_lower_bullet", "- a. cat - b. dog - c. hen", "b"),
        ("wide_upper_named", "option A: cat, option B: dog, option C: hen", "option B"),
        ("wide_number_choice", "Choice 1) cat Choice 2) dog Choice 3) hen", "Choice 2"),
    ],
)
def test_wide_styles(name, block, target):
    # An empty start is one of theirs, and leaves no space before the block.
    layout = OptionLayout(name, "", "")
    assert layout.block(THREE) == block
    assert layout.target(THREE, "dog") == target
    assert "" in OPTION_STYLES[name].starts


def test_wide_styles_are_as_many_as_the_paper_draws_from():
    # Longpre et al. 2023: 16 starts, 87 markers (of which 64 make the marker the answer), 3 ends.
    assert len(WIDE) == 79
    marked = [name for name, style in WIDE.items() if style.kind]
    assert len(marked) / len(WIDE) == pytest.approx(64 / 87, abs=0.05)
    for style in WIDE.values():
        assert len(set(style.starts)) == 16
        assert len(set(style.ends)) == 3
    written = {OptionLayout(name, "", "").block(THREE) for name in WIDE}
    assert len(written) == len(WIDE)
    assert {WIDE[name].kind for name in WIDE_LETTERS} == {"", "upper", "lower"}


@pytest.mark.parametrize("last", ["It broke.", "Who?", "No!"])
def test_a_sentence_gets_no_second_stop(last):
    for end in (".", ";"):
        block = OptionLayout("wide_bullet_0", "Options:", end).block(("It fell.", last))
        assert block == f"Options: - It fell. - {last}"
    assert OptionLayout("wide_bullet_0", "Options:", ".").block(("a", "b")) == "Options: - a - b."
    # The text of own tasks is fixed.
    assert OptionLayout("semicolon", "Options:", ".").block(("It", "Go.")) == "Options: It; Go.."


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
        ("wide_upper_roman_dot", 3, "IV"),
        ("wide_upper_roman_dot", 38, "XXXIX"),
        ("dash", 4, ""),
    ],
)
def test_markers_far_out(name, position, marker):
    assert OPTION_STYLES[name].marker(position) == marker


def test_drawing_takes_the_same_number_of_draws_for_every_style():
    seen = set()
    for i in range(200):
        draws = Draws("layout", i)
        seen.add(OptionLayout.draw(tuple(BASE), draws).name)
        rest = draws.integer(10**9)
        skipped = Draws("layout", i)
        for _ in range(3):
            skipped.integer(2)
        assert rest == skipped.integer(10**9)
    assert seen == set(BASE)
