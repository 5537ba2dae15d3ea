"""Extraction: known answers, and no text whatsoever makes it raise."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from flan_t5x.evaluation.extraction import EXTRACTORS, failure

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
        ("bbh_answer", "A is left. So the answer is (A).", "(A)"),
        ("bbh_answer", "So the answer is > ) ].", "> ) ]"),
        ("bbh_answer", " (B)\n", "(B)"),
        ("bbh_answer", "the answer is no. In short, The answer is yes", "yes"),
        ("bbh_answer", "", ""),
        ("option_letter", "(C)", "C"),
        ("option_letter", "C. because of it", "C"),
        ("option_letter", "Not (A), so the answer is (B) and not (C).", "B"),
        ("option_letter", "Either (A) or (D), so (D)", "D"),
        ("option_letter", "The answer is B.", "B"),
        ("option_letter", "(A) is wrong. The answer is unknown.", "A"),
        ("option_letter", "A cat", ""),
        ("option_letter", "D", "D"),
        ("option_letter", "", ""),
        ("any_number", "Die Antwort ist 1.234.567.", "1234567"),
        ("any_number", "La r\u00e9ponse est 12\u202f000 euros", "12000"),
        ("any_number", "2 + 3 = 5. The answer is 5.", "5"),
        ("any_number", "Es sind 2,50 Euro", "2.5"),
        ("any_number", "\u09e7\u09e8", "12"),
        ("any_number", "5+6=11\u3002\u7b54\u3048\u306f11\u3067\u3059\u3002", "11"),
        ("any_number", "\u22127", "-7"),
        ("any_number", "keine", ""),
    ],
)
def test_known_answers(name: str, text: str, expected: str) -> None:
    assert EXTRACTORS[name](text) == expected


@pytest.mark.parametrize(
    ("extractor", "text", "cot", "expected"),
    [
        ("bbh_answer", " \n", True, "empty prediction"),
        ("bbh_answer", "(A)", True, "no answer cue"),
        ("bbh_answer", "(A)", False, ""),
        ("bbh_answer", "So the answer is (A).", True, ""),
        ("option_letter", "Cats", False, "no answer found"),
        ("any_number", "no number", True, "no answer found"),
        ("any_number", "Jibu ni 11.", True, ""),
        ("text", "anything", True, ""),
    ],
)
def test_why_nothing_was_extracted(extractor: str, text: str, cot: bool, expected: str) -> None:
    assert failure(extractor, text, cot=cot) == expected


@pytest.mark.parametrize("name", EXTRACTORS)
@hypothesis.given(TEXTS, st.booleans())
def test_failures_never_raise(name: str, text: str, cot: bool) -> None:
    assert isinstance(failure(name, text, cot=cot), str)
