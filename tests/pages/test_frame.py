"""Scales and round numbers."""

from __future__ import annotations

import doctest

import pytest

from flan_t5x.pages import frame
from flan_t5x.pages.frame import Frame, log_ticks, short, ticks


def test_docstrings() -> None:
    assert doctest.testmod(frame).failed == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.3, 10.6, [2.0, 4.0, 6.0, 8.0, 10.0]),
        (0.0, 100_000.0, [0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0, 100_000.0]),
        (-0.031, 0.02, [-0.02, 0.0, 0.02]),
        (3.0, 3.0, [3.0]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected, abs=1e-12)


def test_short_numbers() -> None:
    assert [short(x) for x in (0.25, 12.0, 3_400.0, 1.25e6, 0.0)] == [
        "0.25",
        "12",
        "3.4k",
        "1.25M",
        "0",
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-4, 1e-1, [1e-4, 1e-3, 1e-2, 1e-1]),
        (1.0, 1e9, [1.0, 100.0, 1e4, 1e6, 1e8]),
        (2.1, 4.6, [3.0, 4.0]),
    ],
)
def test_logarithmic_ticks(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(expected)


def test_a_logarithmic_frame() -> None:
    found = Frame.around([1.0, 100.0], [0.0, 2.0], scale="log")
    assert [found.x(x) for x in (1.0, 10.0, 100.0)] == pytest.approx([0.0, 0.5, 1.0])
    assert found.x_ticks([1.0, 50.0, 100.0]) == [1.0, 50.0, 100.0]
    assert found.x_ticks([1.0, 99.0, 100.0]) == log_ticks(1.0, 100.0)  # two are too near
    alone = Frame.around([3.0], [0.0], scale="log")
    assert (alone.right, alone.x(3.0)) == (6.0, 0.0)
