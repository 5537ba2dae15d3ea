"""F1, Matthews' correlation, correlations: closed forms and their plainest definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flan_t5x.evaluation.class_metrics import (
    all_of_group,
    correlations,
    f1_yes,
    macro_f1,
    matthews,
)

# 6 right positives, 3 missed, 2 false alarms, 9 right negatives
GOLD = ["yes"] * 9 + ["no"] * 11
SAID = ["yes"] * 6 + ["no"] * 3 + ["yes"] * 2 + ["no"] * 9


def test_f1_of_yes() -> None:
    assert f1_yes(GOLD, SAID)["f1_yes"] == pytest.approx(2 * 6 / (2 * 6 + 3 + 2))
    assert f1_yes(["no"], ["no"]) == {"f1_yes": 0.0}
    assert f1_yes(["yes", "no"], ["dunno", "yes"]) == {"f1_yes": 0.0}


def test_macro_f1() -> None:
    golds, saids = ["a", "a", "b", "c"], ["a", "b", "b", "x"]
    of_a, of_b, of_c = 2 / 3, 2 / 3, 0.0
    assert macro_f1(golds, saids)["macro_f1"] == pytest.approx((of_a + of_b + of_c) / 3)


def test_matthews_of_two_classes() -> None:
    tp, fn, fp, tn = 6, 3, 2, 9
    expected = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert matthews(GOLD, SAID)["matthews"] == pytest.approx(expected)
    flipped = ["no" if said == "yes" else "yes" for said in SAID]
    assert matthews(GOLD, flipped)["matthews"] == pytest.approx(-expected)
    assert matthews(GOLD, GOLD) == {"matthews": 1.0}
    assert matthews(GOLD, ["yes"] * 20) == {"matthews": 0.0}


def test_matthews_of_three_classes_is_the_correlation_of_indicators() -> None:
    draw = np.random.default_rng(0)
    golds, saids = (draw.choice(list("abc"), 50).tolist() for _ in range(2))
    x, y = (np.array([[s == c for c in "abc"] for s in side], float) for side in (golds, saids))
    x, y = x - x.mean(0), y - y.mean(0)
    expected = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    assert matthews(golds, saids)["matthews"] == pytest.approx(expected)


def test_correlations() -> None:
    golds, saids = ["0", "1", "2", "3", "5"], ["1", "1", "2", "5", "4"]
    x, y = np.array(golds, float), np.array(saids, float)
    ranks = np.array([1, 2, 3, 4, 5.0]), np.array([1.5, 1.5, 3, 5, 4.0])
    found = correlations(golds, saids)
    assert found["pearson"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found["spearman"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert correlations(golds, ["3"] * 5) == {"pearson": 0.0, "spearman": 0.0}
    unread = correlations(golds, ["1", "1", "2", "many", "nan"])
    assert unread["pearson"] == pytest.approx(np.corrcoef(x, [1, 1, 2, -1, -1])[0, 1])


def test_all_of_group() -> None:
    golds, saids = ["yes", "no", "yes", "no"], ["yes", "no", "yes", "yes"]
    assert all_of_group(golds, saids, ["q1", "q1", "q2", "q2"]) == {"group_match": 0.5}
    assert math.isnan(all_of_group([], [], [])["group_match"])
