"""Conversations: where they are cut, who speaks, and what mocked TFDS rows give."""

from __future__ import annotations

from collections import Counter

import pytest

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources import dialogue
from flan_t5x.data.vocabulary import Vocabulary

from .tfds_mock import mocked_tfds

TURNS = ["Hello, ask me.", "Who sings?", "A bird.", "Which one?", "The lark."]


def row(turns: list[str]) -> dict[str, object]:
    return {"utterances": turns, "title": "Birds", "author_num": [0] * len(turns)}


def test_a_conversation_is_cut_at_every_turn_but_the_first():
    cuts = Counter()
    for i in range(400):
        example = dialogue.wiki_dialog_row(f"train/{i}", row(TURNS))
        assert example == dialogue.wiki_dialog_row(f"train/{i}", row(TURNS))
        cut = TURNS.index(example.answer)
        cuts[cut] += 1
        assert example.fields["last"] == TURNS[cut - 1]
        assert example.fields["title"] == "Birds"
        assert all(turn in example.fields["history"] for turn in TURNS[:cut])
        assert not any(turn in example.fields["dialogue"] for turn in TURNS[cut:])
    assert sorted(cuts) == [1, 2, 3, 4]
    assert min(cuts.values()) > 70


def test_speakers_take_turns_and_the_second_one_answers():
    used = set()
    for i in range(200):
        example = dialogue.wiki_dialog_row(f"train/{i}", row(TURNS))
        cut = TURNS.index(example.answer)
        pairs = [p for p in dialogue.SPEAKERS if example.fields["dialogue"].endswith(f" {p[1]}")]
        asks, answers = max(pairs, key=lambda pair: len(pair[1]))
        used.add(asks)
        who = [answers if (cut - i) % 2 == 0 else asks for i in range(cut)]
        said = " ".join(f"{w} {turn}" for w, turn in zip(who, TURNS[:cut], strict=True))
        assert example.fields["history"] == said
        assert example.fields["dialogue"] == f"{said} {answers}"
    assert len(used) > 8


@pytest.mark.parametrize("turns", [[], ["one"], ["one", " "]])
def test_too_short(turns):
    with pytest.raises(RowError, match="conversation too short"):
        dialogue.wiki_dialog_row("train/0", row(turns))


def test_qrecc():
    given = {"context": ["q1", "a1", ""], "question": "q2 ", "answer": " a2", "turn_id": 7}
    example = dialogue.qrecc_row("train/5", given)
    assert (example.answer, example.fields["last"]) == ("a2", "q2")
    positions = [example.fields["history"].index(text) for text in ("q1", "a1", "q2")]
    assert positions == sorted(positions)
    with pytest.raises(RowError, match="empty answer"):
        dialogue.qrecc_row("train/5", given | {"answer": " "})
    assert dialogue.is_late_turn(given)
    assert not dialogue.is_late_turn(given | {"turn_id": 6})


@pytest.mark.parametrize("make", [dialogue.wiki_dialog, dialogue.qrecc])
def test_mocked_rows(make):
    source = make()
    with mocked_tfds(num_examples=6):
        count = source.num_examples("train")
        rows = list(source.read("train", 0, count))
    assert len(rows) == count
    assert count == 6 or source.keep is not None
    good = [r for r in rows if isinstance(r, Example)]
    assert len(good) + sum(isinstance(r, BadRow) for r in rows) == count
    assert good
    assert all(set(r.fields) >= {"dialogue", "history", "last"} for r in good)


def test_published_counts():
    assert dialogue.wiki_dialog().expected_examples("train") == 11_264_000
    assert dialogue.qrecc().expected_examples("train") == 10_170
    assert dialogue.qrecc().expected_examples("validation") is None


def test_speakers_survive_the_t5_vocabulary(shared):
    t5 = Vocabulary(str(shared / "data" / "t5_vocab" / "spiece.model"))
    for speaker in (name for pair in dialogue.SPEAKERS for name in pair):
        assert t5.unk_id not in t5.encode(speaker)
