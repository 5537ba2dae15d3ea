"""What a score has to beat: the best constant answer, or a uniformly drawn valid one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Baseline:
    """Scores reachable without understanding the question.

    Attributes:
        constant: share of examples whose answer is the most frequent answer.
        constant_answer: that answer.
        random: expected accuracy of drawing uniformly from each example's valid answers; an
            open answer space counts as 0.
    """

    constant: float
    constant_answer: str
    random: float

    @property
    def value(self) -> float:
        """The better of the two."""
        return max(self.constant, self.random)


def baseline(answers: Sequence[str], valid_answers: Sequence[Sequence[str]]) -> Baseline:
    """The baseline of a set of examples.

    Args:
        answers: the gold answers.
        valid_answers: for each example what a guesser may draw from; empty for an open space.

    Raises:
        ValueError: no examples, or the two lengths differ.
    """
    if not answers or len(answers) != len(valid_answers):
        raise ValueError(f"{len(answers)} answers, {len(valid_answers)} sets of valid answers")
    answer, count = min(Counter(answers).items(), key=lambda item: (-item[1], item[0]))
    chances = [
        valid.count(gold) / len(valid) if valid else 0.0
        for gold, valid in zip(answers, map(list, valid_answers), strict=True)
    ]
    return Baseline(count / len(answers), answer, sum(chances) / len(chances))
