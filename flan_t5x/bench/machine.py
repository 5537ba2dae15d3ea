"""What this machine gives: its matrix-product rate, the memory a process has taken, one core."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp


@dataclass
class MatmulRate:
    """FLOP/s of a square matrix product, sampled between the rounds of a benchmark.

    Other users of the machine slow the product and the step alike, so a utilisation is the ratio
    of medians of the same minutes, not of a figure from a data sheet.

    Attributes:
        size: rows and columns.
        dtype: of the factors.
        samples: FLOP/s so far.
    """

    size: int = 2048
    dtype: str = "float32"
    samples: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._factor = jnp.ones((self.size, self.size), self.dtype)
        self._product = jax.jit(jnp.dot)
        self._product(self._factor, self._factor).block_until_ready()

    def sample(self, *, seconds: float = 0.4) -> None:
        """Measures for about so many seconds and keeps the median."""
        taken: list[float] = []
        end = time.perf_counter() + seconds
        while not taken or time.perf_counter() < end:
            start = time.perf_counter()
            self._product(self._factor, self._factor).block_until_ready()
            taken.append(time.perf_counter() - start)
        self.samples.append(2 * self.size**3 / statistics.median(taken))

    @property
    def median(self) -> float:
        """FLOP/s, the median over samples."""
        return statistics.median(self.samples)


def peak_rss_bytes() -> int:
    """Most resident memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes but on macOS


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps this thread and those it starts on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
