"""Which analyses a table gets: the axes' kinds, one for each combination of the others."""

from __future__ import annotations

import itertools

import pytest

from flan_t5x.sweep.names import with_short_names
from flan_t5x.sweep.outcome import EVERYWHERE, outcome
from flan_t5x.sweep.regression import Fit
from flan_t5x.sweep.scheffe import Model
from flan_t5x.sweep.statistics import TOGETHER, Comparison, Undefined
from flan_t5x.sweep.table import SCORE, Axis, Choice
from tests.sweep.tables import category_axis, done, log_axis, rates_axis, whole


def test_a_grid_of_a_number_and_a_name() -> None:
    rate, rates = log_axis("rate", 1, 2, 4)
    kind, kinds = category_axis("kind", "a", "b")
    # Each doubling adds 0.1, seeds differ by 0.01, and "b" is 0.05 better.
    rows = [
        done(n, {"rate": rates[i], "kind": kinds[k]}, s, 0.3 + 0.1 * i + 0.05 * k + 0.01 * s)
        for n, (i, k, s) in enumerate(itertools.product(range(3), range(2), range(2)))
    ]
    found = outcome(whole((rate, kind), rows), SCORE)
    assert found.baseline == pytest.approx(0.25)
    assert found.start == pytest.approx(0.2)
    assert isinstance(found.ranking, Comparison)
    assert found.ranking.best == "rate 4, kind b"
    assert len(found.ranking.differences) == 5
    assert [law.group for law in found.laws] == ["kind a", "kind b"]
    fits = [law.fit for law in found.laws]
    assert all(isinstance(fit, Fit) for fit in fits)
    assert [fit.slope.mean for fit in fits if isinstance(fit, Fit)] == pytest.approx([0.1, 0.1])
    assert found.laws[0].runs[2.0] == pytest.approx((0.4, 0.41))
    everywhere, *each = found.categories
    assert everywhere.group == EVERYWHERE
    difference = everywhere.comparison.differences["a"]
    assert difference.blocks == 6  # three rates, two seeds
    assert difference.gap.mean == pytest.approx(-0.05)
    assert [part.group for part in each] == ["rate 1", "rate 2", "rate 4"]
    assert not found.blends


def test_mixtures_for_each_model() -> None:
    points = [(1, 0), (0.5, 0.5), (0, 1)]
    mixture, mixtures = rates_axis("rates", ("x", "y"), points)
    model, models = category_axis("model", "small", "large")
    rows = [
        done(n, {"rates": mixtures[i], "model": models[m]}, s, 0.1 * i * m + 0.02 * s)
        for n, (i, m, s) in enumerate(itertools.product(range(3), range(2), range(3)))
    ]
    small, large = outcome(whole((mixture, model), rows), SCORE).blends
    assert (small.group, large.group) == ("model small", "model large")
    assert large.rates == {"1:0": (1, 0), "0.5:0.5": (0.5, 0.5), "0:1": (0, 1)}
    assert large.comparison.best == "0:1"
    assert large.comparison.runs == {"1:0": 3, "0.5:0.5": 3, "0:1": 3}
    assert isinstance(large.model, Model)
    assert large.model.linear == pytest.approx([0.02, 0.22])
    assert large.model.optimum == pytest.approx({"x": 0.0, "y": 1.0})


def test_a_random_design_is_analysed_together() -> None:
    size, rate = Axis("size", "number", tuple("12345")), log_axis("rate", 1, 2, 4, 8, 16)
    rows = [
        done(i, {"size": Choice(f"{5 - i}", 5.0 - i), "rate": rate[1][i]}, 0, 0.1 * i)
        for i in range(5)
    ]
    sizes, rates = outcome(whole((size, rate[0]), rows), SCORE).laws
    assert sizes.group == rates.group == TOGETHER
    assert isinstance(sizes.fit, Fit)
    assert isinstance(rates.fit, Fit)
    assert (sizes.fit.slope.mean, rates.fit.slope.mean) == pytest.approx((-0.1, 0.1))


def test_the_baseline_of_a_final_set() -> None:
    kind, kinds = category_axis("kind", "a")
    more = {"final/mmlu/average": 0.4, "final/mmlu/baseline": 0.3}
    table = whole((kind,), [done(0, {"kind": kinds[0]}, 0, 0.5, **more)])
    found = outcome(table, "final/mmlu/average")
    assert (found.baseline, found.start) == (0.3, None)
    assert outcome(table, "task/toy").baseline is None


def test_nothing_has_run() -> None:
    kind, _ = category_axis("kind", "a")
    found = outcome(whole((kind,), []), SCORE)
    assert isinstance(found.ranking, Undefined)
    assert (found.laws, found.blends, found.categories) == ((), (), ())


def test_short_names() -> None:
    axes = [log_axis(name, 1) for name in ("train/a.rate", "b.size", "c.size", "plain")]
    choices = {axis.name: choice[0] for axis, choice in axes}
    table = with_short_names(whole([axis for axis, _ in axes], [done(0, choices, 0, 0.5)]))
    assert [axis.name for axis in table.axes] == ["rate", "b.size", "c.size", "plain"]
    assert list(table.rows[0].choices) == ["rate", "b.size", "c.size", "plain"]
