"""Draws: pinned values, so that no rendered text ever changes by accident; and uniformity."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.data.draws import Draws

keys = st.lists(st.one_of(st.integers(), st.text(max_size=20)), max_size=4).map(tuple)


def test_values_never_change():
    draws = Draws("mini_colour_zs", 17, 0)
    assert [draws.integer(1000) for _ in range(10)] == [
        546,
        257,
        357,
        556,
        979,
        330,
        154,
        818,
        932,
        532,
    ]
    assert draws.uniform() == 0.35117443391203484
    assert Draws("ü€", -3).shuffled("abcdefgh") == list("gdachebf")


@given(keys, keys)
def test_another_key_gives_another_stream(one, other):
    streams = [[Draws(*key).integer(2**60) for _ in range(2)] for key in (one, other)]
    same = [(type(k), k) for k in one] == [(type(k), k) for k in other]
    assert (streams[0] == streams[1]) == same


def test_neighbouring_keys_do_not_run_together():
    starts = {Draws(*key).integer(2**60) for key in [("a", "b"), ("ab",), ("a", 1), ("a", "1")]}
    assert len(starts) == 4


@given(keys, st.integers(1, 10**12))
def test_integers_are_in_range(key, n):
    draws = Draws(*key)
    assert all(0 <= draws.integer(n) < n for _ in range(20))


@given(keys)
def test_uniform_is_in_range(key):
    draws = Draws(*key)
    assert all(0 <= draws.uniform() < 1 for _ in range(20))


@given(keys, st.lists(st.integers(), max_size=30), st.data())
def test_sample_takes_different_positions(key, values, data):
    k = data.draw(st.integers(0, len(values)))
    taken = Draws(*key).sample(range(len(values)), k)
    assert len(taken) == len(set(taken)) == k
    assert Draws(*key).sample(values, k) == [values[i] for i in taken]


def test_integers_are_uniform():
    draws = Draws("uniform")
    counts = Counter(draws.integer(7) for _ in range(70_000))
    chi_square = sum((c - 10_000) ** 2 / 10_000 for c in counts.values())
    assert len(counts) == 7
    assert chi_square < 22.5  # 6 degrees of freedom, 0.1 %


def test_all_orders_of_a_shuffle_are_equally_likely():
    counts = Counter("".join(Draws("shuffle", i).shuffled("abc")) for i in range(12_000))
    assert sorted(counts) == sorted(map("".join, itertools.permutations("abc")))
    chi_square = sum((c - 2_000) ** 2 / 2_000 for c in counts.values())
    assert chi_square < 20.5  # 5 degrees of freedom, 0.1 %


@pytest.mark.parametrize(
    "bad",
    [
        lambda d: d.integer(0),
        lambda d: d.choice([]),
        lambda d: d.sample([1, 2], 3),
        lambda d: d.sample([1], -1),
    ],
)
def test_impossible_draws_raise(bad):
    with pytest.raises(ValueError, match="cannot draw"):
        bad(Draws("x"))
