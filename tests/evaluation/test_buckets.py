"""Buckets: few shapes, bounded memory, as few batches as can be."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.evaluation.buckets import Buckets, cut, length_buckets


def test_lengths() -> None:
    assert length_buckets(8) == (8,)
    assert length_buckets(32) == (32,)
    assert length_buckets(100) == (32, 64, 100)
    assert length_buckets(1024) == (32, 64, 128, 256, 384, 512, 768, 1024)
    assert length_buckets(400) == (32, 64, 128, 256, 384, 400)


def test_long_prompts_have_small_batches() -> None:
    buckets = Buckets(2048, batch_size=256, max_batch_tokens=16384)
    assert buckets.rows[32] == buckets.rows[64] == 256
    assert buckets.rows[256] == 64
    assert buckets.rows[2048] == 8
    assert Buckets(2048, batch_size=256, max_batch_tokens=100).rows[2048] == 1
    assert Buckets(64, batch_size=6, parts=8).rows == {32: 8, 64: 8}


def test_the_longest_left_decides_and_others_fill_its_batch() -> None:
    buckets = Buckets(80, batch_size=4)
    batches = buckets.batches([9, 1, 5, 5, 2, 70])
    assert [b.tolist() for b in batches] == [[5, 0, 2, 3], [4, 1]]
    assert buckets.batches([]) == []


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 40), st.integers(1, 2000))
def test_every_prompt_once_and_within_the_budget(
    lengths: list[int], batch_size: int, tokens: int
) -> None:
    buckets = Buckets(512, batch_size=batch_size, max_batch_tokens=tokens)
    batches = buckets.batches(lengths)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = buckets.pad([np.ones(lengths[i], np.int32) for i in batch])
        assert len(batch) <= len(padded) <= batch_size
        assert len(padded) == 1 or padded.size <= tokens
    # No division of the sorted prompts can do with fewer batches in the longest bucket.
    longest = [n for n in lengths if buckets.of(n) == 512]
    here = sum(buckets.of(max(lengths[i] for i in b)) == 512 for b in batches)
    assert here == math.ceil(len(longest) / buckets.rows[512])


def test_a_cut_prompt_keeps_its_end_token() -> None:
    assert cut(np.array([5, 6, 7, 1]), 3).tolist() == [5, 6, 1]
    assert cut(np.array([5, 1]), 3).tolist() == [5, 1]
