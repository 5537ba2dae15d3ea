"""An evaluation set that takes its few-shot exemplars from another source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from flan_t5x.data.definitions import BadRow, Example, Source

EXEMPLARS = "exemplars"


class WithExemplars:
    """The splits of one source, and a split "exemplars" that is a split of another.

    Args:
        queries: what is asked.
        pool: where exemplars come from.
        pool_split: the pool's split that serves.
    """

    def __init__(self, queries: Source, pool: Source, pool_split: str) -> None:
        self.queries = queries
        self.pool = pool
        self.pool_split = pool_split

    def __repr__(self) -> str:
        return f"WithExemplars({self.queries!r}, {self.pool!r}, {self.pool_split!r})"

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the queries, then "exemplars"."""
        return (*self.queries.splits, EXEMPLARS)

    def num_examples(self, split: str) -> int:
        """Rows of the split."""
        if split == EXEMPLARS:
            return self.pool.num_examples(self.pool_split)
        return self.queries.num_examples(split)

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1."""
        if split == EXEMPLARS:
            return self.pool.read(self.pool_split, start, stop)
        return self.queries.read(split, start, stop)

    def fingerprint(self) -> str:
        """Covers both sources."""
        parts = (self.queries.fingerprint(), self.pool.fingerprint(), self.pool_split)
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()
