"""A run: its checked settings, and the objects made from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from rich.console import Console

from flan_t5x.data.aggregates import get_aggregate
from flan_t5x.data.cache import CachedSplit, CacheSpec, Estimate, estimate
from flan_t5x.data.evaluation_only import refuse_training
from flan_t5x.data.own_data import dump_tasks, file_tasks
from flan_t5x.data.pipeline import Stream
from flan_t5x.data.registry import WeightedTask, missing_text, resolve
from flan_t5x.data.sources.excluding import exclude_rows, exclusion_text
from flan_t5x.data.task_sets import TaskSet, evaluation_tasks
from flan_t5x.data.vocabulary import Vocabulary, resolve_vocabulary
from flan_t5x.evaluation.aggregates import require_parts
from flan_t5x.evaluation.generation import Generator
from flan_t5x.evaluation.heldout import HeldOut
from flan_t5x.model import lora
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.rules import Rules, batch_sharding
from flan_t5x.train.config import (
    AVERAGE,
    CheckpointConfig,
    DataConfig,
    EvalConfig,
    WatchdogConfig,
)
from flan_t5x.train.state import TrainState, abstract_state, state_shardings
from flan_t5x.train.step import StepConfig


@dataclasses.dataclass(frozen=True)
class Network:
    """The model with its optimizer, placed on a mesh.

    Attributes:
        model: gives logits from parameters.
        optimizer: Optax transformation.
        mesh: the devices.
        rules: sharding rules.
        shardings: of the train state.
        abstract: shapes, dtypes and shardings of the train state.
    """

    model: Model
    optimizer: optax.GradientTransformation
    mesh: Mesh
    rules: Rules
    shardings: TrainState
    abstract: TrainState

    @functools.cached_property
    def answering(self) -> Model:
        """The model without adapters: what reads a base, and answers with `answering_params`."""
        config = self.model.config
        return Model(dataclasses.replace(config, lora=None)) if config.lora else self.model

    @functools.cached_property
    def _merge(self) -> Callable[[Params], Params]:
        adapters = self.model.config.lora
        assert adapters is not None
        merge = functools.partial(lora.merge, config=adapters)
        return jax.jit(merge, out_shardings=self.shardings.frozen)

    def answering_params(self, state: TrainState) -> Params:
        """A state's parameters for `answering`; adapters are merged into copies of matrices."""
        return self._merge(state.model_params) if state.frozen else state.params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The checked settings of a run; see `train` for each."""

    model_dir: str
    train_steps: int
    batch_size: int
    data: DataConfig
    network: Network
    evaluation: EvalConfig | None
    checkpoints: CheckpointConfig
    step: StepConfig
    log_period: int
    seed: int
    watchdog: WatchdogConfig
    compiled_program: str | None
    console: Console
    operative_config: Callable[[], str] | None

    @property
    def path(self) -> Path:
        """The run's folder."""
        return Path(self.model_dir).expanduser().absolute()

    def say(self, text: str) -> None:
        """Prints as it is: paths keep their brackets and stay in one line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def build_network(
    config: T5Config, optimizer: optax.GradientTransformation, *, mesh: Mesh, rules: Rules
) -> Network:
    """Shapes and shardings; no memory is taken yet."""
    model = Model(config.for_mesh(mesh))
    shardings = state_shardings(model, optimizer, mesh=mesh, rules=rules)
    abstract = abstract_state(model, optimizer, shardings)
    return Network(model, optimizer, mesh, rules, shardings, abstract)


def training_tasks(data: DataConfig) -> TaskSet:
    """The mixture as the run varies it, with the user's own files mixed in."""
    dumps = dump_tasks(data, cache_dir=data.cache_path)
    refuse_training(data.mixture_or_task_name)
    weighted = resolve(
        data.mixture_or_task_name,
        allow_missing=data.allow_missing_tasks,
        variation=data.variation,
    )
    if dumps and data.mixture_or_task_name not in data.rendered:
        weighted = _mixed(weighted, dumps, share=data.rendered_share)
    if files := file_tasks(data, split=data.split):
        weighted = _mixed(weighted, files, share=data.user_jsonl_share)
    drawn = tuple(w for w in weighted if w.rate > 0)
    tasks = TaskSet(data.mixture_or_task_name, data.split, drawn, data.variation)
    return without_excluded(tasks, data)


def _mixed(
    weighted: Sequence[WeightedTask], added: Sequence[WeightedTask], *, share: float
) -> list[WeightedTask]:
    """Rates that sum to 1, of which `added` has `share`."""
    total = sum(w.rate for w in added)
    return [
        *(WeightedTask(w.task, w.rate * (1.0 - share)) for w in weighted),
        *(WeightedTask(w.task, w.rate * share / total) for w in added),
    ]


