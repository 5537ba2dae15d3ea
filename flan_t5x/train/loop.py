"""The training run, from configuration to a chosen checkpoint. Read `train`, then `_run`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import optax
from rich.console import Console

from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.data.cache import CachedSplit, CacheSpec
from flan_t5x.data.pipeline import Stream, StreamState
from flan_t5x.data.prefetch import Prefetcher
from flan_t5x.data.task_sets import TaskSet, evaluation_tasks, mixture_table, open_cache
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import EXIT_PREEMPTED, require_count
from flan_t5x.evaluation.heldout import HeldOut
from flan_t5x.evaluation.results import result_table
from flan_t5x.model.config import T5Config
from flan_t5x.parallel import distributed
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import Rules, resolve_rules
from flan_t5x.parallel.together import failing_together
from flan_t5x.train import job
from flan_t5x.train.config import (
    AVERAGE,
    SELECTION,
    CheckpointConfig,
    DataConfig,
    EvalConfig,
    WatchdogConfig,
)
from flan_t5x.train.dry_run import describe_run
from flan_t5x.train.goodput import CHECKPOINT, EVALUATION, WallTime
from flan_t5x.train.identity import Identity
from flan_t5x.train.job import Run
from flan_t5x.train.meter import StepMeter
from flan_t5x.train.metric_writers import MetricWriter
from flan_t5x.train.progress import Progress
from flan_t5x.train.repeats import require_few_repeats
from flan_t5x.train.run_dir import FINAL, RunDirectory
from flan_t5x.train.saved_program import load_program, require_program
from flan_t5x.train.selection import Selection, write_final
from flan_t5x.train.signals import StopRequest
from flan_t5x.train.start import load_base, require_base, restore_or_start
from flan_t5x.train.state import TrainState
from flan_t5x.train.step import (
    MODEL_FEATURES,
    StepConfig,
    abstract_batch,
    check_batch,
    compile_step,
    compiling_ahead,
)
from flan_t5x.train.watchdog import Watchdog


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        exit_code: 0, or `errors.EXIT_PREEMPTED` after a signal.
        step: the last step done.
        best_step: the chosen checkpoint; None without held-out evaluation.
        best_value: its held-out average.
    """

    exit_code: int
    step: int
    best_step: int | None = None
    best_value: float | None = None


def train(
    *,
    model_dir: str,
    train_steps: int,
    batch_size: int,
    data: DataConfig,
    model: T5Config,
    optimizer: optax.GradientTransformation,
    evaluation: EvalConfig | None = None,
    checkpoints: CheckpointConfig | None = None,
    step: StepConfig | None = None,
    mesh: Mapping[str, int] | None = None,
    rules: str | Rules = "data_parallel",
    log_period: int = 10,
    seed: int = 0,
    watchdog: WatchdogConfig | None = None,
    compiled_program: str | None = None,
    dry_run: bool = False,
    operative_config: Callable[[], str] | None = None,
) -> TrainResult:
    """Trains until `train_steps`, and keeps the checkpoint that is best on held-out tasks.

    Started again on the same `model_dir`, it goes on from the newest checkpoint and ends with
    the same parameters, bit for bit, as a run that was never stopped.

    Args:
        model_dir: the folder of the run.
        train_steps: last step, counted from 0.
        batch_size: rows of a global batch (packed rows, where `data.pack`).
        data: mixture, lengths, vocabulary, cache.
        model: sizes.
        optimizer: e.g. `flan_t5x.train.optimizer.adafactor`.
        evaluation: held-out tasks; None trains without selection.
        checkpoints: what is kept, and where first weights come from.
        step: loss and microbatches.
        mesh: sizes of the mesh axes, default all devices on "data".
        rules: sharding rules, a preset of `flan_t5x.parallel.rules` or a list.
        log_period: steps between two lines of metrics.
        seed: of data order, dropout and random weights.
        watchdog: how long the run may stand still before it ends itself.
        compiled_program: a step compiled beforehand (`train.saved_program`); where it is another
            one, that is said, and the step is compiled.
        dry_run: check everything, print it, and stop before anything is written.
        operative_config: gives the configuration's text, saved with the run.

    Raises:
        UserError: bad configuration or data; NonFiniteLossError where the loss stops being a
            number.
    """
    require_count("train.train_steps", train_steps)
    require_count("train.batch_size", batch_size)
    require_count("train.log_period", log_period)
    require_count("train.seed", seed, at_least=0)
    step = dataclasses.replace(step or StepConfig(), seed=seed)
    device_mesh = make_mesh(mesh or {"data": -1})
    check_batch(batch_size, mesh=device_mesh, num_microbatches=step.num_microbatches)
    network = job.build_network(model, optimizer, mesh=device_mesh, rules=resolve_rules(rules))
    run = Run(
        model_dir=model_dir,
        train_steps=train_steps,
        batch_size=batch_size,
        data=data,
        network=network,
        evaluation=evaluation,
        checkpoints=checkpoints or CheckpointConfig(),
        step=step,
        log_period=log_period,
        seed=seed,
        watchdog=watchdog or WatchdogConfig(),
        compiled_program=compiled_program,
        console=Console(quiet=not distributed.is_lead()),
        operative_config=operative_config,
    )
    require_base(run)
    if compiled_program is not None:
        require_program(compiled_program)
    if dry_run:
        describe_run(run)
        return TrainResult(exit_code=0, step=0)
    return _run(run)


