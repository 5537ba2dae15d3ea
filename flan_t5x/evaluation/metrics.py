"""Metric functions in SeqIO's form: ``fn(targets, predictions) -> {name: value}``.

Scores are shares in [0, 1], correlations in [-1, 1]. Strings arrive already extracted
(`extraction.py`). A target is a text, or several of which any is right. NaN for no examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from flan_t5x.evaluation.answers import (
    MetricFn,
    Target,
    best_mean,
    normalize_answer,
    normalize_trivia,
)
from flan_t5x.evaluation.class_metrics import (
    all_of_group,
    correlations,
    f1_yes,
    macro_f1,
    matthews,
)
from flan_t5x.evaluation.text_metrics import bleu, edit_similarity, rouge

__all__ = ["BY_CLASS", "BY_GROUP", "METRICS", "MetricFn", "normalize_answer"]


def accuracy(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Share of predictions equal to their target, to the letter."""
    return {"accuracy": best_mean(targets, predictions, lambda t, p: float(t == p))}


def normalized_accuracy(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Share equal after `normalize_answer`."""
    return {"normalized_accuracy": best_mean(targets, predictions, _equal(normalize_answer))}


def token_f1(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Mean overlap F1 of normalised words (SQuAD's)."""
    return {"f1": best_mean(targets, predictions, _overlap(normalize_answer))}


def squad(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """SQuAD's exact match and F1: best of the annotators' answers (Rajpurkar et al. 2016)."""
    return {
        "em": best_mean(targets, predictions, _equal(normalize_answer)),
        "f1": best_mean(targets, predictions, _overlap(normalize_answer)),
    }


def trivia_qa(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """TriviaQA's exact match and F1: best of the answer's names (Joshi et al. 2017)."""
    return {
        "em": best_mean(targets, predictions, _equal(normalize_trivia)),
        "f1": best_mean(targets, predictions, _overlap(normalize_trivia)),
    }


def _equal(normalized: Callable[[str], str]) -> Callable[[str, str], float]:
    return lambda target, said: float(normalized(target) == normalized(said))


def _overlap(normalized: Callable[[str], str]) -> Callable[[str, str], float]:
    def f1(target: str, said: str) -> float:
        gold, found = normalized(target).split(), normalized(said).split()
        if not gold or not found:
            return float(gold == found)
        return 2 * (Counter(gold) & Counter(found)).total() / (len(gold) + len(found))

    return f1


METRICS: dict[str, MetricFn] = {
    "accuracy": accuracy,
    "normalized_accuracy": normalized_accuracy,
    "f1": token_f1,
    "squad": squad,
    "trivia_qa": trivia_qa,
    "rouge": rouge,
    "bleu": bleu,
    "edit_similarity": edit_similarity,
    "f1_yes": f1_yes,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "correlations": correlations,
    "group_match": all_of_group,
}
"""Metric functions by the name a task definition uses; the first name is the task's score."""

BY_CLASS = frozenset({"f1_yes", "macro_f1", "matthews", "correlations"})
"""Metrics of answers as classes: given in their own words, not as markers of options."""

BY_GROUP = frozenset({"group_match"})
"""Metrics of questions that take several rows: given the rows' groups as well."""
