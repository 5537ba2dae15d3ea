"""What all metrics share: what a target may be, how answers are normalised, means."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence

Target = str | Sequence[str]
"""One text, or several that are all right; a metric takes the one that fits best."""

MetricFn = Callable[[Sequence[Target], Sequence[str]], Mapping[str, float]]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PUNCTUATION_TO_SPACE = str.maketrans(dict.fromkeys(string.punctuation, " "))


def accepted(target: Target) -> Sequence[str]:
    """All texts that are right."""
    return (target,) if isinstance(target, str) else tuple(target)


def normalize_answer(text: str) -> str:
    """Lower-cased, without punctuation, articles and repeated spaces (Rajpurkar et al. 2016)."""
    text = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def normalize_trivia(text: str) -> str:
    """Likewise, with spaces in place of punctuation (Joshi et al. 2017)."""
    text = text.lower().translate(_PUNCTUATION_TO_SPACE)
    return " ".join(_ARTICLES.sub(" ", text).split())


def best_mean(
    targets: Sequence[Target], predictions: Sequence[str], score: Callable[[str, str], float]
) -> float:
    """Mean over examples of the score against the best of the accepted texts. NaN for none.

    Args:
        targets: what is right.
        predictions: what came.
        score: of (an accepted text, a prediction).
    """
    pairs = paired(targets, predictions)
    return mean([max(score(one, said) for one in right) for right, said in pairs])


def paired(
    targets: Sequence[Target], predictions: Sequence[str]
) -> list[tuple[Sequence[str], str]]:
    """(Accepted texts, prediction) of each example. Raises ValueError where the numbers differ."""
    if len(targets) != len(predictions):
        raise ValueError(f"{len(targets)} targets but {len(predictions)} predictions")
    return list(zip(map(accepted, targets), predictions, strict=True))


def mean(values: Sequence[float]) -> float:
    """NaN for no values."""
    return sum(values) / len(values) if values else float("nan")
