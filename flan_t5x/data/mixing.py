"""Which task and which example stand at each draw of a mixture: a pure function of the draw.

Draws come in windows. The draws of a window are shared among tasks by systematic sampling, so a
task gets its share of every window to within one draw. The examples of a task follow one another
through a fresh permutation per epoch. Nothing is carried along: any window can be asked for at
once. All arithmetic on draws is in integers, and random bits come from Philox (a counter-based
generator whose raw stream NumPy keeps stable) or from hashes, so that every platform agrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b

import numpy as np
from jaxtyping import Float64, Int32, Int64

from flan_t5x.data.permutation import hash64, permute
from flan_t5x.errors import UserError

_UNIT_BITS = 40  # shares are multiples of 2**-40
_MAX_WINDOW = 1 << 20  # share x window stays below 2**60
_KEPT = 4  # windows whose draw counts are remembered


@dataclass(frozen=True)
class Draws:
    """The draws of one window, in stream order.

    Attributes:
        task: int32 [window], position in the mixture's list of tasks.
        example: int64 [window], index into the task's examples.
        epoch: int64 [window], how often the task has been gone through before.
    """

    task: Int32[np.ndarray, " window"]
    example: Int64[np.ndarray, " window"]
    epoch: Int64[np.ndarray, " window"]


class MixtureOrder:
    """The order of a mixture.

    Args:
        names: tasks; a task's permutations depend on its name and the seed alone, so they stay
            as they are when other tasks are added, removed or weighted differently.
        rates: float64 [tasks], weights of any positive sum; 0 for a task that is never drawn.
        sizes: int64 [tasks], examples of each task, at least 1.
        seed: any integer.
        window: draws per window.

    Attributes:
        shares: float64 [tasks], each task's expected share of the draws.

    Raises:
        UserError: no tasks, a name twice, a rate that is negative or not finite, rates that sum
            to 0, a task without examples, a window out of range. The message names the task.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        rates: Float64[np.ndarray, " tasks"] | Sequence[float],
        sizes: Int64[np.ndarray, " tasks"] | Sequence[int],
        seed: int,
        window: int,
    ) -> None:
        _check(names, rates, sizes, window)
        self.names = tuple(names)
        self.sizes = np.array(sizes, np.int64)
        self.seed = seed
        self.size_of_window = window
        shares = _cumulative_shares([float(r) for r in rates])
        self.shares = np.diff(shares, prepend=0) / float(1 << _UNIT_BITS)
        cumulative = shares * window
        # floor(cumulative + u) is `base`, and one more where u >= `threshold`.
        self._base = cumulative >> _UNIT_BITS
        self._threshold = (1 << _UNIT_BITS) - (cumulative & ((1 << _UNIT_BITS) - 1))
        self._task_keys = np.array(
            [random_key("task", seed, name) & (1 << 64) - 1 for name in names], np.uint64
        )
        self._sharing = random_key("sharing", seed)
        self._known: dict[int, Int64[np.ndarray, " tasks"]] = {}

    def window(self, index: int) -> Draws:
        """The draws of window `index` (0, 1, 2, …)."""
        before = self.draws_before(index)
        counts = self._counts(index)
        task = np.repeat(np.arange(len(counts)), counts)
        first = np.cumsum(counts) - counts
        count = before[task] + np.arange(self.size_of_window) - first[task]
        epoch, position = np.divmod(count, self.sizes[task])
        keys = hash64(self._task_keys[task] + hash64(epoch.astype(np.uint64)))
        example = permute(position, self.sizes[task], keys)
        order = shuffled(self.size_of_window, "draws", self.seed, index)
        self._remember(index + 1, before + counts)
        return Draws(task=task[order].astype(np.int32), example=example[order], epoch=epoch[order])

    def draws_before(self, index: int) -> Int64[np.ndarray, " tasks"]:
        """How often each task is drawn in windows 0..index-1, in one sort of `index` numbers."""
        if index not in self._known:
            units = np.sort(self._units(0, index))
            ups = index - np.searchsorted(units, self._threshold, side="left")
            self._remember(index, np.diff(index * self._base + ups, prepend=0))
        return self._known[index]

    def _counts(self, index: int) -> Int64[np.ndarray, " tasks"]:
        """Draws of each task in a window: the cumulative shares plus one uniform, rounded down.

        Systematic sampling: the expected count is the share exactly, whatever the uniform.
        """
        return np.diff(self._base + (self._units(index, 1)[0] >= self._threshold), prepend=0)

    def _units(self, start: int, count: int) -> Int64[np.ndarray, " count"]:
        """The uniforms of windows start..start+count-1, in units of 2**-40."""
        raw = _philox(self._sharing, start // 4).random_raw(start % 4 + count)[start % 4 :]
        return (raw >> np.uint64(64 - _UNIT_BITS)).astype(np.int64)

    def _remember(self, index: int, counts: Int64[np.ndarray, " tasks"]) -> None:
        self._known.pop(index, None)
        self._known[index] = counts
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]


def shuffled(count: int, *key: str | int) -> Int64[np.ndarray, " count"]:
    """A random order of 0..count-1 that is a pure function of the key."""
    return np.argsort(_philox(random_key(*key)).random_raw(count), kind="stable")


def random_key(*parts: str | int) -> int:
    """128 bits from strings and integers; different parts give different bits."""
    text = "".join(f"{type(part).__name__}{len(str(part))}:{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")


def _philox(key: int, block: int = 0) -> np.random.Philox:
    """Philox4x64 from a block of its stream on: block n holds the raw numbers 4n..4n+3."""
    return np.random.Philox(key=key, counter=block)


def _cumulative_shares(rates: list[float]) -> Int64[np.ndarray, " tasks"]:
    """Running sums of the rates in units of 2**-40, exact before rounding; the last is 2**40."""
    exact = [Fraction(rate) for rate in rates]
    total = sum(exact)
    sums, running = [], Fraction(0)
    for rate in exact:
        running += rate
        sums.append(math.floor(running / total * (1 << _UNIT_BITS) + Fraction(1, 2)))
    return np.array(sums, np.int64)


def _check(
    names: Sequence[str],
    rates: Float64[np.ndarray, " tasks"] | Sequence[float],
    sizes: Int64[np.ndarray, " tasks"] | Sequence[int],
    window: int,
) -> None:
    if not len(names) == len(rates) == len(sizes):
        raise ValueError(f"{len(names)} names, {len(rates)} rates, {len(sizes)} sizes")
    if not names:
        raise UserError("the mixture has no tasks; name at least one task or mixture")
    if not 1 <= window <= _MAX_WINDOW:
        raise UserError(f"a window of {window} draws is out of range; give 1..{_MAX_WINDOW}")
    seen: set[str] = set()
    for name, rate, size in zip(names, rates, sizes, strict=True):
        if name in seen:
            raise UserError(f"task {name} stands twice in the mixture; merge its rates into one")
        seen.add(name)
        if not (math.isfinite(rate) and rate >= 0):
            raise UserError(f"task {name} has rate {rate}; a rate is a number of 0 or more")
        if size < 1:
            raise UserError(
                f"task {name} has no training examples; take it out of the mixture or mend its "
                "source (the cache's report.json counts rejected rows by reason)"
            )
    if not any(rates):
        raise UserError(f"all {len(names)} tasks of the mixture have rate 0; give one a rate")
