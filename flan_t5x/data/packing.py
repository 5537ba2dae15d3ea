"""Packing plans: which examples of a window share a row, under two capacities at once.

A row holds `capacity[0]` input tokens and `capacity[1]` target tokens; an example needs some of
both and is never divided. A plan is a pure function of the lengths, made with integer arithmetic
and stable sorts only, so every host and every platform makes the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32

from flan_t5x.data.packing_search import Scale, best_fit, fill_rows
from flan_t5x.errors import UserError

# A second search may be made where the first takes over 1/200 more rows than rows_needed.
_GOOD_ENOUGH = 200


@dataclass(frozen=True)
class PackingPlan:
    """Where each example of a window goes.

    Attributes:
        row: int32 [examples], the row of each example, 0..num_rows-1.
        slot: int32 [examples], its place in the row, 0, 1, …, in the order of the window.
        num_rows: how many rows the window takes.
    """

    row: Int32[np.ndarray, " examples"]
    slot: Int32[np.ndarray, " examples"]
    num_rows: int


def plan_window(lengths: Int[np.ndarray, "examples 2"], capacity: tuple[int, int]) -> PackingPlan:
    """Packs a window of examples into as few rows as it finds.

    Rows are filled one at a time (`packing_search.fill_rows`). Where that takes over 0.5 % more
    rows than `rows_needed`, with less than 3.5 examples a row, best-fit decreasing is tried too
    and the shorter plan is taken.

    Args:
        lengths: tokens of (inputs, targets) of each example, EOS included.
        capacity: tokens of (inputs, targets) that a row holds.

    Returns:
        A plan in which every example has one place and no row is over capacity.

    Raises:
        UserError: an example is longer than a row, or a capacity is not positive.
    """
    sizes = _checked(lengths, capacity)
    if not len(sizes):
        return unpacked_plan(0)
    scale = Scale.of(sizes, capacity)
    rows = fill_rows(sizes, capacity, scale)
    count, needed = int(rows.max()) + 1, rows_needed(sizes, capacity)
    if _GOOD_ENOUGH * (count - needed) > needed and 2 * len(sizes) < 7 * count:
        other = best_fit(sizes, capacity, scale)
        rows = other if int(other.max()) + 1 < count else rows
    return _plan(rows)


def unpacked_plan(num_examples: int) -> PackingPlan:
    """The plan of one example per row."""
    rows = np.arange(num_examples, dtype=np.int32)
    return PackingPlan(row=rows, slot=np.zeros(num_examples, np.int32), num_rows=num_examples)


def packing_bound(lengths: Int[np.ndarray, "examples 2"], capacity: tuple[int, int]) -> float:
    """Rows that the tokens alone would fill: max(sum inputs / capacity, sum targets / capacity)."""
    totals = np.asarray(lengths, np.int64).sum(axis=0)
    return max(int(totals[0]) / capacity[0], int(totals[1]) / capacity[1])


def rows_needed(lengths: Int[np.ndarray, "examples 2"], capacity: tuple[int, int]) -> int:
    """A number of rows that no plan can go below; at least `packing_bound`.

    An example that leaves less room on one side than the shortest example needs has its row to
    itself, so its row counts as full on the other side too.
    """
    sizes = np.asarray(lengths, np.int64)
    if not len(sizes):
        return 0
    needed = 0
    for side in (0, 1):
        other = sizes[:, 1 - side]
        alone = other > capacity[1 - side] - int(other.min())
        tokens = int(sizes[~alone, side].sum()) + int(alone.sum()) * capacity[side]
        needed = max(needed, -(-tokens // capacity[side]))
    return needed


def efficiency(
    plan: PackingPlan, lengths: Int[np.ndarray, "examples 2"], capacity: tuple[int, int]
) -> float:
    """`packing_bound` over the rows of the plan: 1.0 is a perfect fill of the scarcer side."""
    return packing_bound(lengths, capacity) / plan.num_rows if plan.num_rows else 1.0


def _checked(
    lengths: Int[np.ndarray, "examples 2"], capacity: tuple[int, int]
) -> Int[np.ndarray, "examples 2"]:
    if min(capacity) < 1:
        raise UserError(
            f"a row of {capacity[0]} input and {capacity[1]} target tokens holds nothing; "
            "give positive task feature lengths"
        )
    sizes = np.asarray(lengths, np.int64).reshape(-1, 2)
    for side, name in enumerate(("inputs", "targets")):
        over = np.flatnonzero(sizes[:, side] > capacity[side])
        if len(over):
            raise UserError(
                f"example {over[0]} of the window has {sizes[over[0], side]} tokens of {name}, "
                f"a row holds {capacity[side]}; raise the length of {name} in the task feature "
                "lengths or build the token cache with the shorter one"
            )
    return sizes


def _plan(rows: Int32[np.ndarray, " examples"]) -> PackingPlan:
    """Numbers the examples of each row in the order of the window."""
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows)
    starts = np.cumsum(counts) - counts
    slot = np.empty(len(rows), np.int32)
    slot[order] = np.arange(len(rows)) - np.repeat(starts, counts)
    return PackingPlan(row=rows, slot=slot, num_rows=len(counts))
