"""Figures over tasks: the published normalised average, missing parts, intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from flan_t5x.data.aggregates import defined_aggregates, get_aggregate, published_scores
from flan_t5x.data.definitions import AggregateDefinition, AggregatePart
from flan_t5x.errors import UserError
from flan_t5x.evaluation.aggregates import (
    aggregate,
    aggregate_value,
    leaves,
    missing_parts,
    relevant,
    require_parts,
)
from flan_t5x.evaluation.baselines import Baseline
from flan_t5x.evaluation.bootstrap import drawn_means, generator, interval
from flan_t5x.evaluation.scoring import TaskScore

SIX = {
    "mmlu_direct": "mmlu_{}_direct_5shot",
    "mmlu_cot": "mmlu_{}_cot_5shot",
    "tydiqa": "tydiqa_{}_direct_1shot",
    "mgsm": "mgsm_{}_cot_8shot",
}


def task(name: str, scores: Sequence[float], score: float | None = None) -> TaskScore:
    mean = float(np.mean(scores)) if score is None else score
    none = Baseline(0.0, "", 0.0)
    return TaskScore(name, "", {"accuracy": mean}, mean, none, len(scores), (), tuple(scores))


def published_tasks(model: str) -> dict[str, float]:
    """Each task's published score; the benchmark's mean for tasks that are not printed singly.

    For MMLU, TyDiQA and MGSM all tasks are scaled alike, so means are enough. BBH's are not.
    """
    rows = published_scores()[model]
    return {
        name: rows.get(name, rows[figure])
        for figure in ("mmlu_direct", "mmlu_cot", "bbh_direct", "bbh_cot", "tydiqa", "mgsm")
        for name in leaves(get_aggregate(figure))
    }


def test_the_published_normalised_average_from_single_tasks() -> None:
    """Flan-T5-XXL, whose 27 BBH scores are printed one by one: 23.7, by table 5."""
    scores = published_tasks("Flan-T5-XXL")
    rows = published_scores()["Flan-T5-XXL"]
    singly = [name for name in scores if name.startswith("bbh_")]
    assert len(singly) == 54
    assert all(name in rows for name in singly)
    for mode in ("direct", "cot"):
        mean = aggregate_value(get_aggregate(f"bbh_{mode}"), scores)
        assert 100 * mean == pytest.approx(100 * rows[f"bbh_{mode}"], abs=0.05)
    for name in ("tydiqa", "mgsm"):
        languages = {n: rows.get(n, 0.0) for n in leaves(get_aggregate(name))}
        mean = aggregate_value(get_aggregate(name), languages)
        assert 100 * mean == pytest.approx(100 * rows[name], abs=0.15)  # "about 0" is 0
        scores |= dict.fromkeys(languages, rows[name])
    value = aggregate_value(get_aggregate("normalized_average"), scores)
    assert 100 * value == pytest.approx(23.7, abs=0.05)
    assert 100 * rows["normalized_average"] == pytest.approx(23.7)


@pytest.mark.parametrize("model", [name for name in published_scores() if "Flan" in name])
def test_the_published_normalised_average_from_means(model: str) -> None:
    """The rows of table 5 from their six means: -2.7, 6.7, 13.9, 19.2, 23.7 for -3.1, 6.5, 13.8,
    19.1, 23.7. BBH's tasks are scaled each by its own 1 / (1 - chance), so the scaled mean is not
    the mean of the scaled, and only single tasks (as above for XXL) give the last digit."""
    rows = published_scores()[model]
    tasks = {name: 0.0 for figure in SIX for name in leaves(get_aggregate(figure))}
    for figure in SIX:
        tasks |= dict.fromkeys(leaves(get_aggregate(figure)), rows[figure])
    chance = {p.name: p.chance for p in get_aggregate("bbh_direct_normalized").parts}
    mean_chance = sum(c or 0.0 for c in chance.values()) / len(chance)
    six = [aggregate_value(get_aggregate(f"{figure}_normalized"), tasks) for figure in SIX] + [
        (rows[f"bbh_{mode}"] - mean_chance) / (1 - mean_chance) for mode in ("direct", "cot")
    ]
    off = 100 * abs(sum(six) / 6 - rows["normalized_average"])
    assert off < 0.45


def test_normalisation_by_hand() -> None:
    parts = (AggregatePart("a", chance=0.5), AggregatePart("b", chance=0.0), AggregatePart("c"))
    figure = AggregateDefinition("figure", parts)
    # 45 % where guessing has 50 %: -10 %, the paper's own example.
    assert aggregate_value(figure, {"a": 0.45, "b": 0.3, "c": 0.7}) == pytest.approx(0.9 / 3)
    best = AggregateDefinition("best", parts[1:], "max")
    assert aggregate_value(best, {"a": 0.0, "b": 0.3, "c": 0.7}) == 0.7


def test_missing_parts_are_named_and_never_zero() -> None:
    figure = get_aggregate("normalized_average")
    scores = published_tasks("Flan-T5-XL")
    assert missing_parts(figure, scores) == ()
    scores.pop("bbh_snarks_cot_3shot")
    assert missing_parts(figure, scores) == ("bbh_snarks_cot_3shot",)
    scores = {name: s for name, s in scores.items() if not name.startswith("tydiqa")}
    assert missing_parts(figure, scores) == ("bbh_snarks_cot_3shot", "tydiqa_normalized")
    assert math.isnan(aggregate_value(figure, scores))
    scored = [task(name, [score] * 4) for name, score in scores.items()]
    found = aggregate(figure, scored)
    assert math.isnan(found.value)
    assert found.interval is None
    assert found.missing == ("bbh_snarks_cot_3shot", "tydiqa_normalized")
    with pytest.raises(UserError, match="undefined without bbh_snarks_cot_3shot, tydiqa_norm"):
        require_parts(figure, scores)


def test_an_undefined_task_makes_the_figure_undefined() -> None:
    figure = AggregateDefinition("figure", (AggregatePart("a"), AggregatePart("b")))
    found = aggregate(figure, [task("a", [1.0]), task("b", [1.0], score=float("nan"))])
    assert math.isnan(found.value)
    assert found.missing == ("b (undefined)",)


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    scores = [1.0] * 60 + [0.0] * 40
    figure = AggregateDefinition("figure", (AggregatePart("a"),))
    found = aggregate(figure, [task("a", scores)], resamples=20_000)
    error = math.sqrt(0.6 * 0.4 / 100)
    assert found.value == 0.6
    assert found.interval is not None
    assert found.interval.low == pytest.approx(0.6 - 1.96 * error, abs=0.011)
    assert found.interval.high == pytest.approx(0.6 + 1.96 * error, abs=0.011)
    assert aggregate(figure, [task("a", scores)], resamples=20_000) == found


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        scores = random.beta(2.0, 3.0, size=80)  # mean 0.4
        low, high = interval(drawn_means(scores, 400, generator("x", trial)))
        inside += low <= 0.4 <= high
    assert 180 <= inside <= 199


def test_a_corpus_metric_has_no_interval() -> None:
    figure = AggregateDefinition("figure", (AggregatePart("a"),))
    found = aggregate(figure, [task("a", [1.0, 0.0], score=0.9)])
    assert (found.value, found.interval, found.missing) == (0.9, None, ())


def test_names() -> None:
    assert len(list(leaves(get_aggregate("normalized_average")))) == 186
    assert [p.name for p in get_aggregate("bbh_direct_3shot").parts] == [
        p.name for p in get_aggregate("bbh_direct").parts
    ]
    assert relevant(["mini_opposite_zs"]) == []
    assert relevant(["bbh_snarks_direct_3shot"]) == [
        "bbh_direct",
        "bbh_nlp_direct",
        "bbh_direct_normalized",
        "normalized_average",
    ]
    with pytest.raises(UserError, match="did you mean 'normalized_average'"):
        get_aggregate("normalised_average")


def test_templates_have_means_and_bests() -> None:
    parts = [p.name for p in get_aggregate("flaneval_rte_best").parts]
    scores = {name: number / 100 for number, name in enumerate(parts)}
    assert len(parts) > 5
    assert aggregate_value(get_aggregate("flaneval_rte_best"), scores) == max(scores.values())
    mean = aggregate_value(get_aggregate("flaneval_rte_mean"), scores)
    assert mean == pytest.approx(np.mean(list(scores.values())))


def test_every_aggregate_is_made_of_tasks_that_exist() -> None:
    from flan_t5x.data.registry import task_names

    known = set(task_names())
    for definition in defined_aggregates().values():
        assert set(leaves(definition)) <= known
