"""Two tiny task sets for tests of whole runs, given with ``--task_module=tests.train.small_tasks``.

Sources are those of `tests.data.cache_toys`: rows of simple words that the mini vocabulary has.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flan_t5x.data.definitions import (
    BadRow,
    Example,
    MixtureDefinition,
    MixturePart,
    TaskDefinition,
    Template,
)
from tests.data.cache_toys import ToySource

LAST = (Template("Which word comes last in {text} ?"), Template("{text} : name the last word."))
FIRST = (Template("Say the end of {text} ."), Template("The final word of {text} is"))


@dataclass(frozen=True)
class SlowSource(ToySource):
    """A `ToySource` that takes its time before every hundredth row: caching lasts seconds."""

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        for i in range(start, stop):
            if i % 100 == 0:
                time.sleep(0.02)
            yield self.row(split, i)


def tasks() -> Iterable[TaskDefinition]:
    """Two quick tasks, two that are slow to cache and large enough for worker processes."""
    quick = (("train", 400), ("validation", 12), ("test", 12))
    slow = (("train", 2100), ("validation", 400))
    for name, templates in (("last", LAST), ("final", FIRST)):
        salt = f"{name} "
        yield TaskDefinition(f"small_{name}", ToySource(rows=quick, salt=salt), templates)
        yield TaskDefinition(f"slow_{name}", SlowSource(rows=slow, salt=salt), templates)


def mixtures() -> Iterable[MixtureDefinition]:
    """Each pair as a mixture, and the quick pair with other rates."""
    for kind in ("small", "slow"):
        parts = (MixturePart(f"{kind}_last", cap=300), MixturePart(f"{kind}_final"))
        yield MixtureDefinition(kind, parts)
    parts = (MixturePart("small_last", rate=3.0), MixturePart("small_final", rate=1.0))
    yield MixtureDefinition("small_other_rates", parts)
