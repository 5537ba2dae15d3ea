"""From token lists and their places to the arrays that the model is fed.

Names of features are T5X's. All are int32 [rows, length]; unused positions are 0 everywhere:

    encoder_input_tokens    inputs, one example after the other
    encoder_segment_ids     1 for the first example of a row, 2 for the second, ...
    encoder_positions       0, 1, 2, ... within each example
    decoder_target_tokens   targets
    decoder_input_tokens    targets shifted right within each example, 0 (the start) first
    decoder_segment_ids     like the encoder's: attention stays within equal numbers
    decoder_positions       0, 1, 2, ... within each example
    decoder_loss_weights    1 where a target stands
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int32

Batch = dict[str, Int32[np.ndarray, "rows length"]]
Tokens = Int32[np.ndarray, " tokens"]

FEATURES = (
    "encoder_input_tokens",
    "encoder_segment_ids",
    "encoder_positions",
    "decoder_target_tokens",
    "decoder_input_tokens",
    "decoder_segment_ids",
    "decoder_positions",
    "decoder_loss_weights",
)


def assemble_rows(
    inputs: Sequence[Tokens],
    targets: Sequence[Tokens],
    *,
    row: Int[np.ndarray, " examples"],
    slot: Int[np.ndarray, " examples"],
    num_rows: int,
    capacity: tuple[int, int],
) -> Batch:
    """Lays examples into rows.

    Args:
        inputs: input tokens of each example, EOS included.
        targets: target tokens of each example, EOS included.
        row: the row of each example, 0..num_rows-1.
        slot: its place in the row; its segment id is one more.
        num_rows: rows of the batch; rows without examples are all zeros.
        capacity: lengths of a row's (inputs, targets).

    Returns:
        The features named in `FEATURES`.

    Raises:
        ValueError: a row is over capacity.
    """
    order = np.lexsort((slot, row))
    row, segment = np.asarray(row)[order], np.asarray(slot)[order] + 1
    encoder = _Layout([inputs[i] for i in order], row, num_rows, capacity[0])
    decoder = _Layout([targets[i] for i in order], row, num_rows, capacity[1])
    shifted = np.empty_like(decoder.tokens)
    shifted[1:] = decoder.tokens[:-1]
    shifted[decoder.position == 0] = 0
    return {
        "encoder_input_tokens": encoder.spread(encoder.tokens),
        "encoder_segment_ids": encoder.spread(encoder.of_each(segment)),
        "encoder_positions": encoder.spread(encoder.position),
        "decoder_target_tokens": decoder.spread(decoder.tokens),
        "decoder_input_tokens": decoder.spread(shifted),
        "decoder_segment_ids": decoder.spread(decoder.of_each(segment)),
        "decoder_positions": decoder.spread(decoder.position),
        "decoder_loss_weights": decoder.spread(np.ones_like(decoder.tokens)),
    }


class _Layout:
    """Where each token of one side goes. Examples must come sorted by (row, slot).

    Attributes:
        tokens: int32 [tokens], all tokens in the order of the examples.
        position: int [tokens], place of each token in its example.
    """

    def __init__(
        self,
        examples: Sequence[Tokens],
        row: Int[np.ndarray, " examples"],
        num_rows: int,
        length: int,
    ) -> None:
        self._shape = (num_rows, length)
        self._sizes = np.fromiter(map(len, examples), np.int64, len(examples))
        used = np.bincount(row, weights=self._sizes, minlength=num_rows).astype(np.int64)
        if len(used) > num_rows or used.max(initial=0) > length:
            raise ValueError(
                f"{used.max()} tokens in a row of {length}, rows 0..{len(used) - 1} of {num_rows}"
            )
        begins = np.cumsum(self._sizes) - self._sizes
        row_begins = np.cumsum(used) - used
        self.tokens = np.concatenate(examples) if examples else np.zeros(0, np.int32)
        index = np.arange(len(self.tokens))
        self.position = index - self.of_each(begins)
        self._place = index + self.of_each(row * length - row_begins[row])

    def of_each(self, values: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " tokens"]:
        """A value per example, repeated for each of its tokens."""
        return np.repeat(values, self._sizes)

    def spread(self, values: Int[np.ndarray, " tokens"]) -> Int32[np.ndarray, "rows length"]:
        """A value per token, put where the token stands; zeros elsewhere."""
        out = np.zeros(self._shape, np.int32)
        out.reshape(-1)[self._place] = values
        return out
