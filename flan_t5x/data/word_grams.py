"""Runs of words as 64-bit numbers, so that texts can be compared without keeping them.

Two texts are the same here if they differ in case, punctuation, spacing or Unicode form only.
A chance collision of two different runs among 10^7 held-out and 10^10 training ones has a
probability of about 0.5 % (n * m / 2^64).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Int, UInt64

# Scripts without spaces: every sign counts as a word. Else words are runs of letters and digits.
_SIGN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SIGN}]|[^\W_{_SIGN}]+")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing mod 2^64
_MOST_WORDS = 1_000_000  # in the table of known words; it starts again beyond that

Codes = UInt64[np.ndarray, " words"]


def words_of(text: str) -> list[str]:
    """The words of a text, without case, punctuation and Unicode variants.

    Example:
        >>> words_of("“It's” 5 o’clock — in Ｆullwidth")
        ['it', 's', '5', 'o', 'clock', 'in', 'fullwidth']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class WordCodes:
    """A 64-bit number for every word, the same in every process."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, words: Sequence[str]) -> Codes:
        """Numbers of the words, uint64 [words]."""
        known = self._known
        if len(known) > _MOST_WORDS:
            known.clear()
        for word in words:
            if word not in known:
                digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                known[word] = int.from_bytes(digest, "little")
        return np.fromiter((known[word] for word in words), np.uint64, len(words))


def grams(codes: Codes, lengths: Sequence[int]) -> Iterator[tuple[int, Codes]]:
    """All runs of the given numbers of words, as (length, uint64 [words - length + 1]).

    Args:
        codes: of the words, in the order of the text.
        lengths: of the runs; each is given once, the shortest first.
    """
    wanted = set(lengths)
    run = codes
    for length in range(1, max(wanted, default=0) + 1):
        if length > len(codes):
            return
        if length > 1:
            run = run[:-1] * _FACTOR + codes[length - 1 :]
        if length in wanted:
            yield length, run


def inside(row: Int[np.ndarray, " words"], length: int) -> np.ndarray:
    """Which runs of `length` words lie within one row, bool [words - length + 1].

    Args:
        row: the row of each word, when several texts stand one after the other.
        length: of the runs.
    """
    return row[: len(row) - length + 1] == row[length - 1 :]


def whole(codes: Codes) -> int:
    """A number for a whole text; an empty one has 0."""
    for _, run in grams(codes, [len(codes)] if len(codes) else []):
        return int(run[0])
    return 0
