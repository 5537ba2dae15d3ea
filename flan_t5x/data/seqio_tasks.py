"""Our definitions as real `seqio.Task`s and `seqio.Mixture`s.

The task's source yields rows, its preprocessors render (the same `render` as the token cache),
tokenize and append the end of sequence. Metrics and extractors are handed in as the tables of
`flan_t5x.evaluation`, which stands above this package. Importing this module imports
TensorFlow: about 6 s.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
from flan_t5x.data.fewshot import ExemplarPool
from flan_t5x.data.formats import render
from flan_t5x.data.registry import get_mixture, resolve
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import UserError

MetricTable = Mapping[str, Callable[..., Mapping[str, float]]]
ExtractorTable = Mapping[str, Callable[[str], str]]

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
    return json.dumps(
        {
            "id": example.id,
            "fields": dict(example.fields),
            "answer": example.answer,
            "options": example.options,
            "rationale": example.rationale,
            "valid_answers": example.valid_answers,
            "references": example.references,
        }
    )


def _from_json(text: bytes) -> Example:
    row = json.loads(text)
    row["options"] = tuple(row["options"])
    row["valid_answers"] = tuple(row["valid_answers"])
    row["references"] = tuple(row["references"])
    return Example(**row)


def _render_preprocessor(
    task: TaskDefinition, vocabulary: Vocabulary, lengths: Mapping[str, int]
) -> Callable[..., tf.data.Dataset]:
    """A seqio preprocessor that turns rows into text and leaves out unusable ones."""
    pools: list[ExemplarPool | None] = []

    def to_text(row: bytes, budget: np.int64) -> tuple[bytes, bytes, bool]:
        if not pools:
            pools.append(ExemplarPool.for_task(task))
        try:
            made = render(
                task,
                _from_json(row),
                exemplars=pools[0],
                vocabulary=vocabulary,
                budget=int(budget),
            )
        except RowError:
            return b"", b"", False
        return made.inputs.encode(), made.targets.encode(), True

    def preprocess(
        dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
    ) -> tf.data.Dataset:
        budget = np.int64((sequence_length or lengths)["inputs"])

        def rendered(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            inputs, targets, usable = tf.numpy_function(
                to_text, [example["row"], budget], (tf.string, tf.string, tf.bool)
            )
            for tensor in (inputs, targets, usable):
                tensor.set_shape(())
            kept = {name: example[name] for name in ("id", "trained")}
            return {**kept, "inputs": inputs, "targets": targets, "usable": usable}

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


def _postprocess(extractor: Callable[[str], str]) -> Callable[..., str]:
    def postprocess(decoded: str, **unused: Any) -> str:
        return extractor(decoded)

    return postprocess


def to_seqio_task(
    definition: TaskDefinition,
    *,
    vocabulary: Vocabulary,
    metrics: MetricTable,
    extractors: ExtractorTable,
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
        metrics: what the task's metric names mean: `flan_t5x.evaluation.metrics.METRICS`.
        extractors: what its extractor's name means:
            `flan_t5x.evaluation.extraction.EXTRACTORS`.
        feature_lengths: tokens of "inputs" and "targets", end of sequence included: the budget
            of few-shot prompts where ``get_dataset`` is given no sequence length.
        cacheable: for SeqIO's own caching script: `feature_lengths` are then the budget of
            few-shot prompts whatever ``get_dataset`` is given.

    Raises:
        UserError: for an unknown metric or extractor, or a source that cannot be read.
    """
    for kind, names, known in (
        ("metric", definition.metrics, metrics),
        ("extractor", (definition.extract,), extractors),
    ):
        for name in names:
            if name not in known:
                raise UserError(
                    f"task {definition.name!r} names the {kind} {name!r}; "
                    f"there are {', '.join(known)}."
                )
    lengths = dict(feature_lengths or DEFAULT_LENGTHS)
    made_of = (definition, vocabulary.fingerprint(), tuple(sorted(lengths.items())), cacheable)
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
        metric_fns=[metrics[name] for name in definition.metrics],
        postprocess_fn=_postprocess(extractors[definition.extract]),
    )
    _made_of[definition.name] = made_of
    return task


_made_of: dict[str, tuple[Any, ...]] = {}


def to_seqio_mixture(
    definition: MixtureDefinition | str,
    *,
    vocabulary: Vocabulary,
    metrics: MetricTable,
    extractors: ExtractorTable,
    feature_lengths: Mapping[str, int] | None = None,
) -> seqio.Mixture:
    """The mixture as a `seqio.Mixture` of its resolved tasks, with our rates; registers all.

    Args:
        definition: a mixture that the registry knows, or its name.
        vocabulary: see `to_seqio_task`.
        metrics: see `to_seqio_task`.
        extractors: see `to_seqio_task`.
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
        metrics=metrics,
        extractors=extractors,
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
