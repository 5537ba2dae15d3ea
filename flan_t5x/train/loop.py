"""The training run, from configuration to a chosen checkpoint. Read `train`, then `_run`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax
from rich.console import Console

from flan_t5x.checkpoint.initial import place_params
from flan_t5x.checkpoint.manager import Checkpoints
from flan_t5x.data.cache import CachedSplit, CacheSpec
from flan_t5x.data.pipeline import Stream, StreamState
from flan_t5x.data.prefetch import Prefetcher
from flan_t5x.data.task_sets import TaskSet, evaluation_tasks, mixture_table, open_cache
from flan_t5x.data.vocabulary import Vocabulary
from flan_t5x.errors import EXIT_PREEMPTED, UserError, require_count
from flan_t5x.evaluation.heldout import HeldOut
from flan_t5x.evaluation.results import result_table
from flan_t5x.model.config import T5Config
from flan_t5x.parallel import distributed
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import Rules, resolve_rules
from flan_t5x.train import job
from flan_t5x.train.config import SELECTION, CheckpointConfig, DataConfig, EvalConfig
from flan_t5x.train.dry_run import describe_run
from flan_t5x.train.identity import Identity
from flan_t5x.train.job import Run
from flan_t5x.train.meter import StepMeter
from flan_t5x.train.metric_writers import MetricWriter
from flan_t5x.train.progress import Progress
from flan_t5x.train.run_dir import RunDirectory
from flan_t5x.train.selection import METRIC, Selection, write_final
from flan_t5x.train.signals import StopRequest
from flan_t5x.train.state import TrainState, create_state
from flan_t5x.train.step import MODEL_FEATURES, StepConfig, check_batch, compile_step

FINAL = "final.json"


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
        console=Console(quiet=not distributed.is_lead()),
        operative_config=operative_config,
    )
    if dry_run:
        describe_run(run)
        return TrainResult(exit_code=0, step=0)
    return _run(run)


def _run(run: Run) -> TrainResult:
    """Opens everything, trains, and evaluates the chosen step."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(RunDirectory(run.path)) if distributed.is_lead() else None
        vocabulary = job.load_vocabulary(run.data, run.network.model.config)
        tasks = job.training_tasks(run.data)
        job.tell_missing(run)
        sets = _evaluation_sets(run)  # named and checked before anything long begins
        splits = _open_cache(
            run, job.cache_spec(tasks, run.data, vocabulary, examples=run.data.examples_per_task)
        )
        stream = job.open_stream(tasks, splits, run.data, batch_size=run.batch_size, seed=run.seed)
        heldout = _open_heldout(run, sets, vocabulary)
        saved = stack.enter_context(
            Checkpoints(
                run.path / "checkpoints",
                keep_newest=run.checkpoints.keep_newest,
                keep_best=run.checkpoints.keep_best,
                say=run.say,
            )
        )
        identity = Identity.of(stream, splits, heldout.get(SELECTION), vocabulary)
        state, position, record = _restore_or_start(run, saved, identity)
        if folder is not None:  # not before: a run that is refused must not rename another's data
            _describe(run, folder, tasks, splits)
        selection = Selection(
            heldout.pop(SELECTION, None),
            period=run.evaluation.period if run.evaluation else run.train_steps,
            checkpoints=saved,
            folder=folder,
            record=record,
        )
        selection.write_best()
        state, stopped = _train(
            run, state, position, stream, identity, selection=selection, folder=folder
        )
        result = _result(selection, int(state.step), stopped=stopped)
        if not stopped:
            _evaluate_best(run, selection, saved, state, heldout, folder=folder)
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
    place = job.BatchPlacer(network.mesh, batch_size=run.batch_size, features=MODEL_FEATURES)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        resumed = first if selection.saved_steps else -1
        writer = stack.enter_context(MetricWriter(folder, resume_step=resumed)) if folder else None
        progress = stack.enter_context(
            Progress(run.train_steps, start_step=first, console=run.console)
        )
        meter = StepMeter(run.log_period, stream=stream, writer=writer, progress=progress)
        batches = stack.enter_context(Prefetcher(stream, position, rows=place.rows))
        for number in range(first, run.train_steps + 1):
            last = number == run.train_steps
            stopping = not last and _asked_to_stop(stop, number, run.log_period)
            value = None
            if not stopping and selection.due(number, last=last):
                meter.flush()
                with meter.paused("evaluating"):
                    value = selection.evaluate(number, state, writer, progress)
            if value is not None or last or stopping or _save_due(run, number, first):
                meter.flush()  # a state that is not finite is never saved
                extra = {"stream": position.to_json(), **identity.to_json()}
                with meter.paused("saving"):
                    selection.save(number, state, extra=extra, value=value)
            if last or stopping:
                break
            batch, after = batches.next()
            state, metrics = step(state, place(batch))
            meter.add(number + 1, metrics, waited=batches.last_wait_seconds, position=position)
            position = after
        meter.flush()
        if stopping:
            progress.say(
                f"stopped by {stop.name or 'another process'} at step {number}, which is saved; "
                "run the same command again to go on"
            )
        elif writer and number > first:
            writer.scalars(number, "time", meter.seconds)
    return state, stopping


