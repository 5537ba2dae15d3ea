"""`flan-t5x train --dry_run`: what a run would do, take and need, without doing it."""

from __future__ import annotations

import jax
import numpy as np

from flan_t5x.data.build import describe
from flan_t5x.data.cache import CacheSpec, ensure_cached
from flan_t5x.data.task_sets import TaskSet, evaluation_tasks, mixture_table
from flan_t5x.train import job
from flan_t5x.train.job import Run
from flan_t5x.train.repeats import epochs, forecast_repeats, require_few_repeats
from flan_t5x.train.start import first_weights
from flan_t5x.train.step import abstract_batch, compile_step


def describe_run(run: Run) -> None:
    """Checks tasks, shapes, first weights and data, and prints tables. Writes nothing.

    Raises:
        UserError: whatever `train` would raise for the same configuration.
    """
    vocabulary = job.load_vocabulary(run.data, run.network.model.config)
    tasks = job.training_tasks(run.data)
    job.tell_left_out(run, tasks)
    sets = [tasks]
    if run.evaluation is not None:
        config = run.evaluation
        sets.append(job.selecting_tasks(config))
        sets += [evaluation_tasks(name, split) for _, name, split in config.final]
        sets = [tasks, *(job.without_excluded(one, run.data) for one in sets[1:])]
    _print(run, mixture_table(tasks))
    limit = run.data.examples_per_task
    specs = [job.cache_spec(s, run.data, vocabulary, examples=limit) for s in sets[:1]]
    specs += [job.cache_spec(s, run.data, vocabulary, examples=None) for s in sets[1:]]
    estimates = job.estimate_cache(specs, run.data)
    missing = [e for e in estimates if e.missing]
    for expected in missing:
        _print(run, describe(expected, run.data.cache_path))
    if not missing:
        _print(run, f"token cache: everything is in {run.data.cache_path}")
    _print(run, _repeats(run, tasks, None if estimates[0].missing else specs[0]))
    path = run.checkpoints.initial_checkpoint_path
    if first_weights(run, vocabulary=vocabulary.fingerprint()) is not None:
        _print(run, f"first weights: {path} fits the model")
    _print(run, _memory(run))
    _lower(run)
    _print(run, "dry run: configuration, tasks, shapes and sharding are valid; nothing was written")


def _repeats(run: Run, tasks: TaskSet, spec: CacheSpec | None) -> str:
    """How often rows will come: by the cached tokens as in `train`, or None: a forecast."""
    most = run.data.max_task_epochs
    if spec is None:
        return forecast_repeats(
            tasks,
            train_steps=run.train_steps,
            batch_size=run.batch_size,
            most=most,
            examples_per_task=run.data.examples_per_task,
        )
    splits = list(ensure_cached(spec, run.data.cache_path).values())
    stream = job.open_stream(tasks, splits, run.data, batch_size=run.batch_size, seed=run.seed)
    require_few_repeats(tasks, splits, stream, train_steps=run.train_steps, most=most)
    draws = run.train_steps * run.batch_size * stream.examples_per_row()
    first = epochs(tasks, [split.num_examples for split in splits], draws=draws)[0]
    return (
        f"repeats: about {draws:,.0f} examples will be drawn; {first.tasks[0]} comes most often, "
        f"{first.epochs:.2f} times"
    )


def _memory(run: Run) -> str:
    """Parameters and bytes per device by arithmetic, activations left out."""
    network = run.network
    count = _count(network.model.abstract_params)
    params = _bytes_per_device(network.abstract.params)
    frozen = _bytes_per_device(network.abstract.frozen)
    moments = _bytes_per_device(network.abstract.opt_state)
    shape = ", ".join(f"{axis}={size}" for axis, size in network.mesh.shape.items())
    trained = f", {_count(network.abstract.params):,} of them trained" if frozen else ""
    return (
        f"model: {count:,} parameters{trained}; mesh {shape}\n"
        f"memory per device: parameters {(frozen + params) / 2**20:.1f} MiB, "
        f"optimizer {moments / 2**20:.1f} "
        f"MiB, gradients {params / 2**20:.1f} MiB, activations on top"
    )


def _count(tree: object) -> int:
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(tree))


def _bytes_per_device(tree: object) -> int:
    total = 0
    for leaf in jax.tree.leaves(tree):
        shard = leaf.sharding.shard_shape(leaf.shape)
        total += int(np.prod(shard)) * leaf.dtype.itemsize
    return total


def _lower(run: Run) -> None:
    """Traces the sharded step on abstract arguments: every shape meets every other one."""
    network = run.network
    batch = abstract_batch(run.batch_size, run.data.task_feature_lengths, network.mesh)
    step = compile_step(
        network.model,
        network.optimizer,
        config=run.step,
        mesh=network.mesh,
        shardings=network.shardings,
        rules=network.rules,
    )
    step.lower(network.abstract, batch)


def _print(run: Run, text: str) -> None:
    run.console.print(text, markup=False, highlight=False, soft_wrap=True)
