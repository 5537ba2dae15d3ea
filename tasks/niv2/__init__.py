"""Natural Instructions, one task for each of its tasks (Wang et al. 2022; Flan 2022's NIv2).

Task names are ``niv2_{task}_zsopt`` (definition and input) and ``niv2_{task}_fsopt`` (definition,
one or two examples, input), with the signs of the published name folded to underscores. Which
tasks there are is in ``data/tasks.tsv``, which are left out and why in ``data/exclusions.tsv``,
how they are worded in ``data/templates.toml``. The texts come from the user's task files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition, Template
from flan_t5x.data.sources.niv2 import NaturalInstructionsSource, fold, task_number
from flan_t5x.errors import UserError, nearest

from .. import mixtures as _mixtures
from .. import tables

__all__ = ["KINDS", "Entry", "Exclusion", "entries", "exclusions", "mixtures", "names", "task"]

KINDS = ("zsopt", "fsopt")
_MAX_EXEMPLARS = 2


@dataclass(frozen=True)
class Entry:
    """A line of ``tasks.tsv``.

    Attributes:
        file: name of the task's file, without ".json".
        examples: published number of instances.
        category: as Flan's list of tasks has it.
        languages: of inputs and outputs.
    """

    file: str
    examples: int
    category: str
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Exclusion:
    """A line of ``exclusions.tsv``: a task that may have to be left out.

    Attributes:
        file: name of the task's file, without ".json".
        examples: published number of instances.
        by_default: whether it is left out here.
        reason: why.
    """

    file: str
    examples: int
    by_default: bool
    reason: str


@cache
def exclusions() -> Mapping[str, Exclusion]:
    """Tasks with a reason to leave them out, by folded name."""
    rows = tables.rows(__package__, "exclusions.tsv")
    return {
        fold(file): Exclusion(file, int(examples), by_default == "yes", reason)
        for file, examples, by_default, reason in rows
    }


@cache
def entries() -> Mapping[str, Entry]:
    """The tasks that are trained on, by folded name, in order of their numbers."""
    rows = tables.rows(__package__, "tasks.tsv")
    found = {
        fold(file): Entry(file, int(examples), category, tuple(languages.split(",")))
        for file, examples, category, languages in rows
    }
    left_out = {name for name, why in exclusions().items() if why.by_default}
    return {name: entry for name, entry in found.items() if name not in left_out}


def names() -> Iterator[str]:
    """Names of all tasks, without making any."""
    for name in entries():
        yield from (f"niv2_{name}_{kind}" for kind in KINDS)


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    key, _, kind = name.removeprefix("niv2_").rpartition("_")
    if kind not in KINDS or key not in entries():
        hint = nearest(name, names())
        raise UserError(f"there is no NIv2 task {name!r}. {hint}".rstrip())
    few = kind == "fsopt"
    return TaskDefinition(
        name=name,
        source=_source(key),
        templates=_templates()["few" if few else "zero"],
        format="fs" if few else "zs",
        metrics=("rouge", "accuracy"),
        group="niv2",
        max_exemplars=_MAX_EXEMPLARS,
        option_styles=(),
    )


def mixtures() -> Iterator[MixtureDefinition]:
    """See `flan_tasks.mixtures`."""
    return _mixtures.niv2(tuple(entries()))


@cache
def _source(key: str) -> NaturalInstructionsSource:
    """One object for the two kinds of a task, so that its file is read once."""
    entry = entries()[key]
    alone = _numbers()[task_number(key)] == 1
    return NaturalInstructionsSource(entry.file, published=entry.examples, alone=alone)


@cache
def _numbers() -> Counter[int]:
    """How many published tasks carry a number: five numbers are carried by two."""
    return Counter(task_number(name) for name in {*entries(), *exclusions()})


@cache
def _templates() -> Mapping[str, tuple[Template, ...]]:
    return tables.templates(__package__)
