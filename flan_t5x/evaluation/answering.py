"""Answers to an evaluation's prompts: generated, or chosen among options; resumable."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError, nearest
from flan_t5x.evaluation.generation import BatchProgress, Generated, Generator
from flan_t5x.evaluation.heldout import HeldOut
from flan_t5x.evaluation.journal import Journal
from flan_t5x.evaluation.ranking import OptionScores, Ranker
from flan_t5x.model.model import Params
from flan_t5x.parallel import distributed

Scoring = Literal["generate", "rank", "rank_normalized"]
SCORINGS: tuple[Scoring, ...] = ("generate", "rank", "rank_normalized")

_Rows = list[int]
_Records = Sequence[dict[str, Any]]


def check_scoring(scoring: str, *, num_samples: int) -> None:
    """Raises UserError for an unknown scoring, or one that would draw samples for nothing."""
    if scoring not in SCORINGS:
        hint = nearest(scoring, SCORINGS) or f"use one of {', '.join(SCORINGS)}"
        raise UserError(f"scoring = {scoring!r} is not known; {hint}")
    if scoring != "generate" and num_samples > 1:
        raise UserError(
            f"scoring = {scoring!r} with num_samples = {num_samples}: options are scored, not "
            "sampled; set scoring = 'generate' or num_samples = 1"
        )


@dataclass(frozen=True)
class Answered:
    """All answers of one evaluation.

    Attributes:
        generated: in the order of the prompts, texts included.
        options: by prompt, the options' log-probabilities; empty where it was generated.
        cut: prompts that were too long.
        resumed: prompts answered by an earlier start.
    """

    generated: Generated
    options: list[dict[str, float]]
    cut: int
    resumed: int

    @property
    def ranked(self) -> int:
        """How many prompts were answered by ranking their options."""
        return sum(bool(scores) for scores in self.options)


class Answerer:
    """Answers the prompts of a `HeldOut`, batch by batch, each of which a journal may keep.

    Args:
        heldout: the prompts, and options where rows have them (two or more "valid_answers").
        vocabulary: of prompts and answers.
        generator: for what is not ranked.
        ranker: for rows with options; None generates all.
        normalized: whether a ranked option's log-probability is divided by its tokens.
    """

    def __init__(
        self,
        heldout: HeldOut,
        vocabulary: Vocabulary,
        generator: Generator,
        ranker: Ranker | None = None,
        *,
        normalized: bool = False,
    ) -> None:
        self._vocabulary = vocabulary
        self._generator = generator
        self._ranker = ranker
        self._normalized = normalized
        self._prompts = heldout.prompts
        self._options = [
            _options(row) if ranker is not None else [] for rows in heldout.rows for row in rows
        ]
        self._ranked = [i for i, options in enumerate(self._options) if options]
        self._written = [i for i, options in enumerate(self._options) if not options]

    @property
    def compilations(self) -> int:
        """Programs compiled so far."""
        ranked = self._ranker.compilations if self._ranker is not None else 0
        return self._generator.compilations + ranked

    def __call__(
        self,
        params: Params,
        *,
        seed: int = 0,
        journal: Journal | None = None,
        progress: BatchProgress | None = None,
    ) -> Answered:
        """Answers what is not in the journal.

        Args:
            params: the model's parameters, placed on the mesh.
            seed: of sampling; a prompt's key is a function of (seed, its number).
            journal: on the first process of several, and on no other; None keeps nothing.
            progress: told (prompts done, prompts in all) after each batch.
        """
        start = time.monotonic()
        kept = json.dumps(journal.answers if journal is not None else {}).encode()
        answers = {int(i): a for i, a in json.loads(distributed.bytes_from_lead(kept)).items()}
        resumed = len(answers)
        longest = self._generator.buckets.longest

        def run(batches: Sequence[_Rows], answer: Callable[[_Rows], _Records]) -> None:
            for rows in batches:
                if all(i in answers for i in rows):
                    continue
                # Through JSON, as the journal would give them back.
                made = json.loads(json.dumps(list(answer(rows)), allow_nan=False))
                answers.update(zip(rows, made, strict=True))
                if journal is not None:
                    long = sum(len(self._prompts[i]) > longest for i in rows)
                    journal.add(rows, made, cut=long)
                if progress is not None:
                    progress(len(answers), len(self._prompts))

        self._rank(params, run)
        self._generate(params, run, seed=seed)
        in_order = [answers[i] for i in range(len(self._prompts))]
        generated = self._collect(in_order)
        generated.seconds = time.monotonic() - start
        return Answered(
            generated,
            [
                dict(zip(options, _log_probs(a["options"]), strict=True)) if options else {}
                for options, a in zip(self._options, in_order, strict=True)
            ],
            cut=sum(len(p) > longest for p in self._prompts),
            resumed=resumed,
        )

    def _rank(self, params: Params, run: Callable[..., None]) -> None:
        if self._ranker is None:
            return
        ranker = self._ranker
        encoded = {i: self._encode(self._options[i]) for i in self._ranked}

        def answer(rows: _Rows) -> list[dict[str, Any]]:
            found = ranker.answer(
                params, [self._prompts[i] for i in rows], [encoded[i] for i in rows]
            )
            return [self._choice(scores) for scores in found]

        batches = ranker.batches(
            [self._prompts[i] for i in self._ranked], [encoded[i] for i in self._ranked]
        )
        run([[self._ranked[i] for i in batch] for batch in batches], answer)

    def _choice(self, scores: OptionScores) -> dict[str, Any]:
        return {
            "best": scores.best(normalized=self._normalized),
            "options": [_finite(x) for x in scores.log_probs],
        }

    def _generate(self, params: Params, run: Callable[..., None], *, seed: int) -> None:
        def answer(rows: _Rows) -> list[dict[str, Any]]:
            prompts = [self._prompts[i] for i in rows]
            made = self._generator.answer(params, prompts, numbers=rows, seed=seed)
            return [
                {"tokens": [t.tolist() for t in tokens], "log_probs": [_finite(x) for x in probs]}
                for tokens, probs in zip(made.samples, made.sample_log_probs, strict=True)
            ]

        batches = self._generator.batches([len(self._prompts[i]) for i in self._written])
        run([[self._written[i] for i in batch] for batch in batches], answer)

    def _collect(self, answers: _Records) -> Generated:
        samples: list[list[np.ndarray]] = []
        log_probs = np.full((len(answers), self._generator.num_samples), np.nan, np.float32)
        texts: list[str] = []
        for i, answer in enumerate(answers):
            if self._options[i]:
                best = answer["best"]
                texts.append("" if best is None else self._options[i][best])
                log_probs[i] = math.nan if best is None else answer["options"][best]
                samples.append([np.array(self._vocabulary.encode(texts[i]), np.int32)])
            else:
                samples.append([np.array(tokens, np.int32) for tokens in answer["tokens"]])
                log_probs[i] = _log_probs(answer["log_probs"])
                texts.append(self._vocabulary.decode(answer["tokens"][0]))
        return Generated(
            tokens=[of_prompt[0] for of_prompt in samples],
            log_probs=log_probs[:, 0],
            compilations=self.compilations,
            samples=samples,
            sample_log_probs=log_probs,
            texts=texts,
        )

    def _encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        eos = self._vocabulary.eos_id
        return [np.array([*ids, eos], np.int32) for ids in self._vocabulary.encode_batch(texts)]


def _options(row: dict[str, object]) -> list[str]:
    """A row's options, each once; none where there is nothing to choose."""
    found = row.get("valid_answers")
    options = list(dict.fromkeys(map(str, found))) if isinstance(found, list | tuple) else []
    return options if len(options) > 1 else []


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _log_probs(kept: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in kept]
