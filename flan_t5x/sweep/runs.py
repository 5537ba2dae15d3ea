"""The runs of a sweep: their bindings, their folders' names, and what can be checked beforehand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flan_t5x.bench.flops import train_flops
from flan_t5x.checkpoint.initial import SHIPPED, locate
from flan_t5x.data.task_sets import evaluation_tasks
from flan_t5x.errors import UserError
from flan_t5x.sweep.axes import SweptAxis
from flan_t5x.sweep.design import Point
from flan_t5x.sweep.table import Choice
from flan_t5x.train import job

MODEL_DIR, SEED = "MODEL_DIR", "SEED"
"""What a recipe calls its folder and its seed: the sweep sets both."""

_GIN_SOURCE = ("@", "%")
_LONGEST = 80
_ANYWHERE = "model_dir"


@dataclass(frozen=True)
class Binding:
    """One thing that a run is told.

    Attributes:
        name: a gin name.
        source: its value, as gin writes it.
        origin: where it comes from, for messages.
    """

    name: str
    source: str
    origin: str

    @property
    def statement(self) -> str:
        """As gin reads it."""
        return f"{self.name} = {self.source}"


@dataclass(frozen=True)
class Configured:
    """A run's checked configuration.

    Attributes:
        arguments: of `flan_t5x.train.loop.train`.
        facts: name -> value of every binding, as written.
    """

    arguments: Mapping[str, Any]
    facts: Mapping[str, str]


Configure = Callable[[Sequence[Binding]], Configured]
"""Reads the recipe with these bindings. Raises UserError for a name or value that does not fit."""


@dataclass(frozen=True)
class PlannedRun:
    """One training run.

    Attributes:
        name: of its folder; ends with a hash of the whole configuration, so that a run whose
            recipe has changed is another run.
        choices: axis name -> what it has.
        seed: of data order, dropout and random weights.
        bindings: what it is told, besides the recipe and its folder.
        arguments: of `train`, with another `model_dir`.
    """

    name: str
    choices: Mapping[str, Choice]
    seed: int
    bindings: tuple[Binding, ...]
    arguments: Mapping[str, Any]

    @property
    def label(self) -> str:
        """As messages name it."""
        choices = [f"{_short(name)}={choice.label}" for name, choice in self.choices.items()]
        return ", ".join([*choices, f"seed={self.seed}"])

    @property
    def flops(self) -> float:
        """Model FLOPs of the whole run: dense products and attention, forward times three."""
        lengths = self.arguments["data"].task_feature_lengths
        step = train_flops(
            self.arguments["model"],
            batch=self.arguments["batch_size"],
            inputs=lengths["inputs"],
            targets=lengths["targets"],
        )
        return float(step) * float(self.arguments["train_steps"])


def plan_run(
    axes: Sequence[SweptAxis],
    point: Point,
    *,
    seed: int,
    common: Mapping[str, Any],
    configure: Configure,
) -> PlannedRun:
    """The run at a point, checked as far as can be without training.

    Args:
        axes: of the sweep.
        point: a setting for each.
        seed: of the run.
        common: bindings of all runs; those of axes win.
        configure: reads the recipe.

    Raises:
        UserError: a name that binds nothing, a value that does not fit, an unknown mixture, no
            held-out evaluation, a checkpoint that is not there. The message names the axis.
    """
    bindings: dict[str, Binding] = {}
    for name, value in common.items():
        bindings[name] = _binding(name, value, f"bindings[{name!r}]")
    for axis, setting in zip(axes, point, strict=True):
        for name, value in setting.bindings.items():
            origin = f"axis {axis.name!r}, {setting.choice.label}"
            bindings[name] = _binding(name, value, origin)
    for name, value in ((SEED, seed), (MODEL_DIR, _ANYWHERE)):
        if name in bindings:
            raise UserError(f"{bindings[name].origin}: {name} is set by the sweep itself")
        bindings[name] = _binding(name, value, "the sweep")
    configured = configure(list(bindings.values()))
    del bindings[MODEL_DIR]
    choices = {a.name: s.choice for a, s in zip(axes, point, strict=True)}
    run = PlannedRun("", choices, seed, tuple(bindings.values()), configured.arguments)
    try:
        _check(configured.arguments)
    except UserError as error:
        raise UserError(f"{run.label}: {error}") from error
    return replace(run, name=_name(run, configured.facts))


def require_distinct(runs: Iterable[PlannedRun]) -> None:
    """Raises UserError where two runs have the same configuration: one of them is too much."""
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        other = seen.setdefault(mark(run.name), run)
        if other is not run:
            raise UserError(
                f"two runs have the same bindings: {other.label}; and {run.label}; "
                "remove one of them, or let an axis differ"
            )


def _check(arguments: Mapping[str, Any]) -> None:
    evaluation = arguments.get("evaluation")
    if evaluation is None:
        raise UserError("the recipe has no held-out evaluation (train.evaluation), so no score")
    job.training_tasks(arguments["data"])
    job.selecting_tasks(evaluation)
    for _, mixture, split in evaluation.final:
        evaluation_tasks(mixture, split)
    checkpoints = arguments.get("checkpoints")
    path = checkpoints.initial_checkpoint_path if checkpoints else None
    if path is not None and "://" not in path:  # nothing is downloaded here
        found = locate(path)
        if found not in SHIPPED and not Path(found).exists():
            raise UserError(f"initial_checkpoint_path {path}: there is no such file")


def _binding(name: str, value: Any, origin: str) -> Binding:
    raw = isinstance(value, str) and value.startswith(_GIN_SOURCE)
    return Binding(name, value if raw else repr(value), origin)


def _name(run: PlannedRun, facts: Mapping[str, str]) -> str:
    """Readable, safe as a folder's name, and different for different configurations."""
    text = "\n".join(f"{name} = {facts[name]}" for name in sorted(facts))
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9=.,_]+", "-", run.label.replace(", ", ","))
    return f"{readable[:_LONGEST].strip('-,')}-{digest}"


def mark(name: str) -> str:
    """The hash that a run's name ends with."""
    return name.rpartition("-")[2]


def _short(name: str) -> str:
    return name.rpartition(".")[2]
