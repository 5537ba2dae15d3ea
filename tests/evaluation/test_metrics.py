"""Metric functions: closed forms, and what holds for any texts."""

from __future__ import annotations

import math
import re

import hypothesis
import hypothesis.strategies as st
import pytest

from flan_t5x.evaluation.metrics import BY_CLASS, METRICS, normalize_answer

PAIRS = st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=8)


MEANS = sorted({*METRICS} - BY_CLASS - {"bleu"})


@pytest.mark.parametrize("name", MEANS)
@hypothesis.given(PAIRS, st.randoms(use_true_random=False))
def test_any_texts(name: str, pairs: list[tuple[str, str]], random: object) -> None:
    """Values in [0, 1]; means of the single scores; order does not matter; 1 for equals."""
    metric = METRICS[name]
    targets, predictions = map(list, zip(*pairs, strict=True))
    values = metric(targets, predictions)
    for key, value in values.items():
        single = [metric([t], [p])[key] for t, p in pairs]
        assert 0.0 <= value <= 1.0
        assert value == pytest.approx(math.fsum(single) / len(single))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    shuffled = metric([t for t, _ in pairs], [p for _, p in pairs])
    assert shuffled == pytest.approx(values)
    if name != "rouge" or all(re.search("[a-z0-9]{3}", t) for t in targets):
        assert metric(targets, targets)[next(iter(values))] == 1.0


@pytest.mark.parametrize("name", sorted({*METRICS} - BY_CLASS))
@hypothesis.given(PAIRS)
def test_the_best_of_several_targets(name: str, pairs: list[tuple[str, str]]) -> None:
    """A further right answer never lowers a score, and one that is the prediction wins."""
    metric = METRICS[name]
    targets, predictions = map(list, zip(*pairs, strict=True))
    alone = metric(targets, predictions)
    assert metric([(t,) for t in targets], predictions) == alone
    more = metric([(t, p) for t, p in pairs], predictions)
    same = metric(predictions, predictions)
    if name != "bleu":  # the length that BLEU compares with is that of the nearest reference
        assert all(more[key] >= alone[key] - 1e-12 for key in alone)
        assert more == pytest.approx(same)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_to_score_and_lists_that_do_not_belong_together(name: str) -> None:
    assert all(math.isnan(value) for value in METRICS[name]([], []).values())
    with pytest.raises(ValueError, match="2 targets but 1 predictions"):
        METRICS[name](["a", "b"], ["a"])


def test_closed_forms() -> None:
    assert METRICS["accuracy"](["a", "b", "c", "d"], ["a", "B", "c ", "d"]) == {"accuracy": 0.5}
    assert METRICS["normalized_accuracy"](["The Cat!", "a  dog"], ["cat", "dogs"]) == {
        "normalized_accuracy": 0.5
    }
    # "red cat" / "red cat sat": 2 common of 2 and 3 words: 2*2/5; no word in common: 0
    assert METRICS["f1"](["the red cat", "dog"], ["red cat sat", "cat"])["f1"] == pytest.approx(0.4)
    assert METRICS["f1"](["a", "dog"], ["the", ""]) == {"f1": 0.5}  # nothing left equals nothing


@hypothesis.given(st.text())
def test_normalizing_lowers_and_folds(text: str) -> None:
    found = normalize_answer(text)
    assert found == " ".join(found.split())
    assert not {"a", "an", "the"} & set(found.split())
