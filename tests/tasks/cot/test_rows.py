"""Parsing of the chain-of-thought columns, on rows written for this test."""

from __future__ import annotations

import pytest
from flan_tasks.cot import rows

from flan_t5x.data.definitions import RowError


def test_numbers_lose_their_commas():
    made = rows.number("1", "How many?", "1,200", "Since so.")
    assert (made.fields, made.answer, made.options) == ({"question": "How many?"}, "1200", ())


@pytest.mark.parametrize("dash", ["", "- "])
def test_letters_stay(dash):
    question = f"Which?\nOptions:\n{dash}(A) one\n{dash}(B)  two\n{dash}(C) one"
    made = rows.lettered("1", question, "(B)", "It is B.")
    assert made.fields == {
        "question": "Which?",
        "choices": "(A) one (B) two (C) one",
        "solution": "(B) two",
    }
    assert (made.answer, made.options) == ("(B)", ())
    assert made.valid_answers == ("(A)", "(B)", "(C)")


def test_listed_options_come_out_of_the_question_once():
    made = rows.listed("1", "Where?\nOptions:\n- bed room\n- sea\n- sea", "sea", "Wet.")
    assert made.fields == {"question": "Where?"}
    assert made.options == made.valid_answers == ("bed room", "sea")


def test_listed_or_open():
    assert rows.listed_or_open("1", "Q\nOptions:\n- a\n- b", "a", "r").options == ("a", "b")
    made = rows.listed_or_open("1", "Q\nOptions:\n- a\n- b", "c", "r")
    assert (made.fields["question"], made.options) == ("Q\nOptions:\n- a\n- b", ())


@pytest.mark.parametrize(
    "question",
    [
        'Claim: "Cats bark."\nIs it so?\nOptions:\n- yes\n- no',
        '"Cats bark."\nTrue?',
        'Right?\n"Cats bark."',
    ],
)
def test_claims_come_out_of_their_question(question):
    made = rows.claim("1", question, "no", "They mew.")
    assert made.fields == {"claim": '"Cats bark."'}
    assert made.options == ("yes", "no")


def test_a_claim_keeps_quotation_marks_inside():
    assert rows.claim("1", '"A "B" c."\nTrue?', "yes", "r").fields["claim"] == '"A "B" c."'


def test_sentences():
    question = 'Which?\nOptions:\n- Sentence A: "He ate."\n- Sentence B: "It ate him."\n'
    made = rows.nonsense("1", question, "Sentence B", "r")
    assert made.fields == {
        "question": "Which?",
        "first": '"He ate."',
        "second": '"It ate him."',
        "sentences": 'Sentence A: "He ate." Sentence B: "It ate him."',
    }


@pytest.mark.parametrize(
    ("parser", "question", "answer", "reason"),
    [
        (rows.lettered, "Which?", "(A)", "no options"),
        (rows.lettered, "Which?\nOptions:\n", "(A)", "no options"),
        (rows.lettered, "Which?\nOptions:\n(A) x\ny", "(A)", "malformed option"),
        (rows.lettered, "Which?\nOptions:\n(A) x", "(B)", "answer not among options"),
        (rows.listed, "Which?\nOptions:\n- x", "y", "answer not among options"),
        (rows.yes_no, "Is it?", "maybe", "answer not among options"),
        (rows.claim, '"x" Is it?', "maybe", "answer not among options"),
        (rows.claim, "x Is it?", "yes", "no claim"),
        (rows.nonsense, "W?\nOptions:\n- Sentence A: x", "Sentence A", "malformed option"),
        (
            rows.nonsense,
            "W?\nOptions:\n- Sentence A: x\n- Sentence B: y",
            "Sentence C",
            "answer not among options",
        ),
    ],
)
def test_unusable_rows(parser, question, answer, reason):
    with pytest.raises(RowError) as caught:
        parser("17", question, answer, "because")
    assert caught.value.reason == reason
    assert "17" in caught.value.detail
