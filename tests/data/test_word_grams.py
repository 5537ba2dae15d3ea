"""Words and runs of words: what counts as the same text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.data.word_grams import WordCodes, grams, inside, whole, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The cat, the hat.", "the cat THE HAT"),
        ("It's 5 o'clock!", "it’s 5 o’clock"),
        ("Straße", "STRASSE"),
        ("ﬁne café", "fine cafe\u0301"),
        ("a\tb\n\nc", "a b c"),
        ("snake_case-word", "snake case word"),
        ("ＡＢＣ１", "abc1"),
    ],
)
def test_the_same_words(one: str, other: str) -> None:
    assert words_of(one) == words_of(other)


def test_different_words() -> None:
    assert words_of("12 cats") != words_of("13 cats")
    assert words_of("café") != words_of("cafe")


def test_scripts_without_spaces_count_by_sign() -> None:
    assert words_of("罗杰有5个网球。") == ["罗", "杰", "有", "5", "个", "网", "球"]
    assert words_of("ロジャーは") == ["ロ", "ジ", "ャ", "ー", "は"]
    assert words_of("로저는 공을") == ["로저는", "공을"]


@given(
    words=st.lists(st.sampled_from("abcd"), max_size=30),
    lengths=st.sets(st.integers(1, 9), max_size=4),
)
def test_equal_runs_have_equal_numbers_and_others_have_not(
    words: list[str], lengths: set[int]
) -> None:
    found = dict(grams(WordCodes().of(words), sorted(lengths)))
    assert set(found) == {n for n in lengths if n <= len(words)}
    for length, runs in found.items():
        texts = [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]
        assert len(texts) == len(runs)
        assert len(set(zip(texts, runs.tolist(), strict=True))) == len(set(texts))
        assert len(set(runs.tolist())) == len(set(texts))


def test_numbers_do_not_depend_on_what_came_before() -> None:
    codes = WordCodes()
    codes.of(["other", "words"])
    assert codes.of(["one", "two"]).tolist() == WordCodes().of(["one", "two"]).tolist()
    # blake2b("one", 8 bytes), little-endian: the same on every machine
    assert WordCodes().of(["one"]).tolist() == [14489617718373642804]
    assert whole(codes.of([])) == 0
    assert whole(codes.of(["one"])) == int(codes.of(["one"])[0])


def test_runs_within_one_row() -> None:
    row = np.array([0, 0, 0, 1, 1, 2])
    assert inside(row, 2).tolist() == [True, True, False, True, False]
    assert inside(row, 3).tolist() == [True, False, False, False]
