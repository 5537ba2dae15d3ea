"""Tasks and mixtures by name. Modules are imported, and files opened, only when asked for.

This is the one place where the engine reaches for `flan_tasks`, by name. Own definitions come
in by `register_module` (a module with ``tasks()`` and ``mixtures()``) or `own_files`. A module of
very many tasks gives ``names()`` and ``task(name)`` instead of ``tasks()``: then a task is made
when it is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from flan_t5x.data.definitions import MixtureDefinition, MixturePart, TaskDefinition
from flan_t5x.data.mixture_rates import (
    Absent,
    MissingGroup,
    MixtureRow,
    Repeat,
    first_repeat,
    leaves,
    missing_groups,
)
from flan_t5x.data.varied_mixture import AS_DEFINED, Variation, varied_leaves
from flan_t5x.errors import UserError, nearest

__all__ = [
    "MissingGroup",
    "MixtureRow",
    "Repeat",
    "WeightedTask",
    "aggregates_module",
    "describe_mixture",
    "draws_before_repeat",
    "get_mixture",
    "get_task",
    "is_task",
    "missing_data",
    "missing_text",
    "mixture_names",
    "register",
    "register_module",
    "resolve",
    "task_names",
    "tasks_folder",
]

_TASKS_PACKAGE = "flan_tasks"
_NAME = re.compile(r"[A-Za-z0-9_]+")
_LAZY = ("names", "task")


@dataclass(frozen=True)
class WeightedTask:
    """A task in a resolved mixture; the rates of one mixture sum to 1."""

    task: TaskDefinition
    rate: float


class _Registry:
    """What has been loaded so far. One instance per process.

    Attributes:
        tasks: tasks that have been made.
        makers: what makes the others, by name.
        mixtures: mixtures.
        loaded: modules whose names are known.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, TaskDefinition] = {}
        self.makers: dict[str, Callable[[str], TaskDefinition]] = {}
        self.mixtures: dict[str, MixtureDefinition] = {}
        self.loaded: set[str] = set()

    def providers(self) -> Mapping[str, str]:
        return importlib.import_module(_TASKS_PACKAGE).PROVIDERS

    def load(self, module_name: str) -> None:
        """Takes in a provider's definitions, once; tasks by name alone where it can make one."""
        if module_name in self.loaded:
            return
        module = importlib.import_module(module_name)
        lazy = all(callable(getattr(module, part, None)) for part in _LAZY)
        for part in ("mixtures",) if lazy else ("tasks", "mixtures"):
            if not callable(getattr(module, part, None)):
                raise UserError(
                    f"module {module_name!r} has no function {part}(). A task module needs "
                    "tasks() -> TaskDefinitions and mixtures() -> MixtureDefinitions."
                )
        if lazy:
            makers = dict.fromkeys(module.names(), module.task)
            self.add((), module.mixtures(), origin=module_name, makers=makers)
        else:
            self.add(module.tasks(), module.mixtures(), origin=module_name)
        self.loaded.add(module_name)

    def load_for(self, name: str) -> None:
        """Loads the provider whose prefix the name carries, if it is not known already."""
        if self.knows(name):
            return
        for prefix, module_name in self.providers().items():
            if name == prefix or name.startswith(f"{prefix}_"):
                self.load(module_name)

    def load_all(self) -> None:
        for module_name in self.providers().values():
            self.load(module_name)

    def knows(self, name: str) -> bool:
        return name in self.tasks or name in self.makers or name in self.mixtures

    def find_task(self, name: str) -> TaskDefinition | None:
        """The task, made now if it was not needed before; None where there is none."""
        self.load_for(name)
        if name not in self.tasks and name in self.makers:
            self.tasks[name] = self.makers[name](name)
        return self.tasks.get(name)

    def find_mixture(self, name: str) -> MixtureDefinition | None:
        """The mixture; None where there is none."""
        self.load_for(name)
        return self.mixtures.get(name)

    def near(self, name: str) -> str:
        """A phrase with names like it. Loads every provider."""
        return nearest(name, [*mixture_names(), *task_names()])

    def add(
        self,
        tasks: Iterable[TaskDefinition],
        mixtures: Iterable[MixtureDefinition],
        *,
        origin: str,
        makers: Mapping[str, Callable[[str], TaskDefinition]] | None = None,
    ) -> None:
        """Adds all or nothing. Raises UserError for a bad or a taken name."""
        new_tasks, new_mixtures = list(tasks), list(mixtures)
        new_makers = dict(makers or {})
        taken = {*self.tasks, *self.makers, *self.mixtures}
        names = [*(t.name for t in new_tasks), *new_makers, *(m.name for m in new_mixtures)]
        for name in names:
            if not _NAME.fullmatch(name):
                raise UserError(
                    f"{origin}: {name!r} is not a valid name; use letters, digits and underscores."
                )
            if name in taken:
                raise UserError(
                    f"{origin}: the name {name!r} is taken by another task or mixture. "
                    "Choose another name."
                )
            taken.add(name)
        self.tasks.update((t.name, t) for t in new_tasks)
        self.makers.update(new_makers)
        self.mixtures.update((m.name, m) for m in new_mixtures)


_registry = _Registry()


def get_task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    found = _registry.find_task(name)
    if found is not None:
        return found
    if name in _registry.mixtures:
        raise UserError(f"{name!r} is a mixture, and a single task is needed here.")
    raise _unknown("task", name, task_names())


def get_mixture(name: str) -> MixtureDefinition:
    """The mixture of that name; a task's name gives the mixture of that task alone.

    Raises:
        UserError: with near names, where there is neither.
    """
    found = _registry.find_mixture(name)
    if found is not None:
        return found
    if _registry.knows(name):
        alone = (MixturePart(name, rate=1.0),)
        return MixtureDefinition(name, alone, about="a task by itself", evaluation_only=True)
    raise _unknown("mixture or task", name, [*mixture_names(), *task_names()])


