"""Our definitions as real `seqio.Task`s and `seqio.Mixture`s.

The task's source yields rows, its preprocessors render (the same `render` as the token cache),
tokenize and append the end of sequence. Scoring is handed in: `flan_t5x.evaluation.scoring`
stands above this package. Importing this module imports TensorFlow: about 6 s.

SeqIO scores what a task's postprocessor makes of targets and of predictions. Here a target becomes
the row's `example_info`, which rows of splits that are not trained on carry as the feature
"scoring", and one metric function gives them all to `scoring.metrics`: other right answers, the
classes behind markers and groups of rows count as in `flan-t5x eval`. What SeqIO cannot carry:
scores of single examples, intervals and baselines are not in its results; a metric sees only the
rows that the evaluator reads (`num_examples` may cut a group in two).
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import seqio
import tensorflow as tf

from flan_t5x.data.definitions import (
    Example,
    MixtureDefinition,
    RowError,
    Source,
    TaskDefinition,
)
from flan_t5x.data.example_info import example_info
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.registry import get_mixture, resolve
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError

Row = Mapping[str, object]


class Scoring(Protocol):
    """The module `flan_t5x.evaluation.scoring`."""

    def check_names(self, task: TaskDefinition) -> None:
        """Raises UserError for a metric or an extractor that does not exist."""

    def extracted(self, task: TaskDefinition, text: str) -> str:
        """What is scored of a text."""

    def metrics(
        self, task: TaskDefinition, rows: Sequence[Row], said: Sequence[str]
    ) -> Mapping[str, float]:
        """All metrics of a task over rows, given what was extracted of the predictions."""


DEFAULT_LENGTHS: Mapping[str, int] = {"inputs": 512, "targets": 128}


class SourceData(seqio.DataSource):
    """A `Source` as seqio reads it: rows in source order as ``{"id", "row"}`` strings.

    Rows that cannot be parsed are left out here; the token cache is what counts them.

    Args:
        source: the rows.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        sizes = {split: source.num_examples(split) for split in source.splits}
        super().__init__(splits=tuple(sizes), num_input_examples=sizes)

    @property
    def supports_arbitrary_sharding(self) -> bool:
        """Any number of shards: rows can be read from any position."""
        return True

    def list_shards(self, split: str) -> list[str]:
        """One shard, named after the split."""
        return [split]

    def get_dataset(
        self,
        split: str,
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **unused: Any,
    ) -> tf.data.Dataset:
        """Rows of a split (of every n-th, for a shard), in source order unless shuffled."""
        total = self._source.num_examples(split)

        trained = split.startswith("train")

        def rows() -> Iterator[dict[str, Any]]:
            for row in self._source.read(split, 0, total):
                if isinstance(row, Example):
                    yield {"id": row.id, "row": _to_json(row), "trained": trained}

        text = tf.TensorSpec((), tf.string)
        signature = {"id": text, "row": text, "trained": tf.TensorSpec((), tf.bool)}
        data = tf.data.Dataset.from_generator(rows, output_signature=signature)
        if shard_info is not None and shard_info.num_shards > 1:
            data = data.shard(shard_info.num_shards, shard_info.index)
        if shuffle:
            data = data.shuffle(max(total, 1), seed=seed)
        return data


class SameTokensVocabulary(seqio.SentencePieceVocabulary):
    """A seqio vocabulary whose graph mode gives the same ids as its Python mode.

    They differ where two segmentations score the same: tensorflow_text's copy of SentencePiece
    cuts "-------" into "---", "---", "-", the sentencepiece package into "-", "---", "---".
    The token cache uses the latter.
    """

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encode(text: bytes) -> np.ndarray:
            return np.array(self.encode(text.decode("utf-8")), np.int32)

        ids = tf.numpy_function(encode, [s], tf.int32)
        ids.set_shape((None,))
        return ids


def _to_json(example: Example) -> str:
    return json.dumps(dataclasses.asdict(example))


def _from_json(text: bytes) -> Example:
    row = json.loads(text)
    lists = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Example(**(row | lists))


