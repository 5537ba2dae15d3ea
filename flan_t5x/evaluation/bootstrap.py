"""How far a score would move with other examples: 95 % intervals by resampling (Efron 1979)."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flan_t5x.evaluation.scoring import TaskScore

RESAMPLES = 2_000
_LEVEL = 0.95
_ROWS = 1 << 22  # indices drawn at once


class Interval(NamedTuple):
    """A 95 % interval, in the figure's own unit."""

    low: float
    high: float


def generator(name: str, seed: int) -> np.random.Generator:
    """The random numbers of one task: a function of its name and the seed alone."""
    digest = blake2b(f"{name} {seed}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def resampled_means(
    task: TaskScore, resamples: int, seed: int
) -> Float[np.ndarray, " resamples"] | None:
    """The task's score on examples drawn again with replacement, as many as there were.

    Returns:
        None where the score is no mean of its examples' scores (a corpus metric).
    """
    scores = np.asarray(task.example_scores, np.float64)
    if not len(scores) or not math.isclose(scores.mean(), task.score, abs_tol=1e-9):
        return None
    return drawn_means(scores, resamples, generator(task.name, seed))


def drawn_means(
    scores: Float[np.ndarray, " examples"], resamples: int, random: np.random.Generator
) -> Float[np.ndarray, " resamples"]:
    """Means of `resamples` draws with replacement of all examples."""
    count = len(scores)
    if np.isin(scores, (0.0, 1.0)).all():  # the number of hits of a draw is binomial
        return random.binomial(count, scores.mean(), resamples) / count
    step = max(_ROWS // count, 1)
    found = [
        scores[random.integers(count, size=(min(step, resamples - first), count))].mean(axis=1)
        for first in range(0, resamples, step)
    ]
    return np.concatenate(found)


def interval(draws: Float[np.ndarray, " draws"]) -> Interval:
    """The middle 95 % of the draws (percentile method)."""
    tail = (1.0 - _LEVEL) / 2.0
    low, high = np.quantile(draws, (tail, 1.0 - tail))
    return Interval(float(low), float(high))
