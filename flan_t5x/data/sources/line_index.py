"""Where the rows of a file of lines begin: found in one pass, kept as arrays, never the rows.

The pass holds 33 bytes a row, the finished index 16. That of a large file is put into the cache
folder and mapped into memory from there, so that the workers of a cache need no pass of their own:

    {cache_dir}/line_index/{digest of path, size, time of change, how lines are parsed}/
        rows.npy     int64 [rows, 2]: first byte and line number, by split, in file order
        repeats.npy  int64 [lines, 2]: a line whose id an earlier line has, and that line
        index.json   SHA-256 of the file, rows of each split; written last
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt64

from flan_t5x.files import default_cache_dir

KEPT_FROM = 64 << 20  # bytes of a file from which its index is put on disk
_NO_INDEX = (OSError, ValueError, KeyError, EOFError)  # it is not there, or damaged
_DIGEST = 16  # bytes: of a billion ids, two would look equal with a chance of 1e-21


class FileState(NamedTuple):
    """What changes when a file is written to."""

    path: str
    size: int
    changed: int  # in nanoseconds

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The file's state now. Raises OSError."""
        found = path.stat()
        return cls(str(path.absolute()), found.st_size, found.st_mtime_ns)


class Place(NamedTuple):
    """Split and id of a line; without an id for one that cannot be used."""

    split: str
    id: str | None


@dataclass(frozen=True)
class LineIndex:
    """Where the rows are.

    Attributes:
        state: of the file when it was read.
        sha256: of its bytes.
        splits: rows by split, first byte and line number (from 1) of each, in file order.
        repeats: lines whose id an earlier line has, in order, and that line.
    """

    state: FileState
    sha256: str
    splits: Mapping[str, Int64[np.ndarray, "rows 2"]]
    repeats: Int64[np.ndarray, "lines 2"]

    @property
    def empty(self) -> bool:
        """Whether the file has nothing but space."""
        return not any(map(len, self.splits.values()))

    def earlier(self, number: int) -> int | None:
        """The line that has the id of line `number` before it; None where none has."""
        place = int(np.searchsorted(self.repeats[:, 0], number))
        if place < len(self.repeats) and self.repeats[place, 0] == number:
            return int(self.repeats[place, 1])
        return None


def lines_of(file: BinaryIO, places: Int64[np.ndarray, "rows 2"]) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line, its newline cut off."""
    here = -1
    for start in range(0, len(places), 1024):
        for first, number in places[start : start + 1024].tolist():
            if first != here:
                file.seek(first)
            raw = file.readline()
            here = first + len(raw)
            yield number, raw.removesuffix(b"\n")


def line_index(
    path: Path, place_of: Callable[[bytes, int], Place], *, home: str, how: str
) -> LineIndex:
    """The index of a file: read from the cache folder, or made by one pass over the file.

    Args:
        path: the file.
        place_of: told a line without its newline, and its number.
        home: the split where a line whose id was there before counts.
        how: what `place_of` does, with a version: another way is another index.

    Raises:
        OSError: the file cannot be read.
    """
    state = FileState.of(path)
    if state.size < KEPT_FROM:
        return _read_through(path, state, place_of, home=home)
    key = hashlib.sha256(repr((state, how)).encode()).hexdigest()[:16]
    folder = Path(default_cache_dir()) / "line_index" / key
    with contextlib.suppress(*_NO_INDEX):
        return _load(folder, state)
    found = _read_through(path, state, place_of, home=home)
    with contextlib.suppress(*_NO_INDEX):  # then it stays in memory
        _keep(found, folder)
        return _load(folder, state)
    return found


def _read_through(
    path: Path, state: FileState, place_of: Callable[[bytes, int], Place], *, home: str
) -> LineIndex:
    whole = hashlib.sha256()
    names = [home]
    splits, rows, digests, first = bytearray(), array("q"), bytearray(), 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            whole.update(raw)
            if raw.strip():
                split, id = place_of(raw.removesuffix(b"\n"), number)
                if split not in names:
                    names.append(split)
                splits.append(names.index(split))
                rows.extend((first, number))
                # A line without an id is told from all others by its number.
                text = f"{number}" if id is None else id
                digests += hashlib.blake2b(
                    text.encode("utf-8", "surrogatepass"),
                    digest_size=_DIGEST,
                    person=b"line" if id is None else b"id",
                ).digest()
            first += len(raw)
    places = np.frombuffer(rows, np.int64).reshape(-1, 2)
    of_split = np.frombuffer(splits, np.uint8).copy()
    later, earlier = _repeats(np.frombuffer(digests, np.uint64).reshape(-1, 2))
    of_split[later] = 0
    return LineIndex(
        state,
        whole.hexdigest(),
        {name: places[of_split == code] for code, name in enumerate(names)},
        np.stack([places[later, 1], places[earlier, 1]], axis=1),
    )


def _repeats(
    digests: UInt64[np.ndarray, "rows 2"],
) -> tuple[Int64[np.ndarray, " repeats"], Int64[np.ndarray, " repeats"]]:
    """Rows whose digest was there before, in order, and the first row with it."""
    ordered = np.sort(digests[:, 0])
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(twice):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    some = np.flatnonzero(np.isin(digests[:, 0], twice))  # half of their digests repeats
    _, firsts, inverse = np.unique(digests[some], axis=0, return_index=True, return_inverse=True)
    earlier = some[firsts[inverse.reshape(-1)]]
    later = some != earlier
    return some[later], earlier[later]


def _keep(index: LineIndex, folder: Path) -> None:
    """Puts the index on disk; another process may do the same."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as name:
        work = Path(name) / folder.name
        work.mkdir()
        with (work / "rows.npy").open("wb") as file:
            sizes = {split: len(rows) for split, rows in index.splits.items()}
            head = {"descr": "<i8", "fortran_order": False, "shape": (sum(sizes.values()), 2)}
            np.lib.format.write_array_header_1_0(file, head)
            for rows in index.splits.values():
                rows.astype("<i8", copy=False).tofile(file)
        np.save(work / "repeats.npy", index.repeats)
        (work / "index.json").write_text(json.dumps({"sha256": index.sha256, "splits": sizes}))
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one; who has it open keeps it
        work.rename(folder)


def _load(folder: Path, state: FileState) -> LineIndex:
    told = json.loads((folder / "index.json").read_text())
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    bounds = np.cumsum(list(told["splits"].values()))
    parts = np.split(rows, bounds[:-1])
    if bounds[-1] != len(rows):
        raise ValueError(f"{folder}: {len(rows)} rows, {bounds[-1]} are told of")
    repeats = np.load(folder / "repeats.npy")
    return LineIndex(state, told["sha256"], dict(zip(told["splits"], parts, strict=True)), repeats)