def _render_preprocessor(
    task: TaskDefinition, vocabulary: Vocabulary, lengths: Mapping[str, int]
) -> Callable[..., tf.data.Dataset]:
    """A seqio preprocessor that turns rows into text and leaves out unusable ones."""
    pools: list[ExemplarPool | None] = []

    def to_text(
        row: bytes, budget: np.int64, trained: np.bool_
    ) -> tuple[bytes, bytes, bytes, bool]:
        if not pools:
            pools.append(ExemplarPool.for_task(task))
        example = _from_json(row)
        try:
            made = render(
                task,
                example,
                exemplars=pools[0],
                vocabulary=vocabulary,
                budget=int(budget),
            )
        except RowError:
            return b"", b"", b"", False
        info = "" if trained else json.dumps(example_info(example, made))
        return made.inputs.encode(), made.targets.encode(), info.encode(), True

    def preprocess(
        dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
    ) -> tf.data.Dataset:
        budget = np.int64((sequence_length or lengths)["inputs"])

        def rendered(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            made = tf.numpy_function(
                to_text,
                [example["row"], budget, example["trained"]],
                (tf.string, tf.string, tf.string, tf.bool),
            )
            for tensor in made:
                tensor.set_shape(())
            names = ("inputs", "targets", "scoring", "usable")
            kept = {name: example[name] for name in ("id", "trained")}
            return {**kept, **dict(zip(names, made, strict=True))}

        return dataset.map(rendered).filter(lambda e: e["usable"]).map(_without("usable"))

    return preprocess


def _text_and_tokens(
    task: TaskDefinition, vocabulary: Vocabulary, lengths: Mapping[str, int], *, cacheable: bool
) -> list[Any]:
    """The first preprocessors. What SeqIO caches may not depend on a sequence length."""
    render_rows = _render_preprocessor(task, vocabulary, lengths)
    if not cacheable:
        return [render_rows, seqio.preprocessors.tokenize]

    def at_fixed_lengths(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return render_rows(dataset)

    return [at_fixed_lengths, seqio.preprocessors.tokenize, seqio.CacheDatasetPlaceholder()]


def _drop_long_targets(
    dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
) -> tf.data.Dataset:
    """Leaves out training targets that have no room with their end of sequence, as the cache
    does; those of other splits are cut by the next step."""
    if sequence_length is not None:
        room = sequence_length["targets"] - 1
        dataset = dataset.filter(lambda e: ~e["trained"] | (tf.size(e["targets"]) <= room))
    return dataset.map(_without("trained"))


def _without(field: str) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    return lambda example: {name: x for name, x in example.items() if name != field}


def _postprocess(task: TaskDefinition, scoring: Scoring) -> Callable[..., Row | str]:
    def postprocess(
        decoded: str, *, example: Mapping[str, Any], is_target: bool = False, **unused: Any
    ) -> Row | str:
        if not is_target:
            return scoring.extracted(task, decoded)
        row: Row = json.loads(example["scoring"])
        return row

    return postprocess


def _metrics(task: TaskDefinition, scoring: Scoring) -> Callable[..., Mapping[str, float]]:
    # SeqIO knows the kind of a metric by these two names.
    def metrics(targets: Sequence[Row], predictions: Sequence[str]) -> Mapping[str, float]:
        return scoring.metrics(task, targets, predictions)

    return metrics


def to_seqio_task(
    definition: TaskDefinition,
    *,
    vocabulary: Vocabulary,
    scoring: Scoring | None,
    feature_lengths: Mapping[str, int] | None = None,
    cacheable: bool = False,
) -> seqio.Task:
    """The task as a `seqio.Task`, registered under its name.

    Its examples are those of the token cache, in the same order: inputs that are too long are
    cut, keeping the end of sequence; training rows whose targets are too long are left out, in
    other splits they are cut. Asking for the same task again gives the registered one; with
    another vocabulary it is replaced.

    Args:
        definition: the task.
        vocabulary: of inputs and targets.
        scoring: the module `flan_t5x.evaluation.scoring`; None for a task without scores.
        feature_lengths: tokens of "inputs" and "targets", end of sequence included: the budget
            of few-shot prompts where ``get_dataset`` is given no sequence length.
        cacheable: for SeqIO's own caching script: `feature_lengths` are then the budget of
            few-shot prompts whatever ``get_dataset`` is given.

    Raises:
        UserError: for an unknown metric or extractor, or a source that cannot be read.
    """
    if scoring is not None:
        scoring.check_names(definition)
    lengths = dict(feature_lengths or DEFAULT_LENGTHS)
    made_of = (
        definition,
        vocabulary.fingerprint(),
        tuple(sorted(lengths.items())),
        cacheable,
        scoring is None,
    )
    if definition.name in seqio.TaskRegistry.names():
        if _made_of.get(definition.name) == made_of:
            return seqio.TaskRegistry.get(definition.name)
        seqio.TaskRegistry.remove(definition.name)
    same_tokens = SameTokensVocabulary(vocabulary.model_path, extra_ids=vocabulary.extra_ids)
    feature = seqio.Feature(same_tokens, add_eos=True, dtype=tf.int32)
    task = seqio.TaskRegistry.add(
        definition.name,
        source=SourceData(definition.source),
        preprocessors=[
            *_text_and_tokens(definition, vocabulary, lengths, cacheable=cacheable),
            _drop_long_targets,
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features={"inputs": feature, "targets": feature},
        metric_fns=[_metrics(definition, scoring)] if scoring else [],
        postprocess_fn=_postprocess(definition, scoring) if scoring else None,
    )
    _made_of[definition.name] = made_of
    return task


_made_of: dict[str, tuple[Any, ...]] = {}


def to_seqio_mixture(
    definition: MixtureDefinition | str,
    *,
    vocabulary: Vocabulary,
    scoring: Scoring | None,
    feature_lengths: Mapping[str, int] | None = None,
) -> seqio.Mixture:
    """The mixture as a `seqio.Mixture` of its resolved tasks, with our rates; registers all.

    Args:
        definition: a mixture that the registry knows, or its name.
        vocabulary: see `to_seqio_task`.
        scoring: see `to_seqio_task`.
        feature_lengths: see `to_seqio_task`.

    Raises:
        UserError: see `registry.resolve` and `to_seqio_task`.
    """
    name = definition if isinstance(definition, str) else definition.name
    get_mixture(name)
    rates = []
    make = functools.partial(
        to_seqio_task,
        vocabulary=vocabulary,
        scoring=scoring,
        feature_lengths=feature_lengths,
    )
    for weighted in resolve(name):
        make(weighted.task)
        rates.append((weighted.task.name, weighted.rate))
    if name in seqio.TaskRegistry.names():
        raise UserError(f"{name!r} is a task; give seqio the task itself, not a mixture of it.")
    if name in seqio.MixtureRegistry.names():
        seqio.MixtureRegistry.remove(name)
    return seqio.MixtureRegistry.add(name, rates)
