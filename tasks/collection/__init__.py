"""The Flan collections as wholes: mixtures over the submixtures, no tasks of their own.

``flan2022_*`` and ``flan2021*`` are what `flan_tasks.mixtures` has under these names.
"""

from __future__ import annotations

from collections.abc import Iterator

from flan_t5x.data.definitions import MixtureDefinition, TaskDefinition

from .. import mixtures as _mixtures
from ..muffin import FLAN_2022_ONLY, clusters

__all__ = ["flan_2021_clusters", "mixtures", "tasks"]


def flan_2021_clusters() -> dict[str, tuple[str, ...]]:
    """Muffin's clusters without the keys that came in 2022."""
    kept = {
        name: tuple(key for key in keys if key not in FLAN_2022_ONLY)
        for name, keys in clusters().items()
    }
    return {name: keys for name, keys in kept.items() if keys}


def tasks() -> Iterator[TaskDefinition]:
    """None."""
    return iter(())


def mixtures() -> Iterator[MixtureDefinition]:
    """See `flan_tasks.mixtures`."""
    yield from _mixtures.flan2022()
    yield from _mixtures.flan2021(flan_2021_clusters())
