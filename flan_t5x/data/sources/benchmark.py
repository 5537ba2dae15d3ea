"""Published benchmarks: a file for each split, small enough to be parsed whole.

A benchmark's rows may lie in one file and its exemplars in another. Files are opened on first
use; how many rows they have is remembered (`sources.counts`), so that a table of hundreds of
tasks opens none of them twice.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from flan_t5x.data.definitions import BadRow, Example
from flan_t5x.data.sources.counts import FileFacts, usable_facts
from flan_t5x.data.sources.location import MissingDataError, data_dir
from flan_t5x.errors import UserError

Rows = Sequence[Example | BadRow]
_GZIP = b"\x1f\x8b"


class BenchmarkFile(NamedTuple):
    """A file below the data folder, and what reads it (a function of a module, with keywords).

    Attributes:
        raw: name of its raw source, see ``flan-t5x data list``.
        path: relative, e.g. ``"bbh/snarks.json"``; it may be packed, with ``.gz`` added.
        parser: makes rows of its text; raises ValueError, KeyError, TypeError or AttributeError
            where that is none of the kind at all.
        options: keyword arguments of the parser, as pairs; plain texts.
        others: where the same rows may be found instead, in order.
    """

    raw: str
    path: str
    parser: Callable[..., Rows]
    options: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()

    def locate(self) -> Path:
        """The first of its places that is there, else its own. Raises MissingDataError where the
        data folder is not known."""
        places = [data_dir() / name for name in (self.path, *self.others)]
        for place in places:
            for path in (place, place.with_name(f"{place.name}.gz")):
                if path.is_file():
                    return path
        return places[0]

    def require(self, path: Path) -> Path:
        """The path. Raises MissingDataError, with the way to get it, where nothing is there."""
        if path.is_file():
            return path
        raise MissingDataError(
            f"the file {str(path)!r} does not exist; `flan-t5x data fetch --only={self.raw} "
            "--data_dir=DIR` gets it, or give the folder that has it as --data_dir.",
            raw=self.raw,
        )

    def rows(self, path: Path) -> Rows:
        """The rows of the file at a path. Raises UserError where it holds none of the kind."""
        return _parsed(path, path.stat().st_mtime_ns, self.parser, self.options)

    def describe(self) -> str:
        """All that decides the rows besides the file's bytes."""
        return f"{self.parser.__module__}.{self.parser.__qualname__} {self.options}"


class BenchmarkSource:
    """A `Source` over the files of one benchmark task.

    Args:
        files: a file for each split; splits may share one.
        version: raise where a parser reads the same file differently.
    """

    def __init__(self, files: Mapping[str, BenchmarkFile], *, version: int = 1) -> None:
        self.files = dict(files)
        self.version = version
        self._pinned: dict[str, Path] = {}

    def __repr__(self) -> str:
        return f"BenchmarkSource({', '.join(f'{s}={f.path}' for s, f in self.files.items())})"

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, those included whose file is not there."""
        return tuple(self.files)

    def num_examples(self, split: str) -> int:
        """Rows of a split, good and bad."""
        file = self._file(split)
        return self._facts(file, file.require(self._path(split))).rows

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 in file order."""
        file = self._file(split)
        return iter(file.rows(file.require(self._path(split)))[start:stop])

    def fingerprint(self) -> str:
        """Digest of the files that are there and of how they are parsed."""
        parts = [str(self.version)]
        for split, file in self.files.items():
            path = self._path(split)
            digest = self._facts(file, path).sha256 if path.is_file() else "absent"
            parts += [split, file.describe(), digest]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _facts(self, file: BenchmarkFile, path: Path) -> FileFacts:
        how = f"{file.describe()} {self.version}"
        return usable_facts(path, lambda found: len(file.rows(found)), how=how)

    def _file(self, split: str) -> BenchmarkFile:
        if split not in self.files:
            raise UserError(f"there is no split {split!r}; there are {', '.join(self.files)}.")
        return self.files[split]

    def _path(self, split: str) -> Path:
        return self._pinned.get(split) or self._file(split).locate()

    def __getstate__(self) -> dict[str, Any]:
        # Workers must find the files even though `set_data_dir` was only called here.
        state = dict(self.__dict__)
        with contextlib.suppress(UserError):
            state["_pinned"] = {split: self._path(split) for split in self.files}
        return state


@lru_cache(maxsize=64)
def _parsed(
    path: Path, changed: int, parser: Callable[..., Rows], options: tuple[tuple[str, str], ...]
) -> Rows:
    content = path.read_bytes()
    if content[:2] == _GZIP:
        content = gzip.decompress(content)
    try:
        rows = parser(content.decode("utf-8-sig"), **dict(options))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{str(path)!r} is not what it should be ({type(error).__name__}: {error}). "
            "Get the file again."
        ) from error
    return _unique(rows)


def _unique(rows: Rows) -> Rows:
    """The rows, later ones of an id that was there turned into bad rows."""
    seen: set[str] = set()
    found: list[Example | BadRow] = []
    for row in rows:
        if isinstance(row, Example) and row.id in seen:
            row = BadRow(row.id, "duplicate id", f"id {row.id!r} was there before")
        seen.add(row.id)
        found.append(row)
    return tuple(found)
