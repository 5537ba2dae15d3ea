"""Our scores equal those of a real `seqio.Evaluator` on the same tasks. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

seqio = pytest.importorskip("seqio")

from flan_t5x.data.cache import CachedSplit  # noqa: E402
from flan_t5x.data.seqio_tasks import to_seqio_mixture  # noqa: E402
from flan_t5x.data.vocabulary import Vocabulary  # noqa: E402
from flan_t5x.evaluation.extraction import EXTRACTORS  # noqa: E402
from flan_t5x.evaluation.heldout import HeldOut  # noqa: E402
from flan_t5x.evaluation.metrics import METRICS  # noqa: E402
from tests.evaluation.toys import LENGTHS, FakeGenerator, said, tasks  # noqa: E402


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


def test_scores_equal_seqio_evaluators(
    toy_registry: None, splits: list[CachedSplit], vocabulary: Vocabulary
) -> None:
    to_seqio_mixture(
        "toy_all",
        vocabulary=vocabulary,
        metrics=METRICS,
        extractors=EXTRACTORS,
        feature_lengths=LENGTHS,
    )
    evaluator = seqio.Evaluator(
        "toy_all",
        seqio.EncDecFeatureConverter(pack=False),
        eval_split="validation",
        sequence_length=LENGTHS,
        async_compute_metrics=False,
    )
    future, _ = evaluator.evaluate(compute_metrics=True, predict_fn=predictor(vocabulary))
    theirs = future.result()

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
