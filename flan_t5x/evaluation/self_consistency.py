"""Self-consistency: several rationales of one question vote on its answer (Wang et al. 2022).

Votes are counted on extracted answers; an empty one (nothing could be extracted) has no vote
unless all are empty. Of equal counts the answer wins whose rationales have the greater summed
log-probability, of equal sums the one that came first. With complexity (Fu et al. 2022) only the
rationales with the most steps vote.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flan_t5x.errors import UserError, nearest

VoteKind = Literal["majority", "complexity"]
VOTES: tuple[VoteKind, ...] = ("majority", "complexity")
MOST_WINDOWS = 10
"""Sets of k samples that a point of the curve is the mean of; see `curve`."""

_STEP_ENDS = re.compile(r"\n+|(?<=[.!?;])\s+")


@dataclass(frozen=True)
class Rationales:
    """The samples of one question, in the order in which they were drawn.

    Attributes:
        texts: what was written.
        answers: extracted from them.
        log_probs: summed log-probability of each.
    """

    texts: Sequence[str]
    answers: Sequence[str]
    log_probs: Sequence[float]


def check_vote(kind: str, *, complex_share: float) -> None:
    """Raises UserError for an unknown kind, or a share of voters outside of (0, 1]."""
    if kind not in VOTES:
        raise UserError(f"vote = {kind!r}: {nearest(kind, VOTES) or f'use one of {VOTES}'}")
    if not 0.0 < complex_share <= 1.0:
        raise UserError(f"complex_share = {complex_share!r}: needs 0 < share <= 1")


def vote(rationales: Rationales, kind: VoteKind = "majority", *, complex_share: float = 0.5) -> int:
    """Number of the sample that speaks for the winner: its rationale of the best log-probability.

    Args:
        rationales: at least one.
        kind: "majority" counts all; "complexity" the share with the most steps.
        complex_share: of the samples, rounded up; of equally long rationales the earlier vote.
    """
    voters = list(range(len(rationales.answers)))
    if kind == "complexity":
        count = math.ceil(complex_share * len(voters))
        voters = sorted(voters, key=lambda i: -steps(rationales.texts[i]))[:count]
    voters = [i for i in voters if rationales.answers[i]] or voters
    by_answer: dict[str, list[int]] = {}
    for i in sorted(voters):
        by_answer.setdefault(rationales.answers[i], []).append(i)
    weight = [_number(p) for p in rationales.log_probs]
    winner = max(by_answer.values(), key=lambda who: (len(who), sum(weight[i] for i in who)))
    return max(winner, key=lambda i: weight[i])


def steps(rationale: str) -> int:
    """Lines or sentences of a text that are not empty.

    Fu et al. (2022) count lines and name full stops as another mark; T5's vocabulary has no line
    break.
    """
    return sum(bool(piece.strip()) for piece in _STEP_ENDS.split(rationale))


def curve(
    questions: Sequence[Rationales],
    score: Callable[[Sequence[str]], float],
    kind: VoteKind = "majority",
    *,
    complex_share: float = 0.5,
) -> dict[int, float]:
    """Score by number of samples k = 1..n, out of one drawing of n samples.

    The score at k is the mean over sets of k samples that follow one another in a circle: all n
    sets where n <= `MOST_WINDOWS`, else so many, evenly spread. Each is what a run with k samples
    might have given; at k = n there is one set, and the score is that of the vote itself.

    Args:
        questions: of one task, the same number of samples each.
        score: of the answers to all questions.
        kind: as for `vote`, as is `complex_share`.
    """
    n = len(questions[0].answers) if questions else 0
    starts = sorted({int(i * n / MOST_WINDOWS) for i in range(MOST_WINDOWS)}) if n else []
    found = {}
    for k in range(1, n + 1):
        windows = [[(start + i) % n for i in range(k)] for start in (starts if k < n else [0])]
        scores = []
        for window in windows:
            chosen = [_some(q, sorted(window)) for q in questions]
            voted = [q.answers[vote(q, kind, complex_share=complex_share)] for q in chosen]
            scores.append(score(voted))
        found[k] = float(np.mean(scores))
    return found


def consistency_table(curves: Mapping[str, Mapping[int, float]]) -> str:
    """The mean of all tasks' scores at 1, 2, 4, ... and all samples, as one line of text."""
    most = max((k for by_k in curves.values() for k in by_k), default=0)
    shown = sorted({2**i for i in range(most.bit_length())} | {most})
    means = {k: float(np.mean([c[k] for c in curves.values() if k in c])) for k in shown if k}
    points = ", ".join(f"{k}: {mean:.4f}" for k, mean in means.items())
    return f"self-consistency, average by number of samples: {points}"


def _some(rationales: Rationales, chosen: Sequence[int]) -> Rationales:
    parts = (rationales.texts, rationales.answers, rationales.log_probs)
    return Rationales(*([part[i] for i in chosen] for part in parts))  # type: ignore[arg-type]


def _number(log_prob: float) -> float:
    """NaN (which compares with nothing) is worse than any number."""
    return log_prob if math.isfinite(log_prob) else -math.inf
