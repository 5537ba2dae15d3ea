"""The conversations of Flan 2022: WikiDialog and QReCC, and both turned round.

Task names are ``dialog_{name}_{zsopt,fsopt}`` (say the next turn) and ``dialog_{name}_inv_{zs,fs}``
(write what led to a turn). Wordings are in ``data/templates.toml``. Rows come from TensorFlow
Datasets; Flan 2022's other conversations (TaskMaster) are not in its public code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition, Template
from flan_t5x.data.sources import dialogue
from flan_t5x.data.sources.tfds import TfdsSource
from flan_t5x.errors import UserError, nearest

from .. import mixtures as _mixtures
from .. import tables

__all__ = ["KINDS", "NAMES", "mixtures", "names", "task"]

_SOURCES: Mapping[str, Callable[[], TfdsSource]] = {
    "wiki_dialog": dialogue.wiki_dialog,
    "qrecc": dialogue.qrecc,
}

NAMES = tuple(_SOURCES)
KINDS = ("zsopt", "fsopt", "inv_zs", "inv_fs")
_MAX_EXEMPLARS = 3


def names() -> Iterator[str]:
    """Names of all tasks, without making any."""
    for name in NAMES:
        yield from (f"dialog_{name}_{kind}" for kind in KINDS)


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    for key in NAMES:
        kind = name.removeprefix(f"dialog_{key}_")
        if kind in KINDS:
            return TaskDefinition(
                name=name,
                source=_source(key),
                templates=_templates()["inverted" if kind.startswith("inv") else "forward"],
                format="fs" if "fs" in kind else "zs",
                metrics=("rouge", "f1"),
                group="dialog",
                max_exemplars=_MAX_EXEMPLARS,
                option_styles=(),
            )
    raise UserError(f"there is no dialogue task {name!r}. {nearest(name, names())}".rstrip())


def mixtures() -> Iterator[MixtureDefinition]:
    """See `flan_tasks.mixtures`."""
    return _mixtures.dialog(NAMES)


@cache
def _source(key: str) -> TfdsSource:
    """One object for the four kinds, so that its description is read once."""
    return _SOURCES[key]()


@cache
def _templates() -> Mapping[str, tuple[Template, ...]]:
    return tables.templates(__package__)
