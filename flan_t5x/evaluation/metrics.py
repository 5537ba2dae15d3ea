"""Metric functions in SeqIO's form: ``fn(targets, predictions) -> {name: value}``.

Scores are shares in [0, 1]. Strings arrive already extracted (`extraction.py`).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

MetricFn = Callable[[Sequence[str], Sequence[str]], Mapping[str, float]]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower-cased, without punctuation, articles and repeated spaces (Rajpurkar et al. 2016)."""
    text = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _check(targets: Sequence[str], predictions: Sequence[str]) -> None:
    if len(targets) != len(predictions):
        raise ValueError(f"{len(targets)} targets but {len(predictions)} predictions")


def accuracy(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Share of predictions equal to their target, to the letter. NaN for no examples."""
    _check(targets, predictions)
    return {"accuracy": _mean([float(t == p) for t, p in zip(targets, predictions, strict=True)])}


def normalized_accuracy(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Share equal after `normalize_answer`. NaN for no examples."""
    _check(targets, predictions)
    pairs = zip(targets, predictions, strict=True)
    hits = [float(normalize_answer(t) == normalize_answer(p)) for t, p in pairs]
    return {"normalized_accuracy": _mean(hits)}


def token_f1(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Mean overlap F1 of normalised words (SQuAD's). NaN for no examples."""
    _check(targets, predictions)

    def f1(target: str, prediction: str) -> float:
        gold, said = normalize_answer(target).split(), normalize_answer(prediction).split()
        common = sum((Counter(gold) & Counter(said)).values())
        if not gold or not said:
            return float(gold == said)
        return 2 * common / (len(gold) + len(said))

    return {"f1": _mean([f1(t, p) for t, p in zip(targets, predictions, strict=True)])}


METRICS: dict[str, MetricFn] = {
    "accuracy": accuracy,
    "normalized_accuracy": normalized_accuracy,
    "f1": token_f1,
}
"""Metric functions by the name a task definition uses; the first name is the task's score."""
