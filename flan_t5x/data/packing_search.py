"""Two searches for short packings in two dimensions, in integer arithmetic.

Both order examples by weight, where a token weighs the more, the scarcer its side (inputs or
targets) is in the window: as in the dot-product and norm-based greedy heuristics for vector bin
packing of Panigrahy, Talwar, Uyeda and Wieder, "Heuristics for Vector Bin Packing" (2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32, Int64

_FULL = 1 << 24  # weight of a whole row; its square, times eight, stays within int64
_SLACK = _FULL // 500  # a row that misses less than this is left as it is
_SAMPLE = 8192  # candidates looked at for the first choice of a row, times examples a row
_PAIR_SAMPLE = 64  # candidates of which all pairs are looked at
_COMPACT_EVERY = 16  # rows between removals of placed examples from the arrays
_TAKEN = 1 << 40  # the length that marks a placed example: it fits nowhere

# Rows of the candidate array, one column per example, longest first.
_INPUTS, _TARGETS, _COST, _EXAMPLE = range(4)


@dataclass(frozen=True)
class Scale:
    """Integer prices of a token, from the totals of a window.

    Attributes:
        weight: price of (an input, a target) token: the side's share of all demand, divided by
            its capacity, so that a full row weighs about `_FULL`.
        tilt: how far a token moves a row from the window's own ratio of inputs to targets; the
            second is subtracted. Near zero where one side is plentiful.
        both_bind: whether the side with less demand has over three quarters of the other's.
    """

    weight: tuple[int, int]
    tilt: tuple[int, int]
    both_bind: bool

    @staticmethod
    def of(sizes: Int64[np.ndarray, "examples 2"], capacity: tuple[int, int]) -> Scale:
        """Prices for examples of these sizes in rows of this capacity (tokens)."""
        demand = (int(sizes[:, 0].sum()) * capacity[1], int(sizes[:, 1].sum()) * capacity[0])
        total, most = max(1, sum(demand)), max(1, *demand)
        # sqrt(share of inputs x share of targets / 2): 0.35 where both sides bind, else less.
        pull = math.isqrt(_FULL * _FULL * demand[0] * demand[1] // (2 * total * total))
        return Scale(
            weight=(
                max(1, _FULL * demand[0] // total // capacity[0]),
                max(1, _FULL * demand[1] // total // capacity[1]),
            ),
            both_bind=4 * min(demand) > 3 * max(demand),
            tilt=(
                pull * demand[1] // (most * capacity[0]),
                pull * demand[0] // (most * capacity[1]),
            ),
        )

    def heaviest_first(
        self, sizes: Int64[np.ndarray, "examples 2"]
    ) -> Int[np.ndarray, " examples"]:
        """Examples by falling weight, those of equal weight in window order."""
        return np.argsort(-(sizes @ np.array(self.weight, np.int64)), kind="stable")


@dataclass
class _Room:
    """What a row that is being filled has left: tokens of both sides, and its tilt so far."""

    inputs: int
    targets: int
    tilt: int

    def without(self, inputs: int, targets: int, scale: Scale) -> _Room:
        tilt = scale.tilt[0] * inputs - scale.tilt[1] * targets
        return _Room(self.inputs - inputs, self.targets - targets, self.tilt + tilt)

    def weight(self, scale: Scale) -> int:
        return scale.weight[0] * self.inputs + scale.weight[1] * self.targets


@dataclass
class _Choice:
    """One step of filling a row: the room and candidates before it, and what it took of them.

    The chosen column stays in `candidates`, its inputs marked as taken.
    """

    room: _Room
    candidates: Int64[np.ndarray, "4 candidates"]
    column: int
    inputs: int
    example: int


def fill_rows(
    sizes: Int64[np.ndarray, "examples 2"],
    capacity: tuple[int, int],
    scale: Scale,
) -> Int32[np.ndarray, " examples"]:
    """Fills one row after the other: the heaviest example left, then what suits it best.

    Each next example brings the room left nearest to nothing (weighted squares of both sides)
    and the row nearest to the window's ratio of inputs to targets, so that neither side runs
    out while the other is left over. A row that ends with over 0.2 % of its weight unused has its
    last one or two choices replaced by the best pair of a sample, where that gains 0.2 %.

    Args:
        sizes: tokens of (inputs, targets) of each example; none above the capacity.
        capacity: tokens of (inputs, targets) that a row holds.
        scale: prices, from `Scale.of`.

    Returns:
        The row of each example, numbered from 0 without gaps.
    """
    order = scale.heaviest_first(sizes)
    left = np.empty((4, len(sizes)), np.int64)
    left[:2] = sizes[order].T
    inputs, targets = left[_INPUTS], left[_TARGETS]
    tilt = scale.tilt[0] * inputs - scale.tilt[1] * targets
    left[_COST] = (scale.weight[0] * inputs) ** 2 + (scale.weight[1] * targets) ** 2 + tilt**2
    left[_EXAMPLE] = order

    rows = np.empty(len(sizes), np.int32)
    where = np.empty(len(sizes), np.int64)  # column of each example in `left`
    where[order] = np.arange(len(sizes))
    row, first = 0, 0
    # Mending short rows helps where both sides bind; else it costs small examples that later
    # rows could use.
    mend_from = 1 if scale.both_bind else 3
    # Rows of few examples need each to fit well; rows of many offer many occasions.
    rows_at_least = 1 + int((sizes.sum(axis=0) // np.array(capacity)).max())
    sample = max(1, _SAMPLE * rows_at_least // len(sizes))
    while True:
        while first < left.shape[1] and left[_INPUTS, first] == _TAKEN:
            first += 1
        if first == left.shape[1]:
            return rows
        seed_inputs, seed_targets, _, seed = left[:, first].tolist()
        room = _Room(*capacity, 0).without(seed_inputs, seed_targets, scale)
        first += 1
        # A strided view costs nothing, and a window has many examples of each size.
        stride = max(1, (left.shape[1] - first) // sample)
        candidates = left[:, first + 7 * row % stride :: stride]
        members = [seed, *_fill(room, candidates, scale, mend_from=mend_from)]
        rows[members] = row
        left[_INPUTS, where[members]] = _TAKEN
        row += 1
        if row % _COMPACT_EVERY == 0:
            left = left[:, left[_INPUTS] != _TAKEN]
            where[left[_EXAMPLE]] = np.arange(left.shape[1])
            first = 0


def _fill(
    room: _Room, candidates: Int64[np.ndarray, "4 candidates"], scale: Scale, *, mend_from: int
) -> list[int]:
    """Examples that fill the room, chosen one by one and, where that ends badly, mended."""
    choices: list[_Choice] = []
    while True:
        fits = (candidates[_INPUTS] <= room.inputs) & (candidates[_TARGETS] <= room.targets)
        columns = fits.nonzero()[0]
        if not len(columns):
            break
        candidates = candidates.take(columns, axis=1)
        # The squares of what would be left, without their constant part: linear in both sizes.
        per_input = 2 * (scale.tilt[0] * room.tilt - scale.weight[0] ** 2 * room.inputs)
        per_target = 2 * (-scale.tilt[1] * room.tilt - scale.weight[1] ** 2 * room.targets)
        cost = candidates[_INPUTS] * per_input
        cost += candidates[_TARGETS] * per_target
        cost += candidates[_COST]
        column = int(cost.argmin())
        inputs, targets, _, example = candidates[:, column].tolist()
        choices.append(_Choice(room, candidates, column, inputs, example))
        candidates[_INPUTS, column] = _TAKEN
        room = room.without(inputs, targets, scale)
    unused = room.weight(scale)
    if len(choices) >= mend_from and unused > _SLACK:
        return _mended(choices, unused, scale)
    return [choice.example for choice in choices]


def _mended(choices: list[_Choice], unused: int, scale: Scale) -> list[int]:
    """The choices with the last, or the last two, replaced by a pair that wastes less."""
    best = chosen = [choice.example for choice in choices]
    for undone in range(1, min(2, len(choices)) + 1):
        before = choices[-undone]
        pool = before.candidates
        pool[_INPUTS, before.column] = before.inputs  # given back
        if pool.shape[1] > _PAIR_SAMPLE:
            pool = pool[:, np.arange(_PAIR_SAMPLE) * pool.shape[1] // _PAIR_SAMPLE]
        inputs = (before.room.inputs - pool[_INPUTS])[:, None] - pool[_INPUTS]
        targets = (before.room.targets - pool[_TARGETS])[:, None] - pool[_TARGETS]
        overflows = (inputs | targets) < 0  # the sign bit of either
        inputs *= scale.weight[0]
        targets *= scale.weight[1]
        wasted = np.add(inputs, targets, out=inputs)
        wasted[overflows] = _TAKEN
        np.fill_diagonal(wasted, _TAKEN)
        one, two = divmod(int(wasted.argmin()), pool.shape[1])
        if wasted[one, two] < unused - _SLACK:
            unused = int(wasted[one, two])
            best = [*chosen[: len(chosen) - undone], *pool[_EXAMPLE, [one, two]].tolist()]
            if unused <= _SLACK:
                break
    return best


def best_fit(
    sizes: Int64[np.ndarray, "examples 2"], capacity: tuple[int, int], scale: Scale
) -> Int32[np.ndarray, " examples"]:
    """Best-fit decreasing: each example, heaviest first, into the row it fills up most.

    Args:
        sizes: tokens of (inputs, targets) of each example; none above the capacity.
        capacity: tokens of (inputs, targets) that a row holds.
        scale: prices, from `Scale.of`.

    Returns:
        The row of each example, numbered from 0 without gaps.
    """
    order = scale.heaviest_first(sizes)
    rows = np.empty(len(sizes), np.int32)
    inputs = np.full(len(sizes), capacity[0], np.int64)  # room left in each row
    targets = np.full(len(sizes), capacity[1], np.int64)
    weight = scale.weight[0] * inputs + scale.weight[1] * targets
    count = 1  # rows opened, the last one still empty
    for example, need_inputs, need_targets in zip(
        order.tolist(), sizes[order, 0].tolist(), sizes[order, 1].tolist(), strict=True
    ):
        tight = (inputs[:count] < need_inputs) | (targets[:count] < need_targets)
        row = int(np.where(tight, _TAKEN, weight[:count]).argmin())
        rows[example] = row
        inputs[row] -= need_inputs
        targets[row] -= need_targets
        weight[row] -= scale.weight[0] * need_inputs + scale.weight[1] * need_targets
        count += row == count - 1 and count < len(sizes)
    return rows
