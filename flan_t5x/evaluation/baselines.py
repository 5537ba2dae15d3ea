"""What a score has to beat: the best constant answer, or a uniformly drawn valid one.

Both under the task's own metric. Where one is not defined, or costs too much to find, it is NaN:
undefined, and never the figure of another metric.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_CANDIDATES = 10  # of the most frequent answers, the best is taken
SHARES = frozenset({"accuracy", "normalized_accuracy"})
"""Metrics that count right answers, so that the chance of a right one is their expectation."""

CHEAP = SHARES | {
    *("f1", "squad", "trivia_qa", "f1_yes", "macro_f1"),
    *("matthews", "correlations", "group_match"),
}
"""Metrics under which constants are tried. An overlap with long texts (ROUGE, BLEU, edits) takes
as long as scoring itself, each time, and its best constant is no frequent answer."""


@dataclass(frozen=True)
class Baseline:
    """Scores reachable without understanding the question; NaN where undefined.

    Attributes:
        constant: score of the best of the most frequent answers, given to every question.
        constant_answer: that answer; empty where there is none.
        random: expected score of drawing uniformly from each example's valid answers; an open
            answer space counts as 0.
    """

    constant: float
    constant_answer: str
    random: float

    @property
    def value(self) -> float:
        """The better of the two, as far as defined."""
        known = [part for part in (self.constant, self.random) if not math.isnan(part)]
        return max(known, default=math.nan)


def baseline(
    answers: Sequence[str],
    valid_answers: Sequence[Sequence[str]],
    *,
    metric: str = "accuracy",
    score: Callable[[str], float] | None = None,
) -> Baseline:
    """The baseline of a set of examples.

    Args:
        answers: the gold answers.
        valid_answers: for each example what a guesser may draw from; empty for an open space.
        metric: the task's score.
        score: of one answer given to all questions, under that metric; None for the share of
            examples whose gold answer it is.

    Raises:
        ValueError: no examples, or the two lengths differ.
    """
    if not answers or len(answers) != len(valid_answers):
        raise ValueError(f"{len(answers)} answers, {len(valid_answers)} sets of valid answers")
    counts = Counter(answers)
    of_constant = score or (lambda answer: counts[answer] / len(answers))
    frequent = sorted(counts, key=lambda answer: (-counts[answer], answer))[:_CANDIDATES]
    scores = {answer: of_constant(answer) for answer in frequent if metric in CHEAP}
    best = max(scores, key=scores.__getitem__, default="")
    return Baseline(scores.get(best, math.nan), best, _chance(answers, valid_answers, metric))


def shown(value: float | None, digits: int = 3) -> str:
    """A figure for a table; "-" where it is undefined."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _chance(answers: Sequence[str], valid_answers: Sequence[Sequence[str]], metric: str) -> float:
    """Share of right answers when drawn from the valid ones; NaN for metrics of another kind."""
    if metric not in SHARES:
        return math.nan
    chances = [
        valid.count(gold) / len(valid) if valid else 0.0
        for gold, valid in zip(answers, map(list, valid_answers), strict=True)
    ]
    return sum(chances) / len(chances)
