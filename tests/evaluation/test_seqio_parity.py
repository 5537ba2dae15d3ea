"""Our scores equal those of a real `seqio.Evaluator` on the same tasks. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

seqio = pytest.importorskip("seqio")

from flan_t5x.data.cache import CachedSplit, CacheSpec, ensure_cached  # noqa: E402
from flan_t5x.data.definitions import TaskDefinition  # noqa: E402
from flan_t5x.data.seqio_tasks import to_seqio_mixture, to_seqio_task  # noqa: E402
from flan_t5x.data.vocabulary import Vocabulary, default_vocabulary  # noqa: E402
from flan_t5x.evaluation import scoring  # noqa: E402
from flan_t5x.evaluation.heldout import HeldOut  # noqa: E402
from tests.evaluation.toys import (  # noqa: E402
    LENGTHS,
    FakeGenerator,
    class_task,
    open_task,
    said,
    tasks,
)


def predictor(vocabulary: Vocabulary) -> Callable[[Any], list[tuple[int, list[int]]]]:
    """Answers as `said` does; rows of equal length, as seqio needs them."""

    def predict(dataset: Any) -> list[tuple[int, list[int]]]:
        found = []
        for row, example in dataset.as_numpy_iterator():
            target = vocabulary.decode(example["decoder_target_tokens"].tolist())
            tokens = [*vocabulary.encode(said(target, row)), vocabulary.eos_id]
            found.append((int(row), tokens + [0] * (64 - len(tokens))))
        return found[::-1]  # the index, not the order, says which is which

    return predict


def evaluated(name: str, vocabulary: Vocabulary, predict: Any) -> dict[str, dict[str, float]]:
    """What a SeqIO evaluator says of a task or mixture that is registered with it."""
    evaluator = seqio.Evaluator(
        name,
        seqio.EncDecFeatureConverter(pack=False),
        eval_split="validation",
        sequence_length=LENGTHS,
        async_compute_metrics=False,
    )
    future, _ = evaluator.evaluate(compute_metrics=True, predict_fn=predict)
    found: dict[str, dict[str, float]] = future.result()
    return found


def test_scores_equal_seqio_evaluators(
    toy_registry: None, splits: list[CachedSplit], vocabulary: Vocabulary
) -> None:
    to_seqio_mixture("toy_all", vocabulary=vocabulary, scoring=scoring, feature_lengths=LENGTHS)
    theirs = evaluated("toy_all", vocabulary, predictor(vocabulary))

    texts = []
    for split in splits:
        rows = split.read(range(split.num_examples))
        texts += [said(row.info["targets"], i) for i, row in enumerate(rows) if row.info]
    generator = FakeGenerator(texts, vocabulary)
    heldout = HeldOut(tasks(), splits, vocabulary=vocabulary, generator=generator)  # type: ignore[arg-type]
    ours = {task.name: task.metrics for task in heldout({}).tasks}

    assert ours == theirs
    scores = [score for metrics in ours.values() for score in metrics.values()]
    assert len(scores) == 4
    assert all(0.0 < score < 1.0 for score in scores), "a telling test"
    assert np.unique(scores).size > 2


@pytest.mark.parametrize(
    ("task", "texts"),
    [
        (class_task(), ["(A)", "(B)", "(A)", "(A)", "(B)", "hm"]),
        (open_task(), ["red", "the blue", "blue", "green", "blue red", "white"]),
    ],
    ids=["classes and groups", "references"],
)
def test_classes_groups_and_references_count_in_seqio_as_well(
    task: TaskDefinition, texts: list[str], tmp_path: Path
) -> None:
    vocabulary = default_vocabulary()
    to_seqio_task(task, vocabulary=vocabulary, scoring=scoring, feature_lengths=LENGTHS)

    def predict(dataset: Any) -> list[tuple[int, list[int]]]:
        tokens = [[*vocabulary.encode(text), vocabulary.eos_id] for text in texts]
        rows = [int(row) for row, _ in dataset.as_numpy_iterator()]
        return [(row, tokens[row] + [0] * (32 - len(tokens[row]))) for row in rows]

    theirs = evaluated(task.name, vocabulary, predict)[task.name]
    spec = CacheSpec((task,), vocabulary, LENGTHS)
    split = ensure_cached(spec, tmp_path, num_workers=1)[task.name, "validation"]
    rows = [row.info or {} for row in split.read(range(split.num_examples))]
    assert theirs == scoring.metrics(task, rows, texts)
    assert all(0.0 < score < 1.0 for score in theirs.values()), "a telling test"
