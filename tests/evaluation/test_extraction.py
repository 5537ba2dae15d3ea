"""Extraction: known answers, and no text whatsoever makes it raise."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from flan_t5x.evaluation.extraction import EXTRACTORS

# Texts made of what the patterns look for, in any order, and any other characters.
PIECES = st.sampled_from(
    ["answer", " answer is ", "Answer:", "final answer", "(B)", "-1,234.50", ".", ",", "\n", "  "]
)
TEXTS = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3))).map("".join))


@pytest.mark.parametrize("name", EXTRACTORS)
@hypothesis.given(TEXTS)
def test_never_raises_and_gives_one_folded_line(name: str, text: str) -> None:
    found = EXTRACTORS[name](text)
    assert isinstance(found, str)
    assert found == " ".join(found.split())


@pytest.mark.parametrize("name", EXTRACTORS)
def test_very_long_predictions_take_linear_time(name: str) -> None:
    for piece in ("a", "answer is ", "1,", "final answer final ", " ", "the answer"):
        assert isinstance(EXTRACTORS[name](piece * 20_000), str)


@hypothesis.given(TEXTS)
def test_plain_text_is_a_fixed_point(text: str) -> None:
    once = EXTRACTORS["text"](text)
    assert EXTRACTORS["text"](once) == once


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("text", "  two \n words ", "two words"),
        ("text", "", ""),
        ("cot_answer", "He has 3. So the answer is (B).", "(B)"),
        ("cot_answer", "the answer is no. But wait: the answer is yes.", "yes"),
        ("cot_answer", 'Answer: "red"', "red"),
        ("cot_answer", "The final answer: blue?", "blue"),
        ("cot_answer", "just blue", "just blue"),
        ("cot_answer", "the answer is", ""),
        ("cot_number", "1 + 2 = 3. The answer is $1,234.50.", "1234.5"),
        ("cot_number", "The answer is -7 apples, not 8? no: the answer is -7", "-7"),
        ("cot_number", "There were 12. The answer is many", "12"),
        ("cot_number", "none at all", ""),
        ("cot_number", "the answer is 5.00", "5"),
    ],
)
def test_known_answers(name: str, text: str, expected: str) -> None:
    assert EXTRACTORS[name](text) == expected
