"""A user's own data beside a mixture: JSON Lines files and dumps of rendered examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from flan_t5x.data.own_files import register_jsonl
from flan_t5x.data.registry import (
    WeightedTask,
    describe_mixture,
    register_module,
    resolve,
)
from flan_t5x.data.rendered_tasks import register_dump
from flan_t5x.errors import UserError


class OwnData(Protocol):
    """What `DataConfig` says of own data; see there."""

    @property
    def examples_per_task(self) -> int | None: ...
    @property
    def modules(self) -> Sequence[str]: ...
    @property
    def user_jsonl(self) -> Mapping[str, str]: ...
    @property
    def rendered(self) -> Mapping[str, str]: ...
    @property
    def rendered_cap(self) -> int | None: ...
    @property
    def rendered_where(self) -> Mapping[str, str]: ...


def dump_tasks(own: OwnData, *, cache_dir: str) -> list[WeightedTask]:
    """Registers own modules and dumps; the dumps' tasks, weighed by their rows up to the cap.

    Raises:
        UserError: see `register_module` and `register_dump`.
    """
    for module in own.modules:
        register_module(module)
    found = []
    for name, path in own.rendered.items():
        register_dump(
            name, path, cache_dir=cache_dir, cap=own.rendered_cap, where=own.rendered_where
        )
        weight = sum(row.rate for row in describe_mixture(name))
        found += [WeightedTask(w.task, w.rate * weight) for w in resolve(name)]
    return found


def file_tasks(own: OwnData, *, split: str) -> list[WeightedTask]:
    """The JSON Lines files as tasks, weighed by their rows in a split.

    Raises:
        UserError: for a file without rows there, and see `register_jsonl`.
    """
    found = []
    for name, path in own.user_jsonl.items():
        task = register_jsonl(name, path)
        count = task.source.num_examples(split) if split in task.source.splits else 0
        if not count:
            raise UserError(
                f"user_jsonl {name!r} ({path}) has no rows in split {split!r}: leave the "
                '"split" of some rows away, or take the file out'
            )
        found.append(WeightedTask(task, float(count)))
    return found