def _run(run: Run) -> TrainResult:
    """Opens everything, trains, and evaluates the chosen step."""
    wall = WallTime()
    with contextlib.ExitStack() as stack, failing_together():
        stack.enter_context(Watchdog(wall, run.watchdog))
        folder = stack.enter_context(RunDirectory(run.path)) if distributed.is_lead() else None
        vocabulary = job.load_vocabulary(run.data, run.network.model.config)
        tasks = job.training_tasks(run.data)
        job.tell_left_out(run, tasks)
        sets = _evaluation_sets(run)  # named and checked before anything long begins
        splits = _open_cache(
            run, job.cache_spec(tasks, run.data, vocabulary, examples=run.data.examples_per_task)
        )
        stream = job.open_stream(tasks, splits, run.data, batch_size=run.batch_size, seed=run.seed)
        require_few_repeats(
            tasks, splits, stream, train_steps=run.train_steps, most=run.data.max_task_epochs
        )
        heldout = _open_heldout(run, sets, vocabulary)
        saved = stack.enter_context(
            Checkpoints(
                run.path / "checkpoints",
                keep_newest=run.checkpoints.keep_newest,
                keep_best=run.checkpoints.keep_best,
                say=run.say,
            )
        )
        metric = run.evaluation.metric if run.evaluation else AVERAGE
        base = load_base(run, vocabulary=vocabulary.fingerprint())
        identity = Identity.of(
            stream,
            splits,
            heldout.get(SELECTION),
            vocabulary,
            metric=metric,
            adapter=base.record if base else None,
        )
        state, position, record = restore_or_start(run, saved, identity, base)
        if folder is not None:  # not before: a run that is refused must not rename another's data
            _describe(run, folder, tasks, splits)
        selection = Selection(
            heldout.pop(SELECTION, None),
            params=run.network.answering_params,
            period=run.evaluation.period if run.evaluation else run.train_steps,
            checkpoints=saved,
            folder=folder,
            metric=metric,
            on_test=run.evaluation is not None and run.evaluation.selects_on_test,
            record=record,
        )
        selection.write_best()
        state, stopped = _train(
            run, state, position, stream, identity, selection=selection, folder=folder, wall=wall
        )
        wall.switch(CHECKPOINT)  # what is left, besides evaluating, waits for the last save
        result = _result(selection, int(state.step), stopped=stopped)
        if not stopped:
            with wall.during(EVALUATION):
                _evaluate_best(run, selection, saved, state, heldout, folder=folder)
        run.say(wall.summary())
    return result


def _train(
    run: Run,
    state: TrainState,
    position: StreamState,
    stream: Stream,
    identity: Identity,
    *,
    selection: Selection,
    folder: RunDirectory | None,
    wall: WallTime,
) -> tuple[TrainState, bool]:
    """The loop: step, and at some steps evaluate and save first. Returns the state, and whether
    a signal ended it."""
    first = int(state.step)
    network = run.network
    step = compile_step(
        network.model,
        network.optimizer,
        config=run.step,
        mesh=network.mesh,
        shardings=network.shardings,
        rules=network.rules,
    )
    shapes = abstract_batch(run.batch_size, run.data.task_feature_lengths, network.mesh)
    place = job.BatchPlacer(network.mesh, batch_size=run.batch_size, features=MODEL_FEATURES)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        resumed = first if selection.saved_steps else -1
        writer = stack.enter_context(MetricWriter(folder, resume_step=resumed)) if folder else None
        progress = stack.enter_context(
            Progress(run.train_steps, start_step=first, console=run.console)
        )
        meter = StepMeter(
            run.log_period, stream=stream, writer=writer, progress=progress, wall=wall
        )
        batches = stack.enter_context(Prefetcher(stream, position, rows=place.rows))
        if first < run.train_steps:
            ahead = compiling_ahead(
                step, network.abstract, shapes, saved=functools.partial(_saved_program, run)
            )
            compiled = stack.enter_context(ahead)
        for number in range(first, run.train_steps + 1):
            last = number == run.train_steps
            if stop.due(number):
                meter.settle()
            stopping = not last and stop.agreed(number)
            value = None
            if not stopping and selection.due(number, last=last):
                meter.flush()
                with meter.paused(EVALUATION):
                    value = selection.evaluate(number, state, writer, progress)
            if value is not None or last or stopping or _save_due(run, number, first):
                meter.flush()  # a state that is not finite is never saved
                extra = {"stream": position.to_json(), **identity.to_json()}
                with meter.paused(CHECKPOINT):
                    selection.save(number, state, extra=extra, value=value)
                if writer and number > first:
                    writer.scalars(number, "time", wall.figures())
            if last or stopping:
                break
            batch, after = batches.next()
            state, metrics = compiled()(state, place(batch))
            meter.add(number + 1, metrics, waited=batches.last_wait_seconds, position=position)
            position = after
        meter.flush()
        if stopping:
            progress.say(
                f"stopped by {stop.name or 'another process'} at step {number}, which is saved; "
                "run the same command again to go on"
            )
    return state, stopping


