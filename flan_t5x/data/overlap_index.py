"""The runs of words that are looked for, as sorted arrays of 64-bit numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

Keys = UInt64[np.ndarray, " keys"]

_FILTER_BITS = 22  # a table of 4 MiB says of most runs at once that they are not looked for
_SHIFT = np.uint64(64 - _FILTER_BITS)


class HeldOutIndex:
    """Runs of held-out rows by their length; 12 bytes each.

    Args:
        runs: length -> (keys, the row of each); a key may stand several times.
        rows: number of rows.
    """

    def __init__(self, runs: dict[int, tuple[Keys, Int[np.ndarray, " keys"]]], rows: int) -> None:
        self.lengths = tuple(sorted(runs))
        self._keys: dict[int, Keys] = {}
        self._rows: dict[int, np.ndarray] = {}
        self._seen: dict[int, np.ndarray] = {}
        self._filter: dict[int, np.ndarray] = {}
        self._count = np.zeros(rows, np.int64)
        for length, (keys, owners) in runs.items():
            order = np.argsort(keys, kind="stable")
            self._keys[length] = keys[order]
            self._rows[length] = owners[order]
            self._seen[length] = np.zeros(len(keys), bool)
            table = np.zeros(1 << _FILTER_BITS, bool)
            table[keys >> _SHIFT] = True
            self._filter[length] = table
            self._count += np.bincount(owners, minlength=rows)

    def maybe(self, length: int, runs: Keys) -> Bool[np.ndarray, " keys"]:
        """Whether a run can be one of those looked for; never wrong about "no"."""
        return self._filter[length][runs >> _SHIFT]

    def look_up(
        self, length: int, runs: Keys, places: Int[np.ndarray, " places"]
    ) -> Iterator[tuple[int, int]]:
        """(place, held-out row) of every run at the given places that is looked for.

        What is found is also noted, for `found_shares`.
        """
        keys = self._keys[length]
        wanted = runs[places]
        first = np.searchsorted(keys, wanted, side="left")
        last = np.searchsorted(keys, wanted, side="right")
        for i in np.flatnonzero(last > first):
            self._seen[length][first[i] : last[i]] = True
            for held in self._rows[length][first[i] : last[i]]:
                yield int(places[i]), int(held)

    def found_shares(self) -> Float[np.ndarray, " rows"]:
        """For every held-out row the share of its runs that were found."""
        found = np.zeros(len(self._count), np.int64)
        for length in self.lengths:
            owners = self._rows[length][self._seen[length]]
            found += np.bincount(owners, minlength=len(found))
        return found / np.maximum(self._count, 1)


class IndexBuilder:
    """Gathers runs row by row; a task's boilerplate is left out when the task is closed."""

    def __init__(self) -> None:
        self._open: dict[int, list[tuple[Keys, np.ndarray]]] = {}
        self._closed: dict[int, list[tuple[Keys, np.ndarray]]] = {}

    def add(self, row: int, runs: Sequence[tuple[int, Keys]]) -> None:
        """Adds the runs of a row."""
        for length, keys in runs:
            owners = np.full(len(keys), row, np.int32)
            self._open.setdefault(length, []).append((keys, owners))

    def close(self, first: int, last: int, *, most_rows: int) -> int:
        """Ends a task whose rows are first..last-1.

        Args:
            first: its first row.
            last: one beyond its last row.
            most_rows: a run that is in more rows is left out.

        Returns:
            How many of its rows have no runs (left).
        """
        left = np.zeros(last - first, bool)
        for length, parts in self._open.items():
            keys = np.concatenate([keys for keys, _ in parts])
            owners = np.concatenate([owners for _, owners in parts])
            order = np.lexsort((owners, keys))
            keys, owners = keys[order], owners[order]
            new = np.ones(len(keys), bool)  # each run counts once per row
            new[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
            keys, owners = keys[new], owners[new]
            _, group, rows = np.unique(keys, return_inverse=True, return_counts=True)
            kept = rows[group] <= most_rows
            left[owners[kept] - first] = True
            self._closed.setdefault(length, []).append((keys[kept], owners[kept]))
        self._open.clear()
        return int((~left).sum())

    def index(self, rows: int) -> HeldOutIndex:
        """The index of all closed tasks."""
        return HeldOutIndex(
            {
                length: (
                    np.concatenate([keys for keys, _ in parts]),
                    np.concatenate([owners for _, owners in parts]),
                )
                for length, parts in self._closed.items()
            },
            rows,
        )
