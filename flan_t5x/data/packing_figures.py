"""Prints the figures of the packing planner: ``python -m flan_t5x.data.packing_figures``.

For each length distribution: fill against `packing_bound` over several windows (mean and worst),
the mean of the highest fill that is provably possible (`packing_bound / rows_needed`), and the
processor time per example of the median window.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from flan_t5x.data.packing import efficiency, packing_bound, plan_window, rows_needed

Sizes = Int64[np.ndarray, "examples 2"]


@dataclass(frozen=True)
class Figures:
    """Outcome for one distribution; fills are at most 1.

    Attributes:
        mean_fill: of the windows, against `packing_bound`.
        worst_fill: the lowest of them.
        possible_fill: mean of what no plan can exceed.
        microseconds: processor time per example, of the median window.
    """

    mean_fill: float
    worst_fill: float
    possible_fill: float
    microseconds: float


def log_normal(
    inputs: tuple[float, float], targets: tuple[float, float], capacity: tuple[int, int]
) -> Callable[[np.random.Generator, int], Sizes]:
    """Lengths exp(N(mean, deviation)), clipped to 8..capacity and 2..capacity."""

    def draw(generator: np.random.Generator, count: int) -> Sizes:
        long = np.clip(np.exp(generator.normal(*inputs, count)), 8, capacity[0])
        short = np.clip(np.exp(generator.normal(*targets, count)), 2, capacity[1])
        return np.stack([long, short], axis=1).astype(np.int64)

    return draw


def uniform(
    inputs: tuple[int, int], targets: tuple[int, int]
) -> Callable[[np.random.Generator, int], Sizes]:
    """Whole lengths between two bounds, both included."""

    def draw(generator: np.random.Generator, count: int) -> Sizes:
        sides = [generator.integers(low, high + 1, count) for low, high in (inputs, targets)]
        return np.stack(sides, axis=1)

    return draw


# name: (what it draws, capacity); the first is the distribution of the project's target.
DISTRIBUTIONS = {
    "log-normal, inputs bind": (log_normal((5, 0.9), (2.7, 1.2), (1024, 256)), (1024, 256)),
    "log-normal, targets bind": (log_normal((4.2, 0.9), (4, 0.9), (1024, 256)), (1024, 256)),
    "log-normal, both bind": (log_normal((5, 0.9), (3.62, 0.9), (1024, 256)), (1024, 256)),
    "log-normal, 2048/512": (log_normal((5, 0.9), (2.7, 1.2), (2048, 512)), (2048, 512)),
    "short, inputs bind": (uniform((20, 60), (2, 10)), (512, 128)),
    "short, targets bind": (uniform((20, 60), (5, 39)), (512, 128)),
    "short, both bind": (uniform((20, 60), (2, 18)), (512, 128)),
    "two or three a row": (uniform((200, 599), (2, 39)), (1024, 256)),
}


def measure(name: str, *, windows: int, window: int, seed: int) -> Figures:
    """Plans `windows` windows of `window` examples drawn from a distribution of the table."""
    draw, capacity = DISTRIBUTIONS[name]
    fills, possible, seconds = [], [], []
    for index in range(windows):
        sizes = draw(np.random.default_rng([seed, index]), window)
        start = time.process_time()
        plan = plan_window(sizes, capacity)
        seconds.append(time.process_time() - start)
        fills.append(efficiency(plan, sizes, capacity))
        possible.append(packing_bound(sizes, capacity) / rows_needed(sizes, capacity))
    return Figures(
        mean_fill=float(np.mean(fills)),
        worst_fill=min(fills),
        possible_fill=float(np.mean(possible)),
        microseconds=float(np.median(seconds)) / window * 1e6,
    )


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description="Figures of the packing planner.")
    parser.add_argument("--windows", type=int, default=20, help="windows per distribution")
    parser.add_argument("--window", type=int, default=4096, help="examples per window")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{options.windows} windows of {options.window} examples, seed {options.seed}")
    print(f"{'lengths':26s}  fill: mean   worst  possible  us/example")
    for name in DISTRIBUTIONS:
        figures = measure(name, windows=options.windows, window=options.window, seed=options.seed)
        print(
            f"{name:26s}      {figures.mean_fill:.4f}  {figures.worst_fill:.4f}"
            f"    {figures.possible_fill:.4f}  {figures.microseconds:10.1f}"
        )


if __name__ == "__main__":
    main()