def _asked_to_stop(stop: StopRequest, number: int, period: int) -> bool:
    """All processes answer alike; several of them only talk about it once a period."""
    if jax.process_count() > 1 and number % period:
        return False
    return stop.agreed()


def _save_due(run: Run, number: int, first: int) -> bool:
    period = run.checkpoints.save_period
    return number > first and period is not None and number % period == 0


def _evaluation_sets(run: Run) -> dict[str, TaskSet]:
    """The selecting set under `SELECTION`, and the final ones under their labels."""
    config = run.evaluation
    if config is None:
        return {}
    sets = {SELECTION: evaluation_tasks(config.mixture_or_task_name, config.split)}
    for label, name, split in config.final:
        sets[label] = evaluation_tasks(name, split)
    return sets


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


def _restore_or_start(
    run: Run, saved: Checkpoints, identity: Identity
) -> tuple[TrainState, StreamState, list[dict[str, Any]]]:
    """State, stream position and earlier evaluations; see `checkpoint.initial` for precedence."""
    network = run.network
    newest = saved.newest()
    if newest is not None:
        if newest > run.train_steps:
            raise UserError(
                f"{run.path} is at step {newest} already, train_steps = {run.train_steps} lies "
                "before it; raise train_steps to go on, or choose another model_dir"
            )
        state, extra = saved.restore(network.abstract)
        identity.require_same(extra, model_dir=str(run.path), vocabulary=run.data.vocabulary)
        run.say(f"resuming at step {int(state.step)} from {saved.directory}")
        return state, StreamState.from_json(extra["stream"]), extra["evaluations"]
    shardings = network.shardings
    path = run.checkpoints.initial_checkpoint_path
    first = job.first_weights(run, vocabulary=identity.vocabulary)
    moments = None
    if first is None:
        draw = jax.jit(network.model.init, out_shardings=shardings.params)
        params = draw(jax.random.key(run.seed))
    else:
        loaded, moments = first
        params = place_params(loaded, shardings.params)
        run.say(f"starting from {path}")
    create = jax.jit(
        lambda p: create_state(p, network.optimizer), out_shardings=shardings, donate_argnums=0
    )
    state = create(params)
    if moments is not None:
        placed = place_params(moments, shardings.opt_state)
        state = dataclasses.replace(state, opt_state=placed)
        run.say(f"optimizer state of step {int(moments.step):,} from {path}")
    return state, StreamState(), []


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
        state, _ = saved.restore(run.network.abstract, step=best["step"])
    results = {label: heldout(state.params) for label, heldout in sets.items()}
    for label, result in results.items():
        run.say(result_table(label, result))
    if folder is not None:
        write_final(folder.path / FINAL, step=best["step"], results=results)
    start = selection.record[0]
    run.say(
        f"best step {best['step']}: {METRIC} {best['value']:.4f} "
        f"(step {start['step']}: {start['value']:.4f}); checkpoint in {saved.directory}, "
        f"record in {run.path / 'best.json'}"
    )
