"""The sweep, from configuration to a table and a page. Read `sweep`, then `_run`."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_t5x.errors import EXIT_PREEMPTED, UserError, nearest, require_count
from flan_t5x.files import write_whole
from flan_t5x.sweep import cost
from flan_t5x.sweep.axes import SweptAxis, parse_axis
from flan_t5x.sweep.design import Point, drawn, grid, require_method
from flan_t5x.sweep.execute import Pool, execute
from flan_t5x.sweep.launched import LaunchedPool
from flan_t5x.sweep.local import LocalPool
from flan_t5x.sweep.optuna_study import OptunaSchedule
from flan_t5x.sweep.page import page
from flan_t5x.sweep.results import CSV, write_results
from flan_t5x.sweep.runs import MODEL_DIR, Configure, PlannedRun, plan_run, require_distinct
from flan_t5x.sweep.schedule import Planned, Schedule, require_pilot
from flan_t5x.sweep.table import SCORE, Axis, Table

EXECUTORS = ("local", "launch")

RUNS, PAGE, LOCK = "runs", "index.html", ".lock"
_PAGE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """How a sweep ended.

    Attributes:
        exit_code: 0, or `errors.EXIT_PREEMPTED` after a signal.
    """

    exit_code: int


def sweep(
    *,
    sweep_dir: str,
    recipe: Sequence[str],
    axes: Mapping[str, Any],
    name: str = "sweep",
    about: str = "",
    bindings: Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] = 1,
    method: str = "grid",
    points: int | None = None,
    design_seed: int = 0,
    metrics: Sequence[str] = (SCORE,),
    pilot: Mapping[str, str] | None = None,
    executor: str = "local",
    workers: int | None = None,
    cpus_per_run: int | None = 1,
    launcher: Sequence[str] = (),
    poll_seconds: float = 60.0,
    attempts: int = 2,
    tpu: str | None = None,
    dry_run: bool = False,
    configure: Callable[[Sequence[str]], Configure],
    passed_on: Sequence[str] = (),
) -> SweepResult:
    """Makes many training runs that differ in some bindings, a table and a page about them.

    What is there is not made again: called once more with the same configuration, it goes on
    where it was, whatever ended it.

    Args:
        sweep_dir: the folder of the sweep.
        recipe: gin files of every run.
        axes: what is varied: gin name -> values, see `flan_t5x.sweep.axes`.
        name: of the sweep, on its page.
        about: what it asks.
        bindings: what all runs are told: gin name -> value.
        seeds: how many (0, 1, ...) or which; every point is run with each.
        method: all combinations ("grid"), "random" or "sobol" draws, or points chosen by an
            "optuna" study, which also prunes.
        points: how many, unless a grid.
        design_seed: of random designs.
        metrics: figures that the page is about (`flan_t5x.sweep.table`); the first one decides.
        pilot: axis -> label of the runs that are made first; where these do not lift the first
            metric above guessing, nothing else is run.
        executor: "local" processes, or jobs by "launch".
        workers: runs at a time; None: as many as there are processors for, or 8 jobs.
        cpus_per_run: processors of each local run; None shares them.
        launcher: words of the launching command, see `flan_t5x.sweep.launched`.
        poll_seconds: between looks at launched jobs.
        attempts: how often a run is started before it is given up.
        tpu: a slice, for the cost of a dry run, e.g. "v5e-8".
        dry_run: print the runs and their cost, and stop.
        configure: gives the reader of a recipe; from the command.
        passed_on: flags that every run's command line has; from the command.

    Raises:
        UserError: bad configuration, found before any run starts; or, at the end, failed runs.
    """
    require_method(method, points)
    require_count("attempts", attempts)
    require_count("design_seed", design_seed, at_least=0)
    if not recipe or isinstance(recipe, str):
        raise UserError(f"recipe = {recipe!r}: a list of gin files is needed, e.g. ['smoke.gin']")
    if not axes:
        raise UserError("axes is empty: a sweep varies something")
    if not metrics:
        raise UserError(f"metrics is empty; the selection metric is {SCORE!r}")
    swept = [parse_axis(axis, spec) for axis, spec in axes.items()]
    require_pilot(pilot, swept)
    plan = functools.partial(
        plan_run, swept, common=dict(bindings or {}), configure=configure(recipe)
    )
    folder = Path(sweep_dir).expanduser().absolute()
    place = folder / RUNS
    pool = _pool(
        executor,
        place,
        functools.partial(_arguments, recipe=recipe, passed_on=passed_on, folder=place),
        workers=workers,
        cpus_per_run=cpus_per_run,
        launcher=launcher,
        poll_seconds=poll_seconds,
    )
    known = _seeds(seeds)
    if method == "optuna":
        if len(known) != 1 or pilot:
            raise UserError("method 'optuna' takes one seed and no pilot: each run is a trial")
        runs = [plan(tuple(axis.settings[0] for axis in swept), seed=known[0])]
    else:
        design = _design(swept, method=method, points=points, seed=design_seed)
        runs = [plan(point, seed=seed) for point in design for seed in known]
        require_distinct(runs)
    if dry_run:
        trials = points if method == "optuna" else None
        print(cost.table(place, runs, tpu=tpu, points=trials))
        return SweepResult(exit_code=0)
    with _Locked(folder):
        schedule: Schedule
        if method == "optuna":
            schedule = OptunaSchedule(
                folder,
                swept,
                functools.partial(plan, seed=known[0]),
                trials=points or 0,
                metric=metrics[0],
                selection=runs[0].arguments["evaluation"].metric,
                seed=design_seed,
            )
        else:
            schedule = Planned(place, runs, metric=metrics[0], pilot=pilot)
        sheet = functools.partial(
            _table, schedule, swept, name=name, about=about, metrics=tuple(metrics)
        )
        return _run(folder, schedule, pool, sheet, attempts=attempts)


def _run(
    folder: Path,
    schedule: Schedule,
    pool: Pool,
    sheet: Callable[[], Table],
    *,
    attempts: int,
) -> SweepResult:
    """Makes the runs, keeps the files up to date, and says how it ended."""
    written = 0.0
    say = functools.partial(print, flush=True)

    def changed() -> None:
        nonlocal written
        if time.monotonic() - written > _PAGE_SECONDS:
            write_outcome(folder, sheet())
            written = time.monotonic()

    stopped = execute(schedule, pool, attempts=attempts, say=say, changed=changed)
    outcome = sheet()
    write_outcome(folder, outcome)
    for note in outcome.notes:
        say(note)
    done = sum(row.status == "done" for row in outcome.rows)
    say(f"{done} of {len(outcome.rows)} runs are done; {folder / PAGE}, {folder / CSV}")
    if stopped:
        say(f"stopped by {stopped}; run the same command again to go on")
        return SweepResult(exit_code=EXIT_PREEMPTED)
    failed = [row for row in outcome.rows if row.status == "failed"]
    if failed:
        listed = "; ".join(f"{row.run}: {row.problem}" for row in failed[:5])
        more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
        raise UserError(
            f"{len(failed)} of {len(outcome.rows)} runs failed ({listed}{more}); their log.txt "
            f"in {folder / RUNS} says more; the same command tries them again"
        )
    return SweepResult(exit_code=0)


def write_outcome(folder: Path, table: Table) -> None:
    """Writes a sweep's files: results and page.

    Raises:
        UserError: one cannot be written.
    """
    write_results(folder, table)
    write_whole(folder / PAGE, page(table))


def _table(
    schedule: Schedule,
    axes: Sequence[SweptAxis],
    *,
    name: str,
    about: str,
    metrics: tuple[str, ...],
) -> Table:
    rows = tuple(schedule.rows())
    shown = []
    for axis in axes:
        planned = [setting.choice.label for setting in axis.settings]
        seen = dict.fromkeys(row.choices[axis.name].label for row in rows)
        labels = [p for p in planned if p in seen] + [s for s in seen if s not in planned]
        shown.append(Axis(axis.name, axis.kind, tuple(labels), axis.parts))
    return Table(name, about, tuple(shown), metrics, rows, tuple(schedule.notes()))


def _design(
    axes: Sequence[SweptAxis], *, method: str, points: int | None, seed: int
) -> list[Point]:
    if method == "grid":
        return grid(axes)
    return drawn(axes, method=method, points=points or 0, seed=seed)


def _pool(
    executor: str,
    folder: Path,
    command: Callable[[PlannedRun], Sequence[str]],
    *,
    workers: int | None,
    cpus_per_run: int | None,
    launcher: Sequence[str],
    poll_seconds: float,
) -> Pool:
    """Where runs are made; nothing is started yet."""
    if workers is not None:
        require_count("workers", workers)
    if cpus_per_run is not None:
        require_count("cpus_per_run", cpus_per_run)
    if executor == "local":
        return LocalPool(folder, command, workers=workers, cpus_per_run=cpus_per_run)
    if executor == "launch":
        return LaunchedPool(
            folder, command, launcher=launcher, limit=workers or 8, poll_seconds=poll_seconds
        )
    hint = nearest(executor, EXECUTORS) or f"known are {', '.join(EXECUTORS)}"
    raise UserError(f"executor {executor!r} does not exist; {hint}")


def _arguments(
    run: PlannedRun, *, recipe: Sequence[str], passed_on: Sequence[str], folder: Path
) -> list[str]:
    """The command line of a run, after ``flan-t5x``."""
    return [
        "train",
        *(f"--gin_file={file}" for file in recipe),
        *passed_on,
        *(f"--gin_bindings={binding.statement}" for binding in run.bindings),
        f"--gin_bindings={MODEL_DIR} = {str(folder / run.name)!r}",
    ]


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, int):
        require_count("seeds", seeds)
        return list(range(seeds))
    for seed in seeds:
        require_count("seeds", seed, at_least=0)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"seeds = {list(seeds)!r}: different whole numbers are needed")
    return list(seeds)


class _Locked:
    """Keeps a second sweep out of the folder; the kernel frees it however this one ends."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / LOCK).open("a")
        except OSError as error:
            raise UserError(f"sweep_dir {folder}: {error.strerror or error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise UserError(f"sweep_dir {folder} is in use by another sweep") from error

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self._file.close()
