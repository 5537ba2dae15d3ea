"""Sentences: figures with their uncertainty, and what is undefined said as such."""

from __future__ import annotations

import math

from flan_t5x.evaluation.seeds import Interval
from flan_t5x.sweep.outcome import Blend, Law, outcome
from flan_t5x.sweep.regression import linear_fit, log_linear_fit
from flan_t5x.sweep.scheffe import scheffe_fit
from flan_t5x.sweep.statistics import Comparison, Undefined, compare
from flan_t5x.sweep.table import SCORE
from flan_t5x.sweep.words import (
    best_text,
    blend_text,
    figure,
    gap_text,
    law_row,
    law_text,
    mean_text,
    p_said,
    p_text,
    progress,
    rivals_text,
)
from tests.sweep.tables import category_axis, done, failed, log_axis, rates_axis, whole


def test_figures() -> None:
    assert [figure(v) for v in (0.12345, -0.5, 12_345.6)] == ["0.123", "-0.500", "12,346"]
    assert mean_text(Interval(0.5, 0.0125)) == "0.500 ± 0.013"
    assert mean_text(Interval(0.5, math.nan)) == "0.500"
    assert gap_text(Interval(-0.0123, 0.004)) == "-0.0123 ± 0.004"
    assert [p_text(p) for p in (0.0004, 0.0416, Undefined("no"))] == ["< 0.001", "0.042", "-"]
    assert [p_said(p) for p in (0.0004, 0.0416)] == ["p < 0.001", "p = 0.042"]


def test_progress() -> None:
    kind, kinds = category_axis("kind", "a")
    rows = [done(i, {"kind": kinds[0]}, i, 0.5) for i in range(3)]
    rows.append(failed(3, {"kind": kinds[0]}, "no"))
    assert progress(whole((kind,), rows)) == "4 runs: 3 done, 1 failed. Cost: 30 s."
    assert progress(whole((kind,), [])) == "0 runs: none. Cost: 0 s."


def test_best_and_rivals() -> None:
    kind, kinds = category_axis("kind", "a", "b", "c")
    values = {0: (0.5, 0.52, 0.51), 1: (0.52, 0.50, 0.53), 2: (0.3, 0.32, 0.29)}
    rows = [
        done(10 * k + s, {"kind": kinds[k]}, s, value)
        for k, scores in values.items()
        for s, value in enumerate(scores)
    ]
    found = outcome(whole((kind,), rows), SCORE)
    assert best_text(found) == "Best score: kind b, 0.517 ± 0.038 over 3 runs."
    assert rivals_text(found) == (
        "Not told apart from it (Holm's correction, 5 %), 1 of 2: kind a."
    )
    alone = outcome(whole((kind,), rows[:1]), SCORE)
    assert best_text(alone) == "Best score: kind a, 0.500 over 1 run (no interval)."
    assert rivals_text(alone) == "There is no other combination to compare with."
    assert best_text(outcome(whole((kind,), []), SCORE)) == (
        "No score: no finished run has this figure."
    )


def law(x: list[float], y: list[float], *, log: bool = True) -> Law:
    axis, _ = log_axis("rate", *x)
    fit = log_linear_fit(x, y) if log else linear_fit(x, y)
    return Law(axis, "", {}, fit)


def test_a_law_that_holds_and_one_that_does_not() -> None:
    x = [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    holds = law(x, [0.1, 0.12, 0.2, 0.22, 0.3, 0.32])
    assert law_text("score", holds) == (
        "score changes by +0.1 ± 0.017 with each doubling of rate (p < 0.001, R² 0.99, 6 runs). "
        "No departure from this law is seen (lack of fit F(1, 3) = 0, p = 1.000)."
    )
    jumps = law(x, [0.1, 0.12, 0.1, 0.12, 0.6, 0.62])
    text = law_text("score", jumps)
    assert "The runs depart from this law (lack of fit F(1, 3) = 417, p < 0.001)" in text
    assert "largest step between neighbours is +0.5 ± 0.061, from 2 to 4." in text
    assert law_row(jumps)[-2:] == ("< 0.001", "+0.5 ± 0.061, 2 to 4")


def test_an_undefined_law() -> None:
    assert law_text("score", law([1.0], [0.5])) == "No law of rate: a line needs two values."
    assert law_text("score", law([1.0, 2.0], [0.5, 0.7])) == (
        "score changes by +0.2 with each doubling of rate (2 runs; no interval: two runs lie on a "
        "line whatever they are). Whether this law holds is not known: two values lie on a line "
        "whatever they are."
    )
    assert law_row(law([1.0], [0.5]))[:2] == ("none", "undefined: a line needs two values")


def blend(points: dict[tuple[float, float], list[float]]) -> Blend:
    axis, _ = rates_axis("rates", ("x", "y"), list(points))
    named = dict(zip(axis.choices, points.items(), strict=True))
    compared = compare({n: dict(enumerate(values)) for n, (_, values) in named.items()})
    assert isinstance(compared, Comparison)
    rates = {name: shares for name, (shares, _) in named.items()}
    return Blend(axis, "", rates, compared, scheffe_fit(axis.parts, list(named.values())))


def test_a_recommendation_that_stays_with_what_was_run() -> None:
    """0.2 x + 0.4 y + 0.4 x y is greatest at x = 1/4; near to it lies a mixture that was run."""
    noise = (-0.01, 0.0, 0.01)
    points = {
        (x / 4, 1 - x / 4): [0.4 - x / 20 + 0.4 * x / 4 * (1 - x / 4) + n for n in noise]
        for x in range(5)
    }
    recommended, model, optimum = blend_text("score", blend(points))
    assert recommended.startswith(
        "Recommended: x 25 %, y 75 %, the best score of 5 mixtures that were run: "
        "0.425 ± 0.025 over 3 runs. "
    )
    assert model.startswith("Scheffé's quadratic model: R² 0.99; it foretells left-out mixtures")
    assert "better than their mean does" in model
    assert optimum.startswith("The model's optimum: x 25 %, y 75 %, expected 0.425 ± ")
    assert optimum.endswith(
        "That is within the interval of the best mixture that was run: no reason to prefer it."
    )


def test_an_optimum_that_is_worth_a_run() -> None:
    points = {
        (x, 1 - x): [0.4 - 0.2 * x + 2 * x * (1 - x) + n for n in (-0.001, 0.001, 0.0)]
        for x in (0.0, 0.1, 0.2, 0.8, 0.9, 1.0)
    }
    text = blend_text("score", blend(points))[-1]
    assert text.startswith("The model's optimum: x 45 %, y 55 %, expected 0.805")
    assert text.endswith(
        "That is beyond the interval of the best mixture that was run: worth a run."
    )


def test_an_optimum_beside_what_was_run() -> None:
    points = {(x, 1 - x): [0.4 + 0.3 * x, 0.41 + 0.3 * x] for x in (0.2, 0.3, 0.5, 0.6)}
    text = blend_text("score", blend(points))[-1]
    assert "The model's optimum: x 100 %, y 0 %" in text
    assert "It is an extrapolation" in text


def test_too_few_mixtures() -> None:
    said = blend_text("score", blend({(1.0, 0.0): [0.5], (0.0, 1.0): [0.4]}))
    assert said[1] == "No mixture model: 2 distinct mixtures, and the model has 3 terms."
