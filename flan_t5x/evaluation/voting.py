"""Self-consistency over the samples of an evaluation: who wins, and the score at every k."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.evaluation.extraction import EXTRACTORS
from flan_t5x.evaluation.generation import Generated
from flan_t5x.evaluation.heldout import HeldOut
from flan_t5x.evaluation.results import finite, rounded
from flan_t5x.evaluation.scoring import AnswerKey
from flan_t5x.evaluation.self_consistency import Rationales, VoteKind, curve, vote


@dataclass(frozen=True)
class Voted:
    """What the samples of all prompts say together.

    Attributes:
        generated: each prompt's answer is the sample that speaks for the winner.
        curves: by task, its score by number of samples; see `self_consistency.curve`.
        samples: by prompt, every sample as it is written down: prediction, extracted, log_prob.
    """

    generated: Generated
    curves: dict[str, dict[int, float]]
    samples: list[list[dict[str, Any]]]

    def record(self) -> dict[str, dict[str, float | None]]:
        """`curves` as JSON: keys are texts, an undefined score is None."""
        return {
            task: {str(k): finite(score) for k, score in by_k.items()}
            for task, by_k in self.curves.items()
        }


def voted(
    heldout: HeldOut,
    generated: Generated,
    *,
    vocabulary: Vocabulary,
    kind: VoteKind = "majority",
    complex_share: float = 0.5,
) -> Voted:
    """Lets the samples of every prompt vote on its answer, extracted as its task does.

    Args:
        heldout: whose prompts were answered.
        generated: with several samples each.
        vocabulary: decodes them.
        kind: as for `self_consistency.vote`, as is `complex_share`.
    """
    rules: dict[str, Any] = {"kind": kind, "complex_share": complex_share}
    questions: list[Rationales] = []
    curves: dict[str, dict[int, float]] = {}
    for task, rows in zip(heldout.tasks, heldout.rows, strict=True):
        first, extract = len(questions), EXTRACTORS[task.extract]
        for number in range(first, first + len(rows)):
            texts = [vocabulary.decode(t.tolist()) for t in generated.samples[number]]
            log_probs = generated.sample_log_probs[number].tolist()
            questions.append(Rationales(texts, [extract(text) for text in texts], log_probs))
        key = AnswerKey(task, rows)

        def score(answers: Sequence[str], key: AnswerKey = key) -> float:
            return next(iter(key.metrics(answers).values()))

        curves[task.name] = curve(questions[first:], score, **rules)
    winners = [vote(question, **rules) for question in questions]
    chosen = dataclasses.replace(
        generated,
        tokens=[samples[w] for samples, w in zip(generated.samples, winners, strict=True)],
        log_probs=generated.sample_log_probs[range(len(winners)), winners],
        texts=[question.texts[w] for question, w in zip(questions, winners, strict=True)],
    )
    return Voted(chosen, curves, [_written(question) for question in questions])


def _written(question: Rationales) -> list[dict[str, Any]]:
    return [
        {"prediction": text, "extracted": answer, "log_prob": rounded(log_prob)}
        for text, answer, log_prob in zip(
            question.texts, question.answers, question.log_probs, strict=True
        )
    ]
