"""Means, paired differences and corrections, against closed forms and scipy."""

from __future__ import annotations

import doctest
import math
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flan_t5x.sweep import statistics
from flan_t5x.sweep.statistics import (
    TOGETHER,
    Comparison,
    Undefined,
    by_choice,
    by_others,
    cells,
    compare,
    higher_is_better,
    holm,
    welch,
)
from flan_t5x.sweep.table import SCORE, Row
from tests.sweep.tables import category_axis, done, failed, log_axis, whole

THOUSANDTHS = st.integers(-10_000, 10_000).map(lambda n: n / 1_000)
FIGURES = st.lists(THOUSANDTHS, min_size=2, max_size=8)


def test_docstrings() -> None:
    assert doctest.testmod(statistics).failed == 0


def compared(groups: dict[str, dict[Hashable, float]], *, higher: bool = True) -> Comparison:
    found = compare(groups, higher=higher)
    assert not isinstance(found, Undefined)
    return found


def test_cells_are_in_the_order_of_the_axes_and_hold_finished_runs() -> None:
    rate, rates = log_axis("rate", 0.1, 0.01)
    kind, kinds = category_axis("kind", "b", "a")
    rows = [
        done(0, {"rate": rates[1], "kind": kinds[0]}, 0, 0.5),
        done(1, {"rate": rates[0], "kind": kinds[1]}, 0, 0.6),
        done(2, {"rate": rates[0], "kind": kinds[0]}, 1, 0.7),
        done(3, {"rate": rates[0], "kind": kinds[0]}, 0, 0.8),
        done(4, {"rate": rates[0], "kind": kinds[0]}, 0, 0.9),  # the same run again
        done(5, {"rate": rates[1], "kind": kinds[1]}, 0, math.nan),
        failed(6, {"rate": rates[1], "kind": kinds[1]}, "no"),
        Row("run_7", "running", {"rate": rates[1], "kind": kinds[1]}, 1, {SCORE: 0.1}),
    ]
    axes = (rate, kind)
    found = cells(whole(axes, rows), SCORE)
    assert [(c.label(axes), dict(c.values)) for c in found] == [
        ("rate 0.1, kind b", {1: 0.7, 0: 0.8}),
        ("rate 0.1, kind a", {0: 0.6}),
        ("rate 0.01, kind b", {0: 0.5}),
    ]
    assert found[0].mean.mean == pytest.approx(0.75)
    assert found[0].mean.half == pytest.approx(12.7062047 * 0.05)  # t(1) and s/sqrt(2)
    assert math.isnan(found[1].mean.half)
    groups = by_others(found, rate, axes)
    assert [(label, len(group)) for label, group in groups] == [("kind b", 2), ("kind a", 1)]
    assert by_choice(found, kind, axes) == {
        "b": {("rate 0.1", 1): 0.7, ("rate 0.1", 0): 0.8, ("rate 0.01", 0): 0.5},
        "a": {("rate 0.1", 0): 0.6},
    }


def test_a_random_design_is_one_group() -> None:
    (rate, rates), (size, sizes) = log_axis("rate", 1, 2, 3), log_axis("size", 4, 5, 6)
    rows = [done(i, {"rate": rates[i], "size": sizes[i]}, 0, 0.1 * i) for i in range(3)]
    found = cells(whole((rate, size), rows), SCORE)
    ((label, group),) = by_others(found, rate, (rate, size))
    assert label == TOGETHER
    assert group == found


