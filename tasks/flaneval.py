"""FLAN's clusters as evaluation: every template of every data set by itself, zero-shot.

Wei et al. 2022 hold a cluster out (`flan2021_without_{cluster}` trains on the rest), and score it
under several templates: the mean over templates is what a user who writes a prompt may expect, the
best, picked on the very rows that are scored, bounds what a tuned prompt reaches. Tasks are
``flaneval_{key}_t{i}``: the i-th zero-shot wording with options of `flan_tasks.muffin`, for all
rows. Mixtures are ``flaneval_cluster_{cluster}`` and ``flaneval_suite``; figures over templates are
in `flan_tasks.aggregates`.

``flaneval_held_in`` scores the training tasks of Muffin themselves, zero-shot and few-shot with
options, on their validation or test rows.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from functools import cache

from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition
from flan_t5x.errors import UserError, nearest

from . import muffin
from .benchmark import evaluation_mixture
from .collection import flan_2021_clusters

_NAME = re.compile(r"flaneval_(?P<key>\w+)_t(?P<number>\d+)")


@cache
def templates(key: str) -> int:
    """How many zero-shot wordings a data set has."""
    return len(muffin.task(f"flan_{key}_zsopt").templates)


def task_names_of(key: str) -> list[str]:
    """The tasks of a data set, one a template."""
    return [f"flaneval_{key}_t{number}" for number in range(templates(key))]


def names() -> Iterator[str]:
    """Names of all tasks."""
    for keys in flan_2021_clusters().values():
        for key in keys:
            yield from task_names_of(key)


def task(name: str) -> TaskDefinition:
    """The task of that name. Raises UserError, with near names, where there is none."""
    found = _NAME.fullmatch(name)
    if not found or name not in task_names_of(_known(found["key"], name)):
        raise UserError(f"there is no task {name!r}. {nearest(name, list(names()))}".rstrip())
    whole = muffin.task(f"flan_{found['key']}_zsopt")
    one = (whole.templates[int(found["number"])],)
    return dataclasses.replace(whole, name=name, templates=one, evaluation_only=True)


def _known(key: str, name: str) -> str:
    if key not in muffin.KEYS:
        raise UserError(f"there is no task {name!r}. {nearest(key, muffin.KEYS)}".rstrip())
    return key


def mixtures() -> Iterator[MixtureDefinition]:
    """A mixture for each cluster, one for all, and the held-in tasks."""
    clusters = flan_2021_clusters()
    for cluster, keys in clusters.items():
        tasks = [name for key in keys for name in task_names_of(key)]
        about = f"FLAN's cluster {cluster}, every template by itself"
        yield evaluation_mixture(f"flaneval_cluster_{cluster}", tasks, about)
    parts = [f"flaneval_cluster_{cluster}" for cluster in clusters]
    yield evaluation_mixture("flaneval_suite", parts, "all clusters of Flan 2021, every template")
    held_in = [f"flan_{key}_{kind}" for key in muffin.KEYS for kind in ("zsopt", "fsopt")]
    yield evaluation_mixture("flaneval_held_in", held_in, "Muffin's own tasks, with options")
