"""Scores of answers as classes or numbers, in GLUE's and SuperGLUE's manner.

Targets and predictions are the answers' own words, whatever marker a prompt gave them. An answer
that is none of the classes counts as a class of its own, which is never right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from flan_t5x.evaluation.answers import Target, mean, paired

POSITIVE = "yes"
UNREADABLE_NUMBER = -1.0
"""What a prediction without a number counts as (as in T5)."""


def f1_yes(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """F1 of the class "yes" (MRPC, QQP; MultiRC's F1 over all answers); 0 where it never comes."""
    pairs = [(right[0], said) for right, said in paired(targets, predictions)]
    if not pairs:
        return {"f1_yes": float("nan")}
    return {"f1_yes": _f1_of(POSITIVE, pairs)}


def macro_f1(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Mean F1 over the classes that occur among the targets (CB)."""
    pairs = [(right[0], said) for right, said in paired(targets, predictions)]
    classes = sorted({gold for gold, _ in pairs})
    return {"macro_f1": mean([_f1_of(one, pairs) for one in classes])}


def matthews(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Matthews' correlation (CoLA), in [-1, 1]; for more than two classes Gorodkin's (2004).

    0 where all targets, or all predictions, are of one class.
    """
    pairs = [(right[0], said) for right, said in paired(targets, predictions)]
    if not pairs:
        return {"matthews": float("nan")}
    count, right = len(pairs), sum(gold == said for gold, said in pairs)
    golds, saids = Counter(g for g, _ in pairs), Counter(s for _, s in pairs)
    top = right * count - sum(golds[one] * saids[one] for one in golds)
    spread = math.prod(count**2 - sum(n * n for n in c.values()) for c in (golds, saids))
    return {"matthews": top / math.sqrt(spread) if spread else 0.0}


def correlations(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Pearson's and Spearman's correlation of numbers (STS-B), in [-1, 1], by SciPy.

    0 where all targets, or all predictions, are equal. NaN for no examples.
    """
    pairs = [(_number(right[0]), _number(said)) for right, said in paired(targets, predictions)]
    if not pairs:
        return {"pearson": float("nan"), "spearman": float("nan")}
    golds, saids = ([pair[side] for pair in pairs] for side in (0, 1))
    if len(set(golds)) < 2 or len(set(saids)) < 2:
        return {"pearson": 0.0, "spearman": 0.0}
    from scipy import stats

    return {
        "pearson": float(stats.pearsonr(golds, saids).statistic),
        "spearman": float(stats.spearmanr(golds, saids).statistic),
    }


def all_of_group(
    targets: Sequence[Target], predictions: Sequence[str], groups: Sequence[str] | None = None
) -> dict[str, float]:
    """Share of groups with every answer right (MultiRC's exact match by question).

    Args:
        targets: what is right.
        predictions: what came.
        groups: of each example, the question that it belongs to; None where each is one.
    """
    pairs = paired(targets, predictions)
    whole: dict[str, bool] = {}
    for group, (right, said) in zip(groups or map(str, range(len(pairs))), pairs, strict=True):
        whole[group] = whole.get(group, True) and said in right
    return {"group_match": mean([float(right) for right in whole.values()])}


def _f1_of(one: str, pairs: Sequence[tuple[str, str]]) -> float:
    both = sum(gold == said == one for gold, said in pairs)
    either = sum((gold == one) + (said == one) for gold, said in pairs)
    return 2.0 * both / either if either else 0.0


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return UNREADABLE_NUMBER
    return value if math.isfinite(value) else UNREADABLE_NUMBER
