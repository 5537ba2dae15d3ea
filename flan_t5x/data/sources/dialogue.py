"""Conversations as rows: what was said so far, and what is said next.

Two data sets of TFDS: WikiDialog (written around Wikipedia passages) and QReCC (questions in
context). Fields: "dialogue" (the conversation, each turn after its speaker, ending in the next
speaker), "history" (the same without that ending), "last" (the latest turn). Speakers are drawn
per row, where the conversation is cut as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flan_t5x.data.definitions import Example, RowError
from flan_t5x.data.draws import Draws
from flan_t5x.data.sources.tfds import TfdsSource

SPEAKERS: tuple[tuple[str, str], ...] = (
    ("A:", "B:"),
    ("Person A:", "Person B:"),
    ("Speaker 1:", "Speaker 2:"),
    ("[1]", "[2]"),
    ("(A)", "(B)"),
    ("First:", "Second:"),
    ("Visitor:", "Guide:"),
    ("Ann:", "Ben:"),
    ("Caller:", "Host:"),
    ("-", "+"),
    ("User:", "Assistant:"),
    ("Q:", "A:"),
)
"""Who asks, who answers; the T5 vocabulary can write all of them."""

QRECC_FIRST_TURN = 7
"""Flan 2022 takes QReCC's later turns only: every turn carries those before it."""


def wiki_dialog() -> TfdsSource:
    """WikiDialog: 11.3 million conversations, cut at a drawn turn."""
    return TfdsSource(
        "wiki_dialog:1.0.0",
        wiki_dialog_row,
        splits={"train": "train", "validation": "validation"},
        published={"train": 11_264_000},
    )


def qrecc() -> TfdsSource:
    """QReCC from its seventh turn on: a question in its context, and the answer."""
    return TfdsSource(
        "q_re_cc:1.0.0",
        qrecc_row,
        splits={"train": "train", "validation": "test"},
        published={"train": 10_170},
        keep=is_late_turn,
    )


def wiki_dialog_row(id: str, row: dict[str, Any]) -> Example:
    """A conversation up to a drawn turn, which is the answer. Raises RowError."""
    turns = [text.strip() for text in row["utterances"]]
    if len(turns) < 2 or not all(turns):
        raise RowError("conversation too short", f"{len(turns)} turns, two with text are needed")
    cut = 1 + Draws("wiki_dialog", id).integer(len(turns) - 1)
    return _example(id, turns[:cut], turns[cut], title=str(row["title"]).strip())


def is_late_turn(row: dict[str, Any]) -> bool:
    """Whether a row of QReCC is far enough into its conversation."""
    return int(row["turn_id"]) >= QRECC_FIRST_TURN


def qrecc_row(id: str, row: dict[str, Any]) -> Example:
    """A question after the turns before it. Raises RowError for one without an answer."""
    turns = [*(text.strip() for text in row["context"]), row["question"].strip()]
    answer = row["answer"].strip()
    if not answer:
        raise RowError("empty answer", f"question {turns[-1]!r} has none")
    return _example(id, [turn for turn in turns if turn], answer)


def _example(id: str, turns: Sequence[str], answer: str, *, title: str = "") -> Example:
    speakers = Draws("dialogue", id).choice(SPEAKERS)
    first = len(turns) % 2  # so that the second speaker of a pair is the one who answers
    said = [f"{speakers[(first + 1 + i) % 2]} {turn}" for i, turn in enumerate(turns)]
    history = " ".join(said)
    fields = {"dialogue": f"{history} {speakers[1]}", "history": history, "last": turns[-1]}
    return Example(id, fields | ({"title": title} if title else {}), answer)
