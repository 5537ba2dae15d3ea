"""Dumps of rendered collections as mixtures: a task for each of theirs, with a cap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flan_t5x.data.definitions import MixtureDefinition, MixturePart, TaskDefinition, Template
from flan_t5x.data.registry import register
from flan_t5x.data.sources.jsonl import VALIDATION_SHARE
from flan_t5x.data.sources.rendered import RenderedSource
from flan_t5x.data.sources.rendered_dump import DumpTask, divide


def register_dump(
    name: str,
    path: str | Path,
    *,
    cache_dir: str | Path,
    cap: int | None = None,
    where: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> MixtureDefinition:
    """Registers a dump as the mixture `name`, its tasks as ``{name}_{task_name}``.

    A task weighs as many rows as it has, at most `cap`. A stable 2 % of the inputs is held back
    for validation.

    Args:
        name: of the mixture: letters, digits and underscores.
        path: a JSONL, JSON, Parquet or TFRecord file, or a folder of them, see `sources.rendered`.
        cache_dir: where the dump is divided by task, see `sources.rendered_dump`.
        cap: on the weight of each task; None for none.
        where: which of its rows, e.g. ``{"template_type": "zs_opt"}``.
        progress: told the rows read while it is divided.

    Raises:
        UserError: for a dump that cannot be read, a bad name or one that is taken.
    """
    found = divide(path, cache_dir, where=where, progress=progress)
    tasks = [_task(name, one) for one in found]
    mixture = MixtureDefinition(
        name,
        tuple(MixturePart(task.name, cap=cap) for task in tasks),
        f"rendered by others: {path}",
    )
    register(tasks, [mixture], origin=f"rendered {str(path)!r}")
    return mixture


def _task(name: str, one: DumpTask) -> TaskDefinition:
    return TaskDefinition(
        name=f"{name}_{one.key}",
        source=RenderedSource(one.path, validation_share=VALIDATION_SHARE),
        templates=(Template("{inputs}"),),
        metrics=("rouge", "accuracy"),
        group=one.task_source or name,
        option_styles=(),
    )
