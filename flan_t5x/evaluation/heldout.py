"""Held-out evaluation: generate, extract, score by task, average; with baselines beside.

The contract is SeqIO's Evaluator's (targets and predictions post-processed, then given to the
task's metric functions), run over cached tokens and built once per run: its own construction
takes seconds for twenty tasks. A test compares the scores with `seqio.Evaluator`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from flan_t5x.data.cache import CachedSplit
from flan_t5x.data.definitions import TaskDefinition
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError, nearest
from flan_t5x.evaluation.baselines import Baseline, baseline
from flan_t5x.evaluation.extraction import EXTRACTORS
from flan_t5x.evaluation.generation import BatchProgress, Generated, Generator
from flan_t5x.evaluation.metrics import METRICS
from flan_t5x.model.model import Params


@dataclass(frozen=True)
class ScoredExample:
    """One prompt with what was wanted and what came.

    Attributes:
        id: of the source's row.
        inputs: the prompt as rendered.
        target: the text that was wanted.
        prediction: the text that came.
        extracted: what was scored of it.
        correct: whether the task's first metric gives this example alone the full score.
        log_prob: of the prediction under the model.
    """

    id: str
    inputs: str
    target: str
    prediction: str
    extracted: str
    correct: bool
    log_prob: float


@dataclass(frozen=True)
class TaskScore:
    """A task's result.

    Attributes:
        name: of the task.
        group: its submixture or cluster.
        metrics: all its metrics; shares in [0, 1].
        score: the first metric, which enters the average.
        baseline: what can be had without understanding.
        num_examples: examples scored.
        samples: the first few examples, or all.
    """

    name: str
    group: str
    metrics: dict[str, float]
    score: float
    baseline: Baseline
    num_examples: int
    samples: tuple[ScoredExample, ...]


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of all tasks of one evaluation.

    Attributes:
        tasks: in order of definition.
        seconds: generation and scoring.
        compilations: programs compiled so far.
    """

    tasks: tuple[TaskScore, ...]
    seconds: float
    compilations: int

    @property
    def average(self) -> float:
        """Unweighted mean of the tasks' scores; NaN where one is undefined."""
        return _mean([t.score for t in self.tasks])

    @property
    def baseline(self) -> float:
        """Unweighted mean of the tasks' baselines."""
        return _mean([t.baseline.value for t in self.tasks])

    def values(self) -> dict[str, float]:
        """Score by task name."""
        return {t.name: t.score for t in self.tasks}


class HeldOut:
    """A set of cached tasks, scored again and again with changing parameters.

    Args:
        tasks: what is scored.
        splits: their cached split, in the same order; records carry the rendered texts.
        vocabulary: decodes predictions.
        generator: compiled decoding.
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
        generator: Generator,
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
            _check_names(task)
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
            scores.append(self._score(task, rows, texts[here], generated.log_probs[here]))
            first += len(rows)
        return EvaluationResult(tuple(scores), generated.seconds, generated.compilations)

    def _score(
        self,
        task: TaskDefinition,
        rows: Sequence[dict[str, object]],
        texts: Sequence[str],
        log_probs: np.ndarray,
    ) -> TaskScore:
        extract = EXTRACTORS[task.extract]
        targets = [extract(str(row["targets"])) for row in rows]
        predictions = [extract(text) for text in texts]
        metrics: dict[str, float] = {}
        for name in task.metrics:
            metrics.update(METRICS[name](targets, predictions))
        valid = [[extract(str(v)) for v in _list(row.get("valid_answers"))] for row in rows]
        first = METRICS[task.metrics[0]]
        samples = tuple(
            ScoredExample(
                id=str(rows[i].get("id", i)),
                inputs=str(rows[i]["inputs"]),
                target=str(rows[i]["targets"]),
                prediction=texts[i],
                extracted=predictions[i],
                correct=next(iter(first(targets[i : i + 1], predictions[i : i + 1]).values())) == 1,
                log_prob=float(log_probs[i]),
            )
            for i in range(len(rows))[: self._samples]
        )
        return TaskScore(
            name=task.name,
            group=task.group,
            metrics=metrics,
            score=next(iter(metrics.values())),
            baseline=baseline(targets, valid),
            num_examples=len(rows),
            samples=samples,
        )


def standard_error(result: EvaluationResult) -> float:
    """Standard error of the average from the examples' binomial noise, tasks independent."""
    parts = [t.score * (1 - t.score) / max(t.num_examples, 1) for t in result.tasks]
    return math.sqrt(sum(parts)) / max(len(parts), 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _info(task: TaskDefinition, info: dict[str, object] | None) -> dict[str, object]:
    if info is None:
        raise ValueError(f"{task.name}: the cached split has no texts to score against")
    return info


def _check_names(task: TaskDefinition) -> None:
    for kind, name, known in (
        *(("metric", m, list(METRICS)) for m in task.metrics),
        ("extractor", task.extract, list(EXTRACTORS)),
    ):
        if name not in known:
            hint = nearest(name, known) or f"known: {', '.join(known)}"
            raise UserError(f"task {task.name}: {kind} {name!r} is not known; {hint}")
