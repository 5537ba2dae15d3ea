"""Tasks and mixtures by name. Modules are imported, and files opened, only when asked for.

This is the one place where the engine reaches for `flan_tasks`, by name. Own definitions come
in by `register_module` (a module with ``tasks()`` and ``mixtures()``) or `register_jsonl`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flan_t5x.data.definitions import (
    Format,
    MixtureDefinition,
    MixturePart,
    Source,
    TaskDefinition,
    Template,
)
from flan_t5x.errors import UserError, nearest

_TASKS_PACKAGE = "flan_tasks"
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class WeightedTask:
    """A task in a resolved mixture; the rates of one mixture sum to 1."""

    task: TaskDefinition
    rate: float


@dataclass(frozen=True)
class MixtureRow:
    """One line of a mixture's table.

    Attributes:
        task: task name.
        group: the task's group.
        examples: number of training rows, unusable ones included; 0 without a train split.
        cap: the cap on its weight that applies, if any.
        rate: its rate inside the (innermost) mixture that names it, before normalising.
        share: its share of the whole mixture; all shares sum to 1.
    """

    task: str
    group: str
    examples: int
    cap: int | None
    rate: float
    share: float


class _Registry:
    """What has been loaded so far. One instance per process."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskDefinition] = {}
        self.mixtures: dict[str, MixtureDefinition] = {}
        self.loaded: set[str] = set()

    def providers(self) -> Mapping[str, str]:
        return importlib.import_module(_TASKS_PACKAGE).PROVIDERS

    def load(self, module_name: str) -> None:
        """Takes in a provider's definitions, once."""
        if module_name in self.loaded:
            return
        module = importlib.import_module(module_name)
        for part in ("tasks", "mixtures"):
            if not callable(getattr(module, part, None)):
                raise UserError(
                    f"module {module_name!r} has no function {part}(). A task module needs "
                    "tasks() -> TaskDefinitions and mixtures() -> MixtureDefinitions."
                )
        self.add(module.tasks(), module.mixtures(), origin=module_name)
        self.loaded.add(module_name)

    def load_for(self, name: str) -> None:
        """Loads the provider whose prefix the name carries, if it is not known already."""
        if name in self.tasks or name in self.mixtures:
            return
        for prefix, module_name in self.providers().items():
            if name == prefix or name.startswith(f"{prefix}_"):
                self.load(module_name)

    def load_all(self) -> None:
        for module_name in self.providers().values():
            self.load(module_name)

    def add(
        self,
        tasks: Iterable[TaskDefinition],
        mixtures: Iterable[MixtureDefinition],
        *,
        origin: str,
    ) -> None:
        """Adds all or nothing. Raises UserError for a bad or a taken name."""
        new_tasks, new_mixtures = list(tasks), list(mixtures)
        taken = {*self.tasks, *self.mixtures}
        for name in [*(t.name for t in new_tasks), *(m.name for m in new_mixtures)]:
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
        self.mixtures.update((m.name, m) for m in new_mixtures)


_registry = _Registry()


def get_task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    _registry.load_for(name)
    if name in _registry.tasks:
        return _registry.tasks[name]
    if name in _registry.mixtures:
        raise UserError(f"{name!r} is a mixture, and a single task is needed here.")
    raise _unknown("task", name, task_names())


def get_mixture(name: str) -> MixtureDefinition:
    """The mixture of that name; a task's name gives the mixture of that task alone.

    Raises:
        UserError: with near names, where there is neither.
    """
    _registry.load_for(name)
    if name in _registry.mixtures:
        return _registry.mixtures[name]
    if name in _registry.tasks:
        alone = (MixturePart(name, rate=1.0),)
        return MixtureDefinition(name, alone, about="a task by itself", evaluation_only=True)
    raise _unknown("mixture or task", name, [*mixture_names(), *task_names()])


def _unknown(kind: str, name: str, known: list[str]) -> UserError:
    hint = nearest(name, known) or "`flan-t5x tasks list` shows all names."
    return UserError(f"there is no {kind} named {name!r}; {hint}")


def task_names() -> list[str]:
    """All names, sorted. Imports every provider."""
    _registry.load_all()
    return sorted(_registry.tasks)


def mixture_names() -> list[str]:
    """All names, sorted. Imports every provider."""
    _registry.load_all()
    return sorted(_registry.mixtures)


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


def register_jsonl(
    name: str,
    path: str | Path,
    *,
    templates: Iterable[str] = ("{inputs}",),
    format: Format = "zs",
    metrics: Iterable[str] = ("accuracy",),
    extract: str | None = None,
    group: str = "jsonl",
    max_exemplars: int = 3,
    seed: int = 0,
) -> TaskDefinition:
    """Registers a JSON Lines file as a task. The file is opened when it is first read.

    Registering the same again does no harm. For rows and splits see `sources.jsonl`.

    Args:
        name: of the task: letters, digits and underscores.
        path: the file.
        templates: input wordings; ``{inputs}`` and ``{options}`` are what they may name.
        format: one of `definitions.FORMATS`; the chain-of-thought ones need "rationale".
        metrics: names in `flan_t5x.evaluation.metrics.METRICS`; the first is the score.
        extract: name of an extractor; None takes "cot_answer" for chain of thought, else "text".
        group: for tables.
        max_exemplars: most exemplars in a few-shot prompt.
        seed: of the rendering draws.

    Raises:
        UserError: for a bad name or one that another definition has.
    """
    from flan_t5x.data.sources.jsonl import JsonlSource

    extract = extract or ("cot_answer" if format.endswith("_cot") else "text")
    _registry.load_for(name)
    known = _registry.tasks.get(name)
    source: Source = JsonlSource(str(path))
    if known is not None and known.source == source:
        source = known.source  # keeps what it has read
    task = TaskDefinition(
        name=name,
        source=source,
        templates=tuple(Template(text) for text in templates),
        format=format,
        metrics=tuple(metrics),
        extract=extract,
        group=group,
        max_exemplars=max_exemplars,
        seed=seed,
    )
    if known != task:
        _registry.add([task], [], origin=f"register_jsonl({str(path)!r})")
    return task


