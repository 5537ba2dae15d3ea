"""Prompts that are too long: what goes first, what never goes."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from flan_t5x.data.definitions import Example, FixedPrompt, RowError
from flan_t5x.data.fixed_prompt import fits, fitted_prompt
from flan_t5x.data.vocabulary import resolve_vocabulary

VOCABULARY = resolve_vocabulary("mini")
NO_LIMIT = 1 << 30
PROMPT = FixedPrompt(
    question="{passage} Q: {question} A:",
    shot="Q: {question} A: {answer}",
    description="Look at the {kind}.",
    trigger="{lead}",
    shots=3,
    cut="passage",
    cut_at="back",
)
SHOTS = [
    Example(
        f"shot {n}", {"question": f"the color of cat {n}?", "kind": "cats", "lead": "Think."}, "red"
    )
    for n in range(4)
]
ROW = Example("row", {"passage": "a dog and a cat and a cow", "question": "what?"}, "dog")


def tokens(text: str) -> int:
    return len(VOCABULARY.encode(text)) + 1


def test_whole() -> None:
    made = fitted_prompt(PROMPT, ROW, SHOTS, vocabulary=VOCABULARY, budget=NO_LIMIT)
    assert made.inputs == (
        "Look at the cats.\n\nQ: the color of cat 0? A: red\n\nQ: the color of cat 1? A: red\n\n"
        "Q: the color of cat 2? A: red\n\na dog and a cat and a cow Q: what? A: Think."
    )
    assert made.exemplar_ids == ("shot 0", "shot 1", "shot 2")
    assert (made.left_out, made.words_cut) == (0, 0)


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_exemplars_go_from_the_back(kept: int) -> None:
    """What is left is the prompt with fewer shots."""
    fewer = FixedPrompt(**{**vars(PROMPT), "shots": kept})
    whole = fitted_prompt(fewer, ROW, SHOTS, vocabulary=VOCABULARY, budget=NO_LIMIT).inputs
    made = fitted_prompt(PROMPT, ROW, SHOTS, vocabulary=VOCABULARY, budget=tokens(whole))
    assert made.inputs == whole
    assert (made.left_out, made.words_cut) == (3 - kept, 0)


@pytest.mark.parametrize(
    ("cut_at", "inputs"),
    [
        ("back", "a dog and a cat Q: what? A: Think."),
        ("front", "a cat and a cow Q: what? A: Think."),
    ],
)
def test_then_words_of_the_question(cut_at: str, inputs: str) -> None:
    prompt = FixedPrompt(**{**vars(PROMPT), "cut_at": cut_at})
    made = fitted_prompt(prompt, ROW, SHOTS, vocabulary=VOCABULARY, budget=tokens(inputs))
    assert (made.inputs, made.exemplar_ids) == (inputs, ())
    assert (made.left_out, made.words_cut) == (3, 3)


@hypothesis.given(st.integers(1, 120))
def test_any_budget(budget: int) -> None:
    """It fits, unless one word of the field is still too much; the question itself stays."""
    made = fitted_prompt(PROMPT, ROW, SHOTS, vocabulary=VOCABULARY, budget=budget)
    assert made.inputs.endswith("Q: what? A: Think.")
    assert fits(made.inputs, VOCABULARY, budget) or made.inputs == "a Q: what? A: Think."
    assert len(made.exemplar_ids) + made.left_out == 3


def test_a_row_is_no_exemplar_of_itself() -> None:
    row = Example("shot 1", {**SHOTS[1].fields, "passage": "x"}, "red")
    made = fitted_prompt(PROMPT, row, SHOTS, vocabulary=VOCABULARY, budget=NO_LIMIT)
    assert made.exemplar_ids == ("shot 0", "shot 2", "shot 3")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"passage": "x"}, "missing field"), ({"passage": " ", "question": "q"}, "empty inputs")],
)
def test_rows_that_ask_nothing(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(RowError) as caught:
        fitted_prompt(
            FixedPrompt(**{**vars(PROMPT), "description": "", "trigger": ""}),
            Example("row", fields, "dog"),
            [],
            vocabulary=VOCABULARY,
            budget=NO_LIMIT,
        )
    assert caught.value.reason == reason
