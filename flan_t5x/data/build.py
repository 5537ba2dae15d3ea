"""`flan-t5x cache`: builds the token cache of mixtures and tasks, and shows how it goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from flan_t5x.data.cache import CachedSplit, CacheSpec, Estimate, ensure_cached, estimate
from flan_t5x.data.cache_workers import Crew
from flan_t5x.data.definitions import TaskDefinition
from flan_t5x.data.own_data import OwnData, dump_tasks, file_tasks
from flan_t5x.data.registry import missing_text, resolve
from flan_t5x.data.row_progress import RowProgress
from flan_t5x.data.sources.excluding import exclude_rows, exclusion_text
from flan_t5x.data.sources.splits import TRAIN
from flan_t5x.data.vocabulary import Vocabulary, resolve_vocabulary
from flan_t5x.errors import UserError


def build_cache(
    *,
    mixture_or_task_name: str | Sequence[str],
    cache_dir: str,
    task_feature_lengths: Mapping[str, int],
    vocabulary: Vocabulary | str = "mini",
    splits: Sequence[str] | None = None,
    max_examples: int | None = None,
    seed: int = 0,
    max_reject_share: float = 0.2,
    num_workers: int | None = None,
    allow_missing_tasks: bool = False,
    exclude: str | None = None,
    own: OwnData | None = None,
    runner: str | None = None,
    runner_options: Sequence[str] = (),
    console: Console | None = None,
) -> dict[tuple[str, str], CachedSplit]:
    """Caches every task of one or several mixtures; what is cached already is only checked.

    Args:
        mixture_or_task_name: one name or several; a task in several mixtures is cached once.
        cache_dir: the cache folder; `train` uses the same.
        task_feature_lengths: ``{"inputs": ..., "targets": ...}`` in tokens, end-of-sequence
            included.
        vocabulary: a vocabulary, the path of a SentencePiece model, or ``"mini"``.
        splits: names of splits that all tasks have; None for all splits of each task.
        max_examples: the most rows of a task split; None for all.
        seed: of the choice that `max_examples` makes.
        max_reject_share: a split with a greater share of unusable rows is an error; targets that
            are too long do not count.
        num_workers: processes; None takes one per core.
        allow_missing_tasks: leave out tasks whose downloaded data is missing, and say so.
        exclude: a list of rows to leave out, see `sources.excluding`.
        own: the settings of a run, whose own files and rendered dumps are cached as well.
        runner: an Apache Beam runner that builds instead of local processes.
        runner_options: flags of its pipeline options.
        console: where to show progress; standard output by default.

    Returns:
        ``(task name, split) -> CachedSplit``.

    Raises:
        UserError: unknown names, unusable data, a folder or disk that cannot take the cache.
    """
    names = (
        [mixture_or_task_name] if isinstance(mixture_or_task_name, str) else mixture_or_task_name
    )
    console = console or Console()
    added = _own_tasks(own, cache_dir) if own else []
    tasks: dict[str, TaskDefinition] = {}
    for name in names:
        if allow_missing_tasks and (lost := missing_text(name)):
            _print(console, lost)
        found = resolve(name, allow_missing=allow_missing_tasks)
        tasks.update((weighted.task.name, weighted.task) for weighted in found)
    wanted = list(tasks.values())
    if exclude is not None:
        _print(console, exclusion_text([*wanted, *added], exclude))
        wanted, added = exclude_rows(wanted, exclude), exclude_rows(added, exclude)
    spec = CacheSpec(
        tasks=tuple(wanted),
        vocabulary=resolve_vocabulary(vocabulary) if isinstance(vocabulary, str) else vocabulary,
        feature_lengths=task_feature_lengths,
        splits=splits,
        max_examples=max_examples,
        seed=seed,
        max_reject_share=max_reject_share,
    )
    crew = None if runner is None else _beam_crew(runner, runner_options)
    specs = [spec]
    if own and added:  # a run reads nothing but their training rows
        most = own.examples_per_task if max_examples is None else max_examples
        specs.append(
            dataclasses.replace(spec, tasks=tuple(added), splits=(TRAIN,), max_examples=most)
        )
    cached: dict[tuple[str, str], CachedSplit] = {}
    for one in specs:
        cached |= prepare_cache(one, cache_dir, num_workers=num_workers, console=console, crew=crew)
    kept = sum(split.num_examples for split in cached.values())
    _print(console, f"{kept:,} examples in {len(cached)} task splits are ready in {cache_dir}")
    return cached


def _own_tasks(own: OwnData, cache_dir: str) -> list[TaskDefinition]:
    found = [*dump_tasks(own, cache_dir=cache_dir), *file_tasks(own, split=TRAIN)]
    return [weighted.task for weighted in found]


def prepare_cache(
    spec: CacheSpec,
    cache_dir: str | Path,
    *,
    num_workers: int | None = None,
    console: Console | None = None,
    crew: Crew | None = None,
) -> dict[tuple[str, str], CachedSplit]:
    """`ensure_cached`, with the estimate printed before and progress while it builds.

    Args:
        spec: what is wanted, as are the others.
        console: where to print; standard output by default. Nothing is printed where nothing
            has to be built.
    """
    console = console or Console()
    expected = estimate(spec, cache_dir, num_workers=num_workers)
    if expected.missing:
        _print(console, describe(expected, cache_dir))
    with RowProgress("caching", "cached", "rows", console=console) as progress:
        return ensure_cached(
            spec,
            cache_dir,
            num_workers=num_workers,
            progress=progress.update,
            say=lambda text: _print(console, text),
            crew=crew,
        )


def _beam_crew(runner: str, options: Sequence[str]) -> Crew:
    try:
        from flan_t5x.data.cache_beam import beam_crew
    except ModuleNotFoundError as error:
        raise UserError(
            f"--runner={runner} needs Apache Beam ({error}): pip install 'flan-t5x[beam]', or "
            "leave --runner out to cache with processes of this machine"
        ) from error
    return beam_crew(runner, options)


def describe(expected: Estimate, cache_dir: str | Path) -> str:
    """An estimate in a sentence."""
    tasks = len({task for task, _ in expected.missing})
    text = (
        f"caching {expected.rows:,} rows ({len(expected.missing)} splits of {tasks} tasks) in "
        f"{cache_dir}: about {_duration(expected.seconds)} and {_size(expected.bytes)}"
    )
    if expected.bytes > expected.free_bytes:
        text += f"; only {_size(expected.free_bytes)} are free, this may not fit"
    return text


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
