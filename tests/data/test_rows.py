"""Assembly against a token-by-token reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.rows import FEATURES, Batch, assemble_rows

LENGTHS = (24, 9)


def reference(
    examples: list[tuple[list[int], list[int]]], rows: list[int], slots: list[int], num_rows: int
) -> Batch:
    """The same by loops, one token at a time."""
    out = {
        name: np.zeros((num_rows, LENGTHS[not name.startswith("encoder")]), np.int32)
        for name in FEATURES
    }
    for row in range(num_rows):
        at_input = at_target = 0
        for slot, place in sorted((slots[i], i) for i in range(len(rows)) if rows[i] == row):
            inputs, targets = examples[place]
            for position, token in enumerate(inputs):
                out["encoder_input_tokens"][row, at_input] = token
                out["encoder_segment_ids"][row, at_input] = slot + 1
                out["encoder_positions"][row, at_input] = position
                at_input += 1
            for position, token in enumerate(targets):
                before = targets[position - 1] if position else 0
                out["decoder_target_tokens"][row, at_target] = token
                out["decoder_input_tokens"][row, at_target] = before
                out["decoder_segment_ids"][row, at_target] = slot + 1
                out["decoder_positions"][row, at_target] = position
                out["decoder_loss_weights"][row, at_target] = 1
                at_target += 1
    return out


tokens = st.integers(1, 2**31 - 1)
examples_strategy = st.lists(
    st.tuples(st.lists(tokens, max_size=6), st.lists(tokens, max_size=3)), max_size=9
)


@settings(deadline=None)
@given(examples=examples_strategy, data=st.data())
def test_equals_the_reference(
    examples: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    num_rows = 4
    # At most three examples a row, so that none is over 24 inputs or 9 targets.
    places = data.draw(st.permutations([(r, s) for r in range(num_rows) for s in range(3)]))
    rows = [row for row, _ in places[: len(examples)]]
    slots = [slot for _, slot in places[: len(examples)]]
    found = assemble_rows(
        [np.array(i, np.int32) for i, _ in examples],
        [np.array(t, np.int32) for _, t in examples],
        row=np.array(rows, np.int32),
        slot=np.array(slots, np.int32),
        num_rows=num_rows,
        capacity=LENGTHS,
    )
    expected = reference(examples, rows, slots, num_rows)
    assert tuple(found) == FEATURES
    for name, values in expected.items():
        assert found[name].dtype == np.int32
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_written_out() -> None:
    found = assemble_rows(
        [np.array([7, 8, 1], np.int32), np.array([5, 1], np.int32)],
        [np.array([9, 1], np.int32), np.array([4, 3, 1], np.int32)],
        row=np.array([1, 1]),
        slot=np.array([0, 1]),
        num_rows=2,
        capacity=(6, 6),
    )
    assert {name: values[1].tolist() for name, values in found.items()} == {
        "encoder_input_tokens": [7, 8, 1, 5, 1, 0],
        "encoder_segment_ids": [1, 1, 1, 2, 2, 0],
        "encoder_positions": [0, 1, 2, 0, 1, 0],
        "decoder_target_tokens": [9, 1, 4, 3, 1, 0],
        "decoder_input_tokens": [0, 9, 0, 4, 3, 0],
        "decoder_segment_ids": [1, 1, 2, 2, 2, 0],
        "decoder_positions": [0, 1, 0, 1, 2, 0],
        "decoder_loss_weights": [1, 1, 1, 1, 1, 0],
    }
    assert not any(values[0].any() for values in found.values())


@pytest.mark.parametrize(("row", "length"), [(0, 4), (2, 6)])
def test_a_row_over_capacity_or_out_of_range_is_refused(row: int, length: int) -> None:
    with pytest.raises(ValueError, match="in a row of"):
        assemble_rows(
            [np.ones(5, np.int32)],
            [np.ones(2, np.int32)],
            row=np.array([row]),
            slot=np.array([0]),
            num_rows=2,
            capacity=(length, 4),
        )