def without_excluded(tasks: TaskSet, data: DataConfig) -> TaskSet:
    """The same tasks without the rows of the exclusion list, where there is one."""
    if data.exclude is None:
        return tasks
    changed = exclude_rows(tasks.tasks, data.exclude)
    rates = [w.rate for w in tasks.weighted]
    weighted = tuple(WeightedTask(task, rate) for task, rate in zip(changed, rates, strict=True))
    return dataclasses.replace(tasks, weighted=weighted)


def selecting_tasks(config: EvalConfig) -> TaskSet:
    """What picks the checkpoint.

    Raises:
        UserError: as `evaluation_tasks`; or the metric is unknown, or needs tasks beyond these.
    """
    tasks = evaluation_tasks(config.mixture_or_task_name, config.split)
    if config.metric != AVERAGE:
        require_parts(get_aggregate(config.metric), [task.name for task in tasks.tasks])
    return tasks


def tell_left_out(run: Run, tasks: TaskSet) -> None:
    """Says which part of the mixture has no data here, and how many rows are excluded."""
    name, variation = run.data.mixture_or_task_name, run.data.variation
    if run.data.allow_missing_tasks and (lost := missing_text(name, variation=variation)):
        run.say(lost)
    if run.data.exclude is not None:
        run.say(exclusion_text(tasks.tasks, run.data.exclude))


def cache_spec(
    tasks: TaskSet, data: DataConfig, vocabulary: Vocabulary, *, examples: int | None
) -> CacheSpec:
    """What has to be cached of a task set."""
    return CacheSpec(
        tasks=tasks.tasks,
        vocabulary=vocabulary,
        feature_lengths=dict(data.task_feature_lengths),
        splits=(tasks.split,),
        max_examples=examples,
    )


def estimate_cache(specs: Sequence[CacheSpec], data: DataConfig) -> list[Estimate]:
    """Time and disk of what is missing, without building it."""
    return [estimate(spec, data.cache_path, num_workers=data.num_workers) for spec in specs]


def open_stream(
    tasks: TaskSet,
    splits: Sequence[CachedSplit],
    data: DataConfig,
    *,
    batch_size: int,
    seed: int,
) -> Stream:
    """The training stream, a function of (mixture, seed) alone."""
    return Stream(
        list(splits),
        [w.task.name for w in tasks.weighted],
        [w.rate for w in tasks.weighted],
        feature_lengths=dict(data.task_feature_lengths),
        batch_size=batch_size,
        seed=seed,
        window=data.window,
        pack=data.pack,
    )


def open_heldout(
    tasks: TaskSet,
    splits: Sequence[CachedSplit],
    *,
    vocabulary: Vocabulary,
    generator: Generator,
    examples: int,
) -> HeldOut:
    """A scorer of a task set."""
    return HeldOut(
        tasks.tasks,
        splits,
        vocabulary=vocabulary,
        generator=generator,
        examples_per_task=examples,
    )


def make_generator(network: Network, data: DataConfig, evaluation: EvalConfig) -> Generator:
    """Decoding for all evaluations of the run."""
    lengths = data.task_feature_lengths
    return Generator(
        network.answering,
        mesh=network.mesh,
        rules=network.rules,
        batch_size=evaluation.batch_size,
        max_input_length=evaluation.max_input_length or lengths["inputs"],
        max_decode_length=evaluation.max_decode_length or lengths["targets"],
    )


class BatchPlacer:
    """Puts this process's rows of a batch onto its devices as one global array.

    Attributes:
        rows: the rows of the global batch that this process has to read.
    """

    def __init__(self, mesh: Mesh, *, batch_size: int, features: Sequence[str]) -> None:
        self._sharding = batch_sharding(mesh)
        self._batch_size = batch_size
        self._features = tuple(features)
        indices = self._sharding.addressable_devices_indices_map((batch_size,)).values()
        ranges = {i[0].indices(batch_size)[:2] for i in indices if i}
        self.rows = sorted({row for start, stop in ranges for row in range(start, stop)})
        self._at = {row: i for i, row in enumerate(self.rows)}

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        """Global arrays [batch_size, length] from this process's rows of each feature."""
        return {name: self._place(batch[name]) for name in self._features}

    def _place(self, array: np.ndarray) -> jax.Array:
        shape = (self._batch_size, array.shape[1])

        def part(index: tuple[slice, ...] | None) -> Any:
            assert index is not None
            start, stop, _ = index[0].indices(self._batch_size)
            return array[self._at[start] : self._at[stop - 1] + 1]

        return jax.make_array_from_callback(shape, self._sharding, part)


def load_vocabulary(data: DataConfig, config: T5Config) -> Vocabulary:
    """The vocabulary, checked against the model."""
    vocabulary = resolve_vocabulary(data.vocabulary)
    config.check_vocabulary(vocabulary.size, name=data.vocabulary)
    return vocabulary
