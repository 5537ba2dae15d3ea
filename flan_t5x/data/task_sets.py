"""A mixture's tasks in one split: their table, and their cached rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rich.console import Console

from flan_t5x.data.build import prepare_cache
from flan_t5x.data.cache import CachedSplit, CacheSpec, ensure_cached
from flan_t5x.data.definitions import TaskDefinition
from flan_t5x.data.registry import WeightedTask, describe_mixture, resolve
from flan_t5x.data.varied_mixture import AS_DEFINED, Variation
from flan_t5x.errors import UserError, nearest


@dataclasses.dataclass(frozen=True)
class TaskSet:
    """Tasks in one split, with rates.

    Attributes:
        name: the mixture's.
        split: the split read.
        weighted: tasks and rates that sum to 1.
        variation: how they differ from the mixture's definition.
    """

    name: str
    split: str
    weighted: tuple[WeightedTask, ...]
    variation: Variation = AS_DEFINED

    @property
    def tasks(self) -> tuple[TaskDefinition, ...]:
        """The tasks alone."""
        return tuple(w.task for w in self.weighted)


def evaluation_tasks(name: str, split: str) -> TaskSet:
    """The tasks of an evaluation mixture; every one must have the split.

    Raises:
        UserError: an unknown name, a split that some task lacks, or a training split.
    """
    if split.startswith("train"):
        raise UserError(
            f"{name}: split {split!r} is for training and is cached without the texts that "
            "scoring needs; name another split, e.g. 'validation'"
        )
    weighted = resolve(name)
    lacking = [w.task for w in weighted if split not in w.task.source.splits]
    if lacking:
        there = lacking[0].source.splits
        raise UserError(
            f"{name}: no split {split!r} in {', '.join(task.name for task in lacking[:5])}"
            f"{' ...' if len(lacking) > 5 else ''}; "
            f"{lacking[0].name} has {', '.join(there)}. {nearest(split, there)}".rstrip()
        )
    return TaskSet(name, split, tuple(weighted))


def open_cache(
    spec: CacheSpec, cache_dir: str, *, num_workers: int | None, console: Console
) -> list[CachedSplit]:
    """The cached splits in the order of the spec's tasks; builds what is missing.

    With several processes the first one builds; the others open what it left, or build their
    own where the folder is not shared.
    """
    from flan_t5x.parallel import distributed  # jax, which naming tasks does not need

    if distributed.is_lead():
        found = prepare_cache(spec, cache_dir, num_workers=num_workers, console=console)
    distributed.barrier("flan_t5x_cache_built")
    if not distributed.is_lead():
        found = ensure_cached(spec, cache_dir, num_workers=num_workers)
    return list(found.values())


def mixture_table(tasks: TaskSet, splits: Mapping[str, CachedSplit] | None = None) -> str:
    """The mixture as text: task, group, examples, rate and share."""
    shares = {w.task.name: w.rate for w in tasks.weighted}
    groups = {task.name: task.group for task in tasks.tasks}
    described = describe_mixture(tasks.name, published_counts=True, variation=tasks.variation)
    rows = {row.task: row for row in described}
    varied = f"; {text}" if (text := tasks.variation.text()) else ""
    lines = [f"# mixture {tasks.name}, split {tasks.split}: {len(shares)} tasks{varied}"]
    lines.append(f"{'task':<44} {'group':<14} {'examples':>9} {'cap':>8} {'share':>8}")
    for name, share in shares.items():
        row = rows.get(name)
        group = row.group if row else groups[name]
        cap = str(row.cap) if row and row.cap is not None else "-"
        if splits and name in splits:
            count: int | str = splits[name].num_examples
        else:
            count = row.examples if row else "?"
        lines.append(f"{name:<44} {group:<14} {count!s:>9} {cap:>8} {share:>8.4%}")
    return "\n".join(lines) + "\n"
