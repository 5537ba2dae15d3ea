"""Slices against Python's own, and their messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_t5x.data.sources.slices import Piece, resolve_slices, sub_range
from flan_t5x.errors import UserError

SIZES = {"train": 1000, "test": 40, "empty": 0}
BOUND = st.none() | st.integers(-70, 70)


def rows(spec: str) -> list[tuple[str, int]]:
    pieces = resolve_slices(spec, SIZES, of="toy:1.0.0")
    return [(p.split, i) for p in pieces for i in range(p.start, p.stop)]


@given(BOUND, BOUND)
def test_bounds_count_as_in_python(low, high):
    spec = f"test[{'' if low is None else low}:{'' if high is None else high}]"
    assert [i for _, i in rows(spec)] == list(range(40))[low:high]


def test_percent_and_sums():
    assert resolve_slices("train[10%:-20%] + test", SIZES, of="x") == (
        Piece("train", 100, 800),
        Piece("test", 0, 40),
    )
    assert resolve_slices("empty", SIZES, of="x") == ()


def test_the_parts_of_a_split_meet_without_a_gap():
    assert rows("train[:-200]+train[-200:]") == rows("train") == rows("train[:33%]+train[33%:]")


@given(st.integers(0, 130), st.integers(0, 130))
def test_a_range_over_several_pieces(start, stop):
    spec = "train[:50]+test+train[90:100]"
    pieces = resolve_slices(spec, SIZES, of="x")
    got = [(p.split, i) for p in sub_range(pieces, start, stop) for i in range(p.start, p.stop)]
    assert got == rows(spec)[start:stop]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tran", r"toy:1\.0\.0 has no split 'tran': did you mean 'train'\?$"),
        ("xyz", r"has no split 'xyz': it has train, test, empty\.$"),
        ("train[5]", "'train\\[5\\]' is not a slice; write e.g."),
        ("train[::2]", "is not a slice"),
        ("train+", "is not a slice"),
        ("", "is not a slice"),
    ],
)
def test_messages(spec, message):
    with pytest.raises(UserError, match=message):
        rows(spec)
