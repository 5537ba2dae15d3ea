"""The shipped vocabulary is what its script makes, and cuts no word of mini-Flan."""

from __future__ import annotations

import string
from pathlib import Path

from flan_tasks.mini.build_vocabulary import (
    PIECES,
    content_words,
    instruction_words,
    report,
    row_words,
    train,
)

from flan_t5x.data.vocabulary import Vocabulary, default_vocabulary


def test_a_rebuild_gives_the_shipped_bytes() -> None:
    assert train() == Path(default_vocabulary().model_path).read_bytes()


def test_every_word_is_one_piece() -> None:
    vocabulary = default_vocabulary()
    for words in (content_words(), instruction_words(), row_words()):
        assert [w for w in sorted(words) if len(vocabulary.encode(w)) != 1] == []


def test_special_ids_are_those_of_t5() -> None:
    vocabulary = default_vocabulary()
    assert vocabulary.encode("dog")[0] > 2
    assert vocabulary.encode("<extra_id_0>") == [vocabulary.size - 1]
    assert 900 <= vocabulary.size - 100 <= PIECES


def test_printable_characters_are_known_but_braces() -> None:
    vocabulary = default_vocabulary()
    for character in string.printable.strip():
        known = vocabulary.unk_id not in vocabulary.encode(f"a{character}b")
        assert known == (character not in "{}"), character
        if known:
            assert vocabulary.decode(vocabulary.encode(f"a{character}b")) == f"a{character}b"


def test_digits_are_pieces_of_their_own() -> None:
    vocabulary = default_vocabulary()
    one, two = (vocabulary.encode(f"x{d}")[-1] for d in "12")
    assert vocabulary.encode("x12")[-2:] == [one, two]


def test_the_report_names_words_that_are_cut() -> None:
    path = default_vocabulary().model_path
    assert "0 in several pieces" in report(Path(path))
    assert len(Vocabulary(path).encode("Enumerate")) > 1
