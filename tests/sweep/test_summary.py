"""The outcome as Markdown."""

from __future__ import annotations

from dataclasses import replace

from flan_t5x.sweep.summary import MOST_ROWS, summary
from tests.sweep.tables import category_axis, done, failed, log_axis, rates_axis, whole


def test_the_whole_text() -> None:
    kind, kinds = category_axis("data.kind", "a|b", "c")
    rows = [
        done(10 * k + seed, {kind.name: kinds[k]}, seed, score)
        for k, scores in enumerate([(0.5, 0.52, 0.54), (0.3, 0.31, 0.35)])
        for seed, score in enumerate(scores)
    ]
    rows.append(failed(20, {kind.name: kinds[1]}, "loss is\nNaN"))
    table = replace(whole((kind,), rows), notes=("one note",))
    # Differences -0.2, -0.21, -0.19: standard error 0.01 / sqrt(3), t(2) = 4.303, p = 0.00083.
    assert (
        summary(table)
        == """\
## toy

Does it matter?

7 runs: 6 done, 1 failed. Cost: 60 s.

* failed: run_20: loss is NaN

* one note

### score

Best score: kind a\\|b, 0.520 ± 0.050 over 3 runs. Every other combination is worse \
(Holm's correction, 5 %). To compare with: guessing 0.250, before training 0.200.

| choices | mean | runs | less the best | p (Holm) | test |
| --- | --- | --- | --- | --- | --- |
| kind a\\|b | 0.520 ± 0.050 | 3 | best |  |  |
| kind c | 0.320 ± 0.066 | 3 | -0.2 ± 0.025 | \\< 0.001 | 3 pairs |
"""
    )


def test_laws_are_sentences_or_a_table() -> None:
    rate, rates = log_axis("rate", 1, 2, 4)
    for count in (1, 5):
        kind, kinds = category_axis("kind", *(f"k{i}" for i in range(count)))
        rows = [
            done(3 * k + i, {"rate": one, "kind": other}, 0, 0.2 + 0.1 * i + 0.01 * k * i * i)
            for k, other in enumerate(kinds)
            for i, one in enumerate(rates)
        ]
        text = summary(whole((rate, kind), rows))
        if count == 1:
            assert "* kind k0: score changes by +0.1 with each doubling of rate (3 runs; " in text
        else:
            assert "Change of score with each doubling of rate:\n\n| other choices | slope" in text
            assert "| kind k0 | +0.1 | - | 1.00 | 3 | - |  |" in text
        assert ("kind, over all other choices:" in text) == (count > 1)


def test_a_recommendation() -> None:
    axis, choices = rates_axis("rates", "ab", [(1, 0), (0.5, 0.5), (0, 1)])
    rows = [
        done(2 * i + seed, {"rates": choice}, seed, 0.3 + 0.1 * i + 0.01 * seed)
        for i, choice in enumerate(choices)
        for seed in range(2)
    ]
    text = summary(whole((axis,), rows))
    assert "* Recommended: a 0 %, b 100 %, the best score of 3 mixtures that were run: " in text
    assert "* Scheffé's quadratic model: R² " in text
    assert "* The model's optimum: a 0 %, b 100 %, expected 0.505 ± " in text


def test_many_combinations_are_cut_and_that_is_said() -> None:
    kind, kinds = category_axis("kind", *(f"k{i}" for i in range(MOST_ROWS + 3)))
    rows = [done(i, {"kind": choice}, 0, 0.01 * i) for i, choice in enumerate(kinds)]
    text = summary(whole((kind,), rows))
    assert text.count("\n| kind k") == MOST_ROWS
    assert "3 more are left out." in text


def test_nothing_has_run() -> None:
    kind, _ = category_axis("kind", "a")
    text = summary(whole((kind,), []))
    assert "No score: no finished run has this figure." in text
    assert "0 runs: none." in text