def resolve(name: str) -> list[WeightedTask]:
    """The tasks of a mixture (or one task) with rates that sum to 1, in the mixture's order.

    A part without a rate weighs as many examples as its train split has, at most its cap
    (in an evaluation-only mixture: 1). A nested mixture splits its rate by its parts' rates.
    A task that is named several times is merged. Where a rate needs the number of examples,
    the source is opened.

    Raises:
        UserError: for an unknown name, a mixture that holds itself, rates that are negative or
            all zero, a task without training rows, or sources that cannot be read: all are
            listed, none is dropped.
    """
    shares: dict[str, float] = {}
    for row in describe_mixture(name):
        shares[row.task] = shares.get(row.task, 0.0) + row.share
    return [WeightedTask(get_task(task), share) for task, share in shares.items() if share > 0]


def describe_mixture(name: str) -> list[MixtureRow]:
    """The table of a mixture, a row for each time that it names a task.

    Raises:
        UserError: see `resolve`.
    """
    leaves: list[_Leaf] = []
    problems: dict[str, list[str]] = {}
    mixture = get_mixture(name)
    _flatten(mixture, (), leaves, problems, evaluation_only=mixture.evaluation_only)
    if problems:
        listed = "".join(
            f"\n  - {', '.join(dict.fromkeys(who))}: {what}" for what, who in problems.items()
        )
        raise UserError(f"mixture {name!r} cannot be used:{listed}")
    return [
        MixtureRow(x.task.name, x.task.group, x.examples, x.cap, x.rate, x.share) for x in leaves
    ]


@dataclass
class _Leaf:
    """A task at the end of a chain of mixtures; `share` shrinks on the way up."""

    task: TaskDefinition
    examples: int
    cap: int | None
    rate: float
    share: float = 1.0


def _flatten(
    mixture: MixtureDefinition,
    above: tuple[str, ...],
    out: list[_Leaf],
    problems: dict[str, list[str]],
    *,
    evaluation_only: bool,
) -> float:
    """Appends the mixture's leaves, with shares that sum to 1; returns its own weight.

    The weight is what the mixture counts for inside another one that gives it no rate: the
    sum of its parts' rates. Problems are collected by message, with the names they concern.
    """
    if mixture.name in above:
        chain = " -> ".join([*above, mixture.name])
        raise UserError(f"a mixture cannot hold itself: {chain}")
    groups: list[tuple[float, list[_Leaf]]] = []
    for part in mixture.parts:
        _registry.load_for(part.name)
        inside: list[_Leaf] = []
        if part.name in _registry.mixtures:
            inner = get_mixture(part.name)
            if inner.evaluation_only and not evaluation_only:
                problems.setdefault("is for evaluation only", []).append(part.name)
            weight = _flatten(
                inner,
                (*above, mixture.name),
                inside,
                problems,
                evaluation_only=evaluation_only or inner.evaluation_only,
            )
            rate = _weigh(part, weight)
        elif part.name in _registry.tasks:
            leaf = _leaf(get_task(part.name), part, problems, evaluation_only=evaluation_only)
            inside, rate = [leaf], leaf.rate
        else:
            hint = nearest(part.name, [*mixture_names(), *task_names()])
            what = f"is neither a task nor a mixture; {hint}".removesuffix("; ")
            problems.setdefault(what, []).append(part.name)
            continue
        if not 0 <= rate < float("inf"):
            problems.setdefault(f"has the rate {rate}", []).append(part.name)
        groups.append((rate, inside))
    return _share_out(mixture.name, groups, out, problems)


def _share_out(
    name: str,
    groups: list[tuple[float, list[_Leaf]]],
    out: list[_Leaf],
    problems: dict[str, list[str]],
) -> float:
    """Divides 1 among the parts by their rates, and inside them further; the rates' sum."""
    total = sum(rate for rate, _ in groups)
    if total <= 0 and not problems:
        what = f"its rates sum to {total}, so nothing would be drawn"
        problems.setdefault(what, []).append(name)
    for rate, inside in groups:
        for leaf in inside:
            leaf.share *= rate / total if total > 0 else 0.0
        out += inside
    return total


def _weigh(part: MixturePart, weight: float) -> float:
    if part.rate is not None:
        return float(part.rate)
    return float(min(weight, part.cap) if part.cap is not None else weight)


def _leaf(
    task: TaskDefinition,
    part: MixturePart,
    problems: dict[str, list[str]],
    *,
    evaluation_only: bool,
) -> _Leaf:
    """A task with its rate; what stands in the way is added to `problems`."""
    try:
        has_train = "train" in task.source.splits
        examples = task.source.num_examples("train") if has_train else 0
    except UserError as error:
        problems.setdefault(str(error), []).append(task.name)
        return _Leaf(task, 0, part.cap, part.rate or 0.0)
    if evaluation_only:
        return _Leaf(task, examples, part.cap, _weigh(part, 1.0))
    if not examples:
        what = "has no rows in its train split" if has_train else "has no train split"
        problems.setdefault(f"{what}, so it cannot be trained on", []).append(task.name)
    return _Leaf(task, examples, part.cap, _weigh(part, float(examples)))
