"""The part of the plane that a chart shows: scales, and round numbers along them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Scale = Literal["linear", "log"]

FEW = 8
"""So many places, or fewer, are named one by one along a logarithmic scale."""
_APART = 0.07  # of the width, at least, for all of them to be named


@dataclass(frozen=True)
class Frame:
    """What is drawn.

    Attributes:
        left: least x.
        right: greatest x.
        low: least y.
        high: greatest y.
        scale: of x.
    """

    left: float
    right: float
    low: float
    high: float
    scale: Scale = "linear"

    @classmethod
    def around(
        cls,
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        bounds: tuple[float, float] | None = None,
        scale: Scale = "linear",
    ) -> Frame:
        """Holds all places.

        Args:
            xs: at least one.
            ys: at least one.
            bounds: least and greatest y instead of those of `ys`.
            scale: of x.

        Raises:
            ValueError: an x that a logarithmic scale does not have.
        """
        left, right = min(xs), max(xs)
        if scale == "log" and left <= 0:
            raise ValueError(f"x {left:g} on a logarithmic scale")
        low, high = bounds or (min(ys), max(ys))
        if high - low <= 0:
            low, high = low - 0.5, high + 0.5
        if right <= left:
            right = 2 * left if scale == "log" else left + 1
        return cls(left, right, low, high, scale)

    def x(self, value: float) -> float:
        """Share of the width, from the left."""
        if self.scale == "log":
            return math.log(value / self.left) / math.log(self.right / self.left)
        return (value - self.left) / (self.right - self.left)

    def y(self, value: float) -> float:
        """Share of the height, from the top; what is outside is drawn at the edge."""
        return min(max((self.high - value) / (self.high - self.low), 0.0), 1.0)

    def x_ticks(self, xs: Sequence[float]) -> list[float]:
        """Places to name below the drawing.

        Args:
            xs: where points are, by growing x.
        """
        if self.scale == "log":
            shares = [self.x(x) for x in xs]
            gaps = [b - a for a, b in pairwise(shares)]
            if len(xs) <= FEW and min(gaps, default=1.0) >= _APART:
                return list(xs)
            return log_ticks(self.left, self.right)
        steps = ticks(self.left, self.right)
        if all(float(x).is_integer() for x in xs):
            steps = [step for step in steps if abs(step - round(step)) < 1e-9]
        return steps


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) between two, about so many."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * m for m in (1, 2, 5, 10, 20) if span / (power * m) <= about)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first
    return [(first + i) * step for i in range(count + 1)]


def log_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Powers of ten between two positive numbers, or 1, 2 and 5 times them where those are few.

    Example:
        >>> log_ticks(1.0, 20_000.0)
        [1.0, 10.0, 100.0, 1000.0, 10000.0]
        >>> log_ticks(3.0, 60.0)
        [5.0, 10.0, 20.0, 50.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for factors in ((1,), (1, 3), (1, 2, 5)):
        places = [float(f"{factor}e{power}") for power in powers for factor in factors]
        within = [x for x in places if low * (1 - 1e-9) <= x <= high * (1 + 1e-9)]
        if found and len(within) > about:
            break
        found = within
    every = math.ceil(len(found) / about) if found else 1
    return found[::every] if len(found) > 1 else ticks(low, high, 4)


def short(value: float) -> str:
    """A number in few letters: 0.25, 12, 3.4k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
