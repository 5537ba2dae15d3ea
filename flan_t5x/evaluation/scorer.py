"""One way of answering, compiled once, for one checkpoint after another."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from flan_t5x.decode.continuations import Decoding, check_samples
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import require_count
from flan_t5x.evaluation.answering import Answered, Answerer, Scoring, check_scoring
from flan_t5x.evaluation.buckets import MAX_BATCH_TOKENS
from flan_t5x.evaluation.generation import BatchProgress, Generator
from flan_t5x.evaluation.heldout import EvaluationResult, HeldOut
from flan_t5x.evaluation.journal import Journal
from flan_t5x.evaluation.loaded import LoadedModel
from flan_t5x.evaluation.ranking import Ranker
from flan_t5x.evaluation.results import rounded
from flan_t5x.evaluation.self_consistency import VoteKind, check_vote
from flan_t5x.evaluation.voting import Voted, voted
from flan_t5x.model.model import Params


@dataclass(frozen=True, kw_only=True)
class Method:
    """How prompts are answered; see `run.evaluate` for the meaning of each."""

    max_input_length: int
    max_decode_length: int
    batch_size: int
    max_batch_tokens: int = MAX_BATCH_TOKENS
    scoring: Scoring = "generate"
    decoding: Decoding = dataclasses.field(default_factory=Sampling)
    num_samples: int = 1
    vote: VoteKind = "majority"
    complex_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_batch_tokens", "max_input_length", "max_decode_length"):
            require_count(f"evaluate.{name}", getattr(self, name))
        check_samples(self.decoding, self.num_samples)
        check_scoring(self.scoring, num_samples=self.num_samples)
        check_vote(self.vote, complex_share=self.complex_share)

    def settings(self) -> dict[str, Any]:
        """What answers depend on, JSON-able; not on the size of batches."""
        votes = self.num_samples > 1
        return {
            "max_input_length": self.max_input_length,
            "max_decode_length": self.max_decode_length,
            "scoring": self.scoring,
            "decoding": {
                "method": type(self.decoding).__name__,
                **dataclasses.asdict(self.decoding),
            },
            "num_samples": self.num_samples,
            "vote": self.vote if votes else None,
            "complex_share": self.complex_share if votes and self.vote == "complexity" else None,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Scored:
    """What was found out about one checkpoint.

    Attributes:
        result: the scores; each task's `samples` are all its examples.
        answered: the answers.
        votes: of the samples, where there are several.
    """

    result: EvaluationResult
    answered: Answered
    votes: Voted | None

    @property
    def not_finite(self) -> int:
        """Prompts whose answer has no finite log-probability: the model's logits are no numbers."""
        return int((~np.isfinite(self.answered.generated.sample_log_probs)).any(axis=1).sum())

    def more(self) -> dict[str, Any]:
        """Entries of results.json beside the scores."""
        entries: dict[str, Any] = {
            "cut_prompts": self.answered.cut,
            "ranked_prompts": self.answered.ranked,
            "not_finite": self.not_finite,
        }
        if self.votes is not None:
            entries["self_consistency"] = self.votes.record()
        return entries

    def of_prompts(self) -> list[dict[str, Any]]:
        """Fields of predictions.jsonl beside the usual ones, for each prompt."""
        fields: list[dict[str, Any]] = [{} for _ in self.answered.options]
        for number, options in enumerate(self.answered.options):
            if options:
                fields[number]["options"] = {o: rounded(p) for o, p in options.items()}
            if self.votes is not None:
                fields[number]["samples"] = self.votes.samples[number]
        return fields


class Scorer:
    """Answers and scores the prompts of a `HeldOut`.

    Args:
        loaded: the first checkpoint; further ones have its sizes, vocabulary and devices.
        heldout: what is scored.
        method: how.
    """

    def __init__(self, loaded: LoadedModel, heldout: HeldOut, method: Method) -> None:
        self.heldout = heldout
        self._method = method
        self._vocabulary = loaded.vocabulary
        few = max(1, heldout.num_examples)
        ranker = None
        if method.scoring != "generate":
            ranker = Ranker(
                loaded.model,
                mesh=loaded.mesh,
                batch_size=min(method.batch_size, few),
                max_input_length=method.max_input_length,
                max_batch_tokens=method.max_batch_tokens,
            )
        self._answerer = Answerer(
            heldout,
            loaded.vocabulary,
            make_generator(loaded, method, prompts=few),
            ranker,
            normalized=method.scoring == "rank_normalized",
        )

    def __call__(
        self,
        params: Params,
        *,
        journal: Journal | None = None,
        progress: BatchProgress | None = None,
    ) -> Scored:
        """Scores one checkpoint; arguments as for `Answerer`."""
        method = self._method
        answered = self._answerer(params, seed=method.seed, journal=journal, progress=progress)
        if method.num_samples == 1:
            return Scored(self.heldout.score(answered.generated), answered, None)
        votes = voted(
            self.heldout,
            answered.generated,
            vocabulary=self._vocabulary,
            kind=method.vote,
            complex_share=method.complex_share,
        )
        return Scored(self.heldout.score(votes.generated), answered, votes)


def make_generator(loaded: LoadedModel, method: Method, *, prompts: int) -> Generator:
    """Decoding as the method says; batches have no more rows than there are prompts."""
    return Generator(
        loaded.model,
        mesh=loaded.mesh,
        rules=loaded.rules,
        batch_size=min(method.batch_size, prompts * method.num_samples),
        max_input_length=method.max_input_length,
        max_decode_length=method.max_decode_length,
        decoding=method.decoding,
        num_samples=method.num_samples,
        max_batch_tokens=method.max_batch_tokens,
    )
