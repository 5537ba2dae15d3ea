"""Shapes: the way in and the way out are inverse; factoring is the optimizer's."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.checkpoint.convert.shapes import (
    meeting_shape,
    moment_shapes,
    stored_shape,
    to_meeting,
)
from flan_t5x.checkpoint.convert.table import ROWS, Place
from flan_t5x.checkpoint.convert.write_t5x import chunk_shape
from flan_t5x.train.optimizer import factoring

sides = st.integers(1, 9)


@given(st.sampled_from(ROWS), sides, sides, sides, st.sampled_from(["t5x", "hf", "stack", "scan"]))
def test_stored_and_meeting_shapes_are_inverse(
    row: object, first: int, second: int, count: int, way: str
) -> None:
    assert hasattr(row, "dims")
    shape = (first, second)[: len(row.dims)]
    layout = "hf" if way == "hf" else "t5x"
    axis = {"stack": 0, "scan": 1}.get(way)
    place = Place(row, None, axis)  # type: ignore[arg-type]
    stored = stored_shape(shape, place, layout, count)  # type: ignore[arg-type]
    assert meeting_shape(stored, place, layout) == shape  # type: ignore[arg-type]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_heads_apart_are_joined_as_t5x_joins_them(emb: int, heads: int, dim: int) -> None:
    query = next(r for r in ROWS if r.name == "encoder/layers/attention/query/kernel")
    out = next(r for r in ROWS if r.name == "encoder/layers/attention/out/kernel")
    x = np.arange(emb * heads * dim, dtype=np.float32)
    apart = x.reshape(emb, heads, dim)
    joined = to_meeting(apart, Place(query, 0, None), 0, "t5x")
    for h in range(heads):
        np.testing.assert_array_equal(joined[:, h * dim : (h + 1) * dim], apart[:, h])
    apart = x.reshape(heads, dim, emb)
    joined = to_meeting(apart, Place(out, 0, None), 0, "t5x")
    for h in range(heads):
        np.testing.assert_array_equal(joined[h * dim : (h + 1) * dim], apart[h])


big = st.integers(1, 400)


@given(st.one_of(st.tuples(big), st.tuples(big, big)))
def test_moment_shapes_are_those_of_the_optimizer(shape: tuple[int, ...]) -> None:
    plan = factoring(shape, stacked=False, min_dim_size_to_factor=128)
    found = moment_shapes(shape)
    if plan.row is None or plan.col is None:
        assert found == {"v_row": (1,), "v_col": (1,), "v": shape}
    else:
        assert found == {"v_row": (shape[plan.row],), "v_col": (shape[plan.col],), "v": (1,)}


@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=2), st.sampled_from([2, 4]))
def test_chunks_are_even_and_at_most_64_mib(shape: list[int], itemsize: int) -> None:
    chunks = chunk_shape(tuple(shape), itemsize)
    assert math.prod(chunks) * itemsize <= 64 << 20
    assert all(n % c == 0 for n, c in zip(shape, chunks, strict=True))
    if math.prod(shape) * itemsize <= 64 << 20:
        assert chunks == tuple(shape)