def test_chance_may_repeat_a_choice_in_a_random_design() -> None:
    (rate, rates), (size, sizes) = log_axis("rate", *range(1, 9)), log_axis("size", 4, 5, 6, 7)
    rows = [done(i, {"rate": rates[i], "size": sizes[i // 2]}, 0, 0.1 * i) for i in range(8)]
    found = cells(whole((rate, size), rows), SCORE)
    assert [label for label, _ in by_others(found, rate, (rate, size))] == [TOGETHER]


def test_a_grid_that_has_barely_begun_is_a_grid() -> None:
    (rate, rates), (kind, kinds) = log_axis("rate", 1, 2, 3), category_axis("kind", "a", "b")
    rows = [done(i, {"rate": rates[i % 3], "kind": kinds[i // 3]}, 0, 0.1 * i) for i in range(4)]
    found = cells(whole((rate, kind), rows), SCORE)
    groups = by_others(found, rate, (rate, kind))
    assert [(label, len(group)) for label, group in groups] == [("kind a", 3), ("kind b", 1)]
    first = by_others(found[:1], rate, (rate, kind))
    assert [(label, len(group)) for label, group in first] == [("kind a", 1)]


def test_the_paired_test_is_scipys() -> None:
    a, b = [0.61, 0.55, 0.70, 0.58], [0.52, 0.50, 0.66, 0.47]
    found = compared({"b": dict(enumerate(b)), "a": dict(enumerate(a))})
    assert (found.best, found.runs) == ("a", {"b": 4, "a": 4})
    difference = found.differences["b"]
    theirs = stats.ttest_rel(b, a)
    low, high = theirs.confidence_interval()
    assert difference.gap.mean == pytest.approx((low + high) / 2)
    assert difference.gap.half == pytest.approx((high - low) / 2)
    assert difference.p_value == pytest.approx(theirs.pvalue)
    assert difference.adjusted == difference.p_value
    assert (difference.blocks, difference.told_apart, found.alike) == (4, True, ())


@pytest.mark.filterwarnings("ignore:Precision loss")  # of scipy, where all are equal
@given(FIGURES, FIGURES)
def test_welch_is_scipys(first: list[float], second: list[float]) -> None:
    gap, p_value = welch(first, second)
    assert gap.mean == pytest.approx(sum(second) / len(second) - sum(first) / len(first), abs=1e-12)
    if isinstance(p_value, Undefined):
        return
    theirs = stats.ttest_ind(second, first, equal_var=False)
    low, high = theirs.confidence_interval()
    assert p_value == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    assert gap.half == pytest.approx((high - low) / 2, rel=1e-6)


def test_without_shared_seeds_the_test_is_welchs() -> None:
    a, b = [0.6, 0.7, 0.8], [0.1, 0.2, 0.3]
    found = compared({"a": {0: a[0], 1: a[1], 2: a[2]}, "b": {5: b[0], 6: b[1], 0: b[2]}})
    gap, p_value = welch(a, b)
    assert found.differences["b"].gap == gap
    assert found.differences["b"].p_value == p_value
    assert found.differences["b"].blocks == 0


def test_what_is_undefined_is_said() -> None:
    alone = compared({"a": {0: 1.0}, "b": {0: 0.5}})
    assert alone.differences["b"].p_value == "one run has no spread"
    assert alone.differences["b"].gap.mean == -0.5
    assert math.isnan(alone.differences["b"].gap.half)
    assert alone.alike == ("b",)
    same = compared({"a": {0: 1.0, 1: 0.75}, "b": {0: 0.5, 1: 0.25}})
    assert same.differences["b"].p_value == "the difference is the same for every seed"
    assert welch([1.0, 1.0], [2.0, 2.0])[1] == "the runs do not differ among themselves"
    assert compare({}) == "no finished run has this figure"
    assert isinstance(compare({}), Undefined)


def test_less_may_be_better() -> None:
    groups: dict[str, dict[Hashable, float]] = {"a": {0: 1.0}, "b": {0: 0.5}}
    assert compared(groups, higher=False).best == "b"
    assert [higher_is_better(m) for m in ("score", "cost/seconds", "loss")] == [True, False, False]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    ranked = sorted(range(len(p_values)), key=lambda i: (p_values[i], i))
    for rank, place in enumerate(ranked):
        candidates = [(len(p_values) - r) * p_values[ranked[r]] for r in range(rank + 1)]
        assert adjusted[place] == pytest.approx(min(max(candidates), 1.0))
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))


def test_holm_counts_defined_comparisons_alone() -> None:
    groups: dict[str, dict[Hashable, float]] = {
        "a": {0: 0.9, 1: 0.8, 2: 0.85},
        "b": {0: 0.5, 1: 0.45, 2: 0.4},
        "c": {0: 0.7, 1: 0.72, 2: 0.8},
        "d": {9: 0.1},
    }
    found = compared(groups)
    p = {name: found.differences[name].p_value for name in "bc"}
    assert found.differences["b"].adjusted == pytest.approx(2 * float(p["b"]))
    assert found.differences["c"].adjusted == pytest.approx(max(float(p["c"]), 2 * float(p["b"])))
    assert isinstance(found.differences["d"].adjusted, Undefined)
