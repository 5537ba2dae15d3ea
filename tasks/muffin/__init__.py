"""Muffin: Flan 2021's data sets as Flan 2022 mixes them (Wei et al. 2022, Chung et al. 2022).

Task names are ``flan_{key}_{kind}``: zero-shot (zs) or few-shot (fs), with the answer options
shown (opt) or not (noopt). ``flan_{key}_inv_{zs,fs}`` turn a task round: from the answer to the
question. Rows come from TensorFlow Datasets; a task whose data is missing says so when it is
first read. No task is built, and no file of wordings read, before one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from flan_t5x.data.definitions import Format, MixtureDefinition, TaskDefinition
from flan_t5x.errors import UserError, nearest

from .. import mixtures as _mixtures
from .catalog import datasets, source, wordings

__all__ = [
    "FLAN_2022_ONLY",
    "INVERTED",
    "KEYS",
    "KINDS",
    "MAX_EXEMPLARS",
    "clusters",
    "mixtures",
    "names",
    "task",
    "tasks",
]

KEYS = tuple(datasets())
"""FLAN's 71 keys."""

KINDS = ("zsopt", "fsopt", "zsnoopt", "fsnoopt")

INVERTED = tuple(key for key, dataset in datasets().items() if dataset.inverted)
"""Keys that also have a task turned round."""

FLAN_2022_ONLY = ("lambada", "unified_qa_science_inst")
"""Keys that Flan 2022 added to those of Flan 2021."""

MAX_EXEMPLARS = 5
"""Flan 2022's few-shot prompts hold two to five exemplars (Longpre et al. 2023)."""


def clusters() -> dict[str, tuple[str, ...]]:
    """The keys of each cluster, the unit that Flan 2021 holds out."""
    found: dict[str, tuple[str, ...]] = {}
    for key, dataset in datasets().items():
        found[dataset.cluster] = (*found.get(dataset.cluster, ()), key)
    return found


def names() -> Iterator[str]:
    """Names of all tasks, without building any."""
    for key in KEYS:
        yield from (f"flan_{key}_{kind}" for kind in KINDS)
    for key in INVERTED:
        yield from (f"flan_{key}_inv_{format}" for format in ("zs", "fs"))


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    prefix, _, rest = name.partition("_")
    key, _, kind = rest.rpartition("_")
    if prefix == "flan" and kind in KINDS and key in KEYS:
        return _forward(key, kind)
    inverted = key.removesuffix("_inv")
    if prefix == "flan" and inverted != key and inverted in INVERTED and kind in ("zs", "fs"):
        return _inverted(inverted, "fs" if kind == "fs" else "zs")
    raise UserError(f"there is no Muffin task {name!r}. {nearest(name, list(names()))}".rstrip())


def _forward(key: str, kind: str) -> TaskDefinition:
    dataset = datasets()[key]
    found = wordings(dataset.wordings)
    shown = not kind.endswith("noopt")
    return TaskDefinition(
        name=f"flan_{key}_{kind}",
        source=source(key),
        templates=found.with_options if shown else found.without_options,
        format="fs" if kind.startswith("fs") else "zs",
        metrics=dataset.metrics,
        group=dataset.cluster,
        max_exemplars=MAX_EXEMPLARS,
        option_styles=dataset.option_styles if shown else (),
    )


def _inverted(key: str, format: Format) -> TaskDefinition:
    """Its target is a text of many possible ones: scored by overlap of words."""
    dataset = datasets()[key]
    return TaskDefinition(
        name=f"flan_{key}_inv_{format}",
        source=source(key),
        templates=wordings(dataset.wordings).inverted,
        format=format,
        metrics=("rouge",),
        group=dataset.cluster,
        max_exemplars=MAX_EXEMPLARS,
        option_styles=(),
    )


def tasks() -> Iterator[TaskDefinition]:
    """All of them: 71 keys in four kinds, and the inverted ones."""
    return map(task, names())


def mixtures() -> Iterator[MixtureDefinition]:
    """See `flan_tasks.mixtures`."""
    return _mixtures.muffin(clusters(), INVERTED)