def _saved_program(run: Run, lowered: jax.stages.Lowered) -> jax.stages.Compiled | None:
    if run.compiled_program is None:
        return None
    devices = list(run.network.mesh.devices.flat)
    return load_program(run.compiled_program, lowered, devices=devices, say=run.say)


def _save_due(run: Run, number: int, first: int) -> bool:
    period = run.checkpoints.save_period
    return number > first and period is not None and number % period == 0


def _evaluation_sets(run: Run) -> dict[str, TaskSet]:
    """The selecting set under `SELECTION`, and the final ones under their labels."""
    config = run.evaluation
    if config is None:
        return {}
    sets = {SELECTION: job.selecting_tasks(config)}
    for label, name, split in config.final:
        sets[label] = evaluation_tasks(name, split)
    return {label: job.without_excluded(tasks, run.data) for label, tasks in sets.items()}


def _describe(
    run: Run, folder: RunDirectory, tasks: TaskSet, splits: Sequence[CachedSplit]
) -> None:
    """Writes what is run into its folder."""
    cached = {w.task.name: s for w, s in zip(tasks.weighted, splits, strict=True)}
    folder.write_mixture(mixture_table(tasks, cached))
    folder.write_versions()
    if run.operative_config is not None:
        folder.write_config(run.operative_config())


def _open_cache(run: Run, spec: CacheSpec) -> list[CachedSplit]:
    workers = run.data.num_workers
    return open_cache(spec, run.data.cache_path, num_workers=workers, console=run.console)


def _open_heldout(
    run: Run, sets: Mapping[str, TaskSet], vocabulary: Vocabulary
) -> dict[str, HeldOut]:
    """A scorer for every evaluation set; they share their compiled programs."""
    config = run.evaluation
    if config is None:
        return {}
    generator = job.make_generator(run.network, run.data, config)
    opened = {}
    for label, tasks in sets.items():
        count = config.examples_per_task if label == SELECTION else config.final_examples_per_task
        splits = _open_cache(run, job.cache_spec(tasks, run.data, vocabulary, examples=None))
        opened[label] = job.open_heldout(
            tasks, splits, vocabulary=vocabulary, generator=generator, examples=count
        )
    return opened


def _result(selection: Selection, step: int, *, stopped: bool) -> TrainResult:
    best = selection.best()
    return TrainResult(
        exit_code=EXIT_PREEMPTED if stopped else 0,
        step=step,
        best_step=best["step"] if best else None,
        best_value=best["value"] if best else None,
    )


def _evaluate_best(
    run: Run,
    selection: Selection,
    saved: Checkpoints,
    state: TrainState,
    sets: dict[str, HeldOut],
    *,
    folder: RunDirectory | None,
) -> None:
    """Names the chosen step, evaluates it on the final sets, prints and saves their tables."""
    best = selection.best()
    if best is None:
        run.say(f"done: step {int(state.step)} is in {saved.directory}")
        return
    if sets and best["step"] != int(state.step):
        restored, _ = saved.restore(run.network.abstract.saved, step=best["step"])
        state = TrainState(**restored, frozen=state.frozen)
    params = run.network.answering_params(state)
    results = {label: heldout(params) for label, heldout in sets.items()}
    for label, result in results.items():
        run.say(result_table(label, result))
    if folder is not None:
        write_final(folder.path / FINAL, step=best["step"], results=results)
    start = selection.record[0]
    run.say(
        f"best step {best['step']}: {selection.metric} {best['value']:.4f} "
        f"(step {start['step']}: {start['value']:.4f}); checkpoint in {saved.directory}, "
        f"record in {run.path / 'best.json'}"
    )
    if selection.warning():
        run.say(selection.warning())
