"""Held-out evaluation: generate, extract, score by task, average; with baselines beside.

The contract is SeqIO's Evaluator's (targets and predictions post-processed, then given to the
task's metric functions), run over cached tokens and built once per run: its own construction
takes seconds for twenty tasks. A test compares the scores with `seqio.Evaluator`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from flan_t5x.data.cache import CachedSplit
from flan_t5x.data.definitions import TaskDefinition
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.evaluation.generation import BatchProgress, Generated, Generator
from flan_t5x.evaluation.scoring import (
    EvaluationResult,
    ScoredExample,
    TaskScore,
    check_names,
    score_task,
    standard_error,
)
from flan_t5x.model.model import Params

__all__ = ["EvaluationResult", "HeldOut", "ScoredExample", "TaskScore", "standard_error"]


class HeldOut:
    """A set of cached tasks, scored again and again with changing parameters.

    Args:
        tasks: what is scored.
        splits: their cached split, in the same order; records carry the rendered texts.
        vocabulary: decodes predictions.
        generator: compiled decoding; None where answers come from elsewhere, see `score`.
        examples_per_task: the first so many examples; None for all.
        samples_per_task: examples kept in a result, for display; None for all.

    Attributes:
        tasks: as given.
        prompts: tokens of all tasks' prompts, task by task.
        rows: by task, the texts and answers that belong to them.
        fingerprint: hex digest of what is scored and how; scores of equal ones compare.
    """

    def __init__(
        self,
        tasks: Sequence[TaskDefinition],
        splits: Sequence[CachedSplit],
        *,
        vocabulary: Vocabulary,
        generator: Generator | None = None,
        examples_per_task: int | None = None,
        samples_per_task: int | None = 2,
    ) -> None:
        self.tasks = list(tasks)
        self._vocabulary = vocabulary
        self._generator = generator
        self._samples = samples_per_task
        self.prompts: list[np.ndarray] = []
        self.rows: list[list[dict[str, object]]] = []
        scored: list[tuple[object, ...]] = []
        for task, split in zip(tasks, splits, strict=True):
            check_names(task)
            count = split.num_examples
            if examples_per_task is not None:
                count = min(count, examples_per_task)
            examples = split.read(range(count))
            self.prompts += [example.inputs for example in examples]
            self.rows.append([_info(task, example.info) for example in examples])
            scored.append((split.manifest.fingerprint, count, task.metrics, task.extract))
        self.fingerprint = blake2b(repr(scored).encode(), digest_size=16).hexdigest()

    @property
    def num_examples(self) -> int:
        """Prompts of one evaluation."""
        return len(self.prompts)

    def __call__(
        self, params: Params, *, seed: int = 0, progress: BatchProgress | None = None
    ) -> EvaluationResult:
        """Generates for every prompt and scores every task.

        Args:
            params: the model's parameters, placed on the generator's mesh.
            seed: of sampling, where the generator samples.
            progress: told (prompts done, prompts in all) after each batch.
        """
        if self._generator is None:
            raise ValueError("this set has no generator: it scores given answers")
        return self.score(self._generator(params, self.prompts, seed=seed, progress=progress))

    def score(self, generated: Generated) -> EvaluationResult:
        """Scores every task by answers to `prompts`, in their order."""
        texts = generated.texts
        if texts is None:
            texts = [self._vocabulary.decode(tokens.tolist()) for tokens in generated.tokens]
        scores: list[TaskScore] = []
        first = 0
        for task, rows in zip(self.tasks, self.rows, strict=True):
            here = slice(first, first + len(rows))
            log_probs = generated.log_probs[here].tolist()
            scores.append(score_task(task, rows, texts[here], log_probs, samples=self._samples))
            first += len(rows)
        return EvaluationResult(tuple(scores), generated.seconds, generated.compilations)


def _info(task: TaskDefinition, info: dict[str, object] | None) -> dict[str, object]:
    if info is None:
        raise ValueError(f"{task.name}: the cached split has no texts to score against")
    return info
