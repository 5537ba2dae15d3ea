"""Timing by rounds: every contestant once a round, in turn, so that all meet the same weather."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_LEAST_SECONDS = 0.25  # a shorter run is repeated within its round


@dataclass(frozen=True)
class Times:
    """Seconds of one run, one figure per round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.seconds)

    @property
    def fastest(self) -> float:
        """The best round."""
        return min(self.seconds)

    @property
    def slowest(self) -> float:
        """The worst round."""
        return max(self.seconds)


def time_rounds(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    between: Callable[[], None] | None = None,
) -> dict[str, Times]:
    """Times each contestant once a round, after one run of each that does not count.

    Args:
        contestants: what to run; a call returns when its work is done.
        rounds: how many.
        between: called before every contestant, e.g. to sample the machine.

    Returns:
        The times of each; round r of all contestants lies within seconds of each other, so
        ratios are taken round by round (`ratios`).
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    repeats = {}
    for name, run in contestants.items():
        start = time.perf_counter()
        run()
        repeats[name] = max(1, round(_LEAST_SECONDS / max(time.perf_counter() - start, 1e-6)))
    for number in range(rounds):
        order = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
        for name in order:
            if between is not None:
                between()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                contestants[name]()
            taken[name].append((time.perf_counter() - start) / repeats[name])
    return {name: Times(tuple(seconds)) for name, seconds in taken.items()}


def ratios(ours: Times, theirs: Times) -> Times:
    """How many times as long the other took, round by round; above 1 we are faster."""
    return Times(tuple(b / a for a, b in zip(ours.seconds, theirs.seconds, strict=True)))
