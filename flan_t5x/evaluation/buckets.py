"""Prompts of many lengths in batches of few shapes: padded to buckets, as many rows as fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_BATCH_TOKENS = 16384
"""Padded prompt tokens of a batch, unless said otherwise: 8 prompts of 2048, 64 of 256."""


class Buckets:
    """The lengths that prompts are padded to, and the rows of a batch of each.

    A batch of long prompts has fewer rows, so that its memory stays bounded while batches of
    short ones are large. One bucket is one shape, so one compiled program.

    Args:
        longest: of a prompt; longer ones are cut.
        batch_size: most rows of a batch.
        max_batch_tokens: most padded tokens of a batch.
        parts: rows are a multiple of this, rounded up: into so many parts a mesh divides them.

    Attributes:
        lengths: see `length_buckets`.
        rows: of a batch, by length.
    """

    def __init__(
        self,
        longest: int,
        *,
        batch_size: int,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        parts: int = 1,
    ) -> None:
        self.lengths = length_buckets(longest)
        fitting = {n: max(1, min(batch_size, max_batch_tokens // n)) for n in self.lengths}
        self.rows = {n: -(-rows // parts) * parts for n, rows in fitting.items()}

    @property
    def longest(self) -> int:
        """Length of the longest bucket."""
        return self.lengths[-1]

    @property
    def most_rows(self) -> int:
        """Rows of the largest batch."""
        return max(self.rows.values())

    def of(self, tokens: int) -> int:
        """The length that a prompt of so many tokens is padded (or cut) to."""
        return next((n for n in self.lengths if n >= tokens), self.longest)

    def batches(self, lengths: Sequence[int]) -> list[np.ndarray]:
        """Which prompts go together: positions, longest prompts first.

        The longest prompt that is left decides a batch's shape, and the next ones fill it: rows
        would be computed anyway, and no other division needs fewer batches of any length.
        """
        order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
        batches, first = [], 0
        while first < len(order):
            rows = self.rows[self.of(lengths[order[first]])]
            batches.append(order[first : first + rows])
            first += rows
        return batches

    def pad(self, prompts: Sequence[np.ndarray]) -> np.ndarray:
        """[rows, length] of one batch: the prompts padded with 0, and rows of padding alone.

        A prompt longer than the longest bucket is cut before its last token (EOS).
        """
        length = self.of(max(len(p) for p in prompts))
        return pad_rows([cut(p, length) for p in prompts], rows=self.rows[length], length=length)


def cut(prompt: np.ndarray, length: int) -> np.ndarray:
    """The prompt in at most `length` tokens, the last of which (EOS) stays."""
    if len(prompt) <= length:
        return prompt
    return np.concatenate([prompt[: length - 1], prompt[-1:]])


def pad_rows(sequences: Sequence[np.ndarray], *, rows: int, length: int) -> np.ndarray:
    """int32 [rows, length] with a sequence in each of the first rows, 0 elsewhere."""
    padded = np.zeros((rows, length), np.int32)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = sequence
    return padded


def length_buckets(longest: int) -> tuple[int, ...]:
    """Powers of two from 32, above 256 also half-way between them, then `longest` itself.

    Padding costs most where prompts are long, so buckets lie closer there.
    """
    buckets = []
    size = 32
    while size < longest:
        buckets.append(size)
        if size >= 256 and size * 3 // 2 < longest:
            buckets.append(size * 3 // 2)
        size *= 2
    return (*buckets, longest)