def _unknown(kind: str, name: str, known: list[str]) -> UserError:
    hint = nearest(name, known) or "`flan-t5x tasks list` shows all names."
    return UserError(f"there is no {kind} named {name!r}; {hint}")


def is_task(name: str) -> bool:
    """Whether a task has that name; it is not made, and a mixture's name or nobody's is none."""
    _registry.load_for(name)
    return name in _registry.tasks or name in _registry.makers


def aggregates_module() -> ModuleType:
    """Where figures over several scores are defined; see `data.aggregates`."""
    return importlib.import_module(importlib.import_module(_TASKS_PACKAGE).AGGREGATES)


def task_names() -> list[str]:
    """All names, sorted. Imports every provider."""
    _registry.load_all()
    return sorted({*_registry.tasks, *_registry.makers})


def mixture_names() -> list[str]:
    """All names, sorted. Imports every provider."""
    _registry.load_all()
    return sorted(_registry.mixtures)


def tasks_folder() -> Path:
    """Where the package with the shipped tasks lies; it is not imported for that."""
    spec = importlib.util.find_spec(_TASKS_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def register_module(module_name: str) -> None:
    """Takes in a user's module that has ``tasks()`` and ``mixtures()``. Twice does no harm.

    Raises:
        UserError: where it cannot be imported, lacks a function, or a name is bad or taken.
    """
    try:
        _registry.load(module_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"cannot import the task module {module_name!r}: {error}. "
            "Is it installed, or in the current directory?"
        ) from error


def register(
    tasks: Iterable[TaskDefinition], mixtures: Iterable[MixtureDefinition], *, origin: str
) -> None:
    """Registers definitions; those that are known, and the same, do no harm.

    Args:
        tasks: definitions.
        mixtures: likewise.
        origin: where they come from, for messages.

    Raises:
        UserError: for a bad name, or one that another definition has.
    """
    _registry.add(
        [task for task in tasks if _registry.tasks.get(task.name) != task],
        [mixture for mixture in mixtures if _registry.mixtures.get(mixture.name) != mixture],
        origin=origin,
    )


def resolve(
    name: str, *, allow_missing: bool = False, variation: Variation = AS_DEFINED
) -> list[WeightedTask]:
    """The tasks of a mixture (or one task) with rates that sum to 1, in the mixture's order.

    A part without a rate weighs as many examples as its train split has, at most its cap
    (in an evaluation-only mixture: 1). A nested mixture splits its rate by its parts' rates.
    A task that is named several times is merged. Where a rate needs the number of examples,
    the source is opened.

    Args:
        name: of the mixture or task.
        allow_missing: leave out tasks whose downloaded data is missing; their share goes to
            the other parts of the mixture that names them. See `missing_data`.
        variation: what a run changes of the mixture.

    Raises:
        UserError: for an unknown name, a mixture that holds itself, rates that are negative or
            all zero, a task without training rows, or sources that cannot be read: all are
            listed, none is dropped unasked.
    """
    absent: Absent = "drop" if allow_missing else "refuse"
    found = varied_leaves(get_mixture(name), _registry, variation, absent=absent)
    if not found:
        raise UserError(
            f"mixture {name!r}: none of its data is there; "
            "`flan-t5x data list` shows how to get it."
        )
    shares: dict[str, float] = {}
    for leaf in found:
        shares[leaf.task.name] = shares.get(leaf.task.name, 0.0) + leaf.share
    return [WeightedTask(get_task(task), share) for task, share in shares.items() if share > 0]


def describe_mixture(
    name: str, *, published_counts: bool = False, variation: Variation = AS_DEFINED
) -> list[MixtureRow]:
    """The table of a mixture, a row for each time that it names a task.

    Args:
        name: of the mixture or task.
        published_counts: weigh tasks whose data is missing by what their publisher counted,
            instead of refusing; `MixtureRow.counted` says which these are.
        variation: what a run changes of the mixture.

    Raises:
        UserError: see `resolve`.
    """
    absent: Absent = "published" if published_counts else "refuse"
    found = varied_leaves(get_mixture(name), _registry, variation, absent=absent)
    return [leaf.row() for leaf in found]


def draws_before_repeat(name: str) -> Repeat | None:
    """How many examples of a mixture can be drawn until some row repeats; None for no rows.

    Missing data counts as published.
    """
    return first_repeat(leaves(get_mixture(name), _registry, absent="published"))


def missing_data(name: str, *, variation: Variation = AS_DEFINED) -> list[MissingGroup]:
    """What a mixture lacks, by raw source, with the share of the mixture that is lost.

    Args:
        name: of the mixture or task.
        variation: what a run changes of it.

    Raises:
        UserError: see `resolve`; missing data is none of the reasons here.
    """
    found = varied_leaves(get_mixture(name), _registry, variation, absent="published")
    return missing_groups(found)


def missing_text(name: str, *, variation: Variation = AS_DEFINED) -> str:
    """What `resolve`, allowed to miss data, leaves out with the share lost; empty for nothing.

    Shares count missing data as published. They go to what stands beside it in the mixture.
    """
    groups = missing_data(name, variation=variation)
    if not groups:
        return ""
    tasks = len({task for group in groups for task in group.tasks})
    lost = sum(group.share for group in groups)
    lines = [f"{name}: {lost:.1%} of the mixture is left out, {tasks:,} tasks without data:"]
    return "\n".join([*lines, *(f"  - {group.line()}" for group in groups)])
