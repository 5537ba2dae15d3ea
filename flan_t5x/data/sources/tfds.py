"""TensorFlow Datasets by name and version, read from where `download_and_prepare` left them.

How many rows there are, and in which files, is written in the data's ``dataset_info.json``:
counting neither reads rows nor imports TensorFlow. Rows are read by position where the files
are ArrayRecord, else by slices in file order.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources.location import VARIABLE, MissingDataError, chosen_data_dir
from flan_t5x.data.sources.slices import Piece, resolve_slices, sub_range
from flan_t5x.errors import UserError

TFDS_VARIABLE = "TFDS_DATA_DIR"
_INFO = "dataset_info.json"

RowParser = Callable[[str, dict[str, Any]], Example]
"""(id, row) -> Example; raises RowError for an unusable row."""

RowFilter = Callable[[dict[str, Any]], bool]


class Prepared(Protocol):
    """A prepared data set."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Rows of each split."""
        ...

    @property
    def digest(self) -> str:
        """Changes whenever the data could."""
        ...

    def rows(self, piece: Piece) -> Iterator[dict[str, Any]]:
        """The rows of a piece in file order, as NumPy values."""
        ...


class TfdsSource:
    """A TFDS data set as a `Source`.

    Args:
        builder: ``name[/config]:version``, e.g. ``"glue/mrpc:2.0.0"``.
        parser: how a row becomes an example; a module-level function, so that it pickles. It
            sees plain Python values: text for bytes, lists for arrays, dicts for nested features.
        splits: our splits as slices of the builder's, see `slices`.
        published: rows of the builder's own splits as its catalog states them (with `keep`: of
            the rows that it keeps); see `expected_examples`.
        keep: which rows belong at all; a module-level function. With it, counting reads all
            rows once.
        manual: the step that only a person can take, for the message that the data is missing.
    """

    def __init__(
        self,
        builder: str,
        parser: RowParser,
        *,
        splits: Mapping[str, str],
        published: Mapping[str, int] | None = None,
        keep: RowFilter | None = None,
        manual: str = "",
    ) -> None:
        self.builder = builder
        self.parser = parser
        self.slices = dict(splits)
        self.published = dict(published or {})
        self.keep = keep
        self.manual = manual
        self._kept: dict[str, list[int]] = {}
        self._prepared: Prepared | None = None
        self._pinned: Path | None = None

    def __repr__(self) -> str:
        return f"TfdsSource({self.builder!r}, {self.parser.__qualname__}, splits={self.slices})"

    @property
    def splits(self) -> tuple[str, ...]:
        """Known without opening anything."""
        return tuple(self.slices)

    def num_examples(self, split: str) -> int:
        """Rows of a split. Raises UserError where the data is missing."""
        if self.keep is not None:
            return len(self._positions(split))
        return sum(piece.size for piece in self._pieces(split))

    def expected_examples(self, split: str) -> int | None:
        """The published number of rows; None where it is not known."""
        spec = self._slice(split)
        if any(part.partition("[")[0].strip() not in self.published for part in spec.split("+")):
            return None
        pieces = resolve_slices(spec, self.published, of=self.builder)
        return sum(piece.size for piece in pieces)

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 in file order; unusable ones as BadRows."""
        if self.keep is None:
            yield from self._read(split, start, stop)
            return
        wanted = self._positions(split)[start:stop]
        if not wanted:
            return
        rows = self._read(split, wanted[0], wanted[-1] + 1)
        chosen = set(wanted)
        yield from (row for place, row in enumerate(rows, wanted[0]) if place in chosen)

    def fingerprint(self) -> str:
        """Covers the data's own digest, the slices, and the code of the parser."""
        how = f"{self.builder} {sorted(self.slices.items())} {self.settings()}"
        return hashlib.sha256(f"{self._open().digest} {how}".encode()).hexdigest()

    def settings(self) -> str:
        """The parser and the filter, with digests of their modules: an edit makes new rows."""
        functions = [self.parser, *([self.keep] if self.keep else [])]
        return " ".join(f"{f.__qualname__} {_module_digest(f.__module__)}" for f in functions)

    def _slice(self, split: str) -> str:
        if split not in self.slices:
            known = ", ".join(self.slices)
            raise UserError(f"{self.builder!r} has no split {split!r} here; it has {known}.")
        return self.slices[split]

    def _pieces(self, split: str) -> tuple[Piece, ...]:
        return resolve_slices(self._slice(split), self._open().sizes, of=self.builder)

    def _open(self) -> Prepared:
        if self._prepared is None:
            self._prepared = open_prepared(self.builder, manual=self.manual, found=self._pinned)
        return self._prepared

    def _numbered(
        self, split: str, start: int, stop: int
    ) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
        """Ids and plain rows. A row that is not UTF-8 comes as a BadRow."""
        for piece in sub_range(self._pieces(split), start, stop):
            for place, row in enumerate(self._open().rows(piece), piece.start):
                id = f"{piece.split}/{place}"
                try:
                    yield id, plain(row)
                except UnicodeDecodeError as error:
                    bad = f"{error.object[error.start]:#04x}"
                    detail = f"{self.builder} {id}: byte {error.start + 1} of a text is {bad}"
                    yield id, BadRow(id, "not UTF-8", detail)

    def _read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        for id, row in self._numbered(split, start, stop):
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield self.parser(id, row)
            except RowError as error:
                yield BadRow(id, error.reason, f"{self.builder} {id}: {error.detail}")
            except (KeyError, IndexError) as error:
                detail = f"{self.builder} {id}: {error}; the row has {', '.join(row)}"
                yield BadRow(id, "missing field", detail)

    def _positions(self, split: str) -> list[int]:
        """Places of the rows that `keep` wants. Reads the split once."""
        if split not in self._kept:
            assert self.keep is not None
            total = sum(piece.size for piece in self._pieces(split))
            self._kept[split] = [
                place
                for place, (_, row) in enumerate(self._numbered(split, 0, total))
                if isinstance(row, BadRow) or self.keep(row)
            ]
        return self._kept[split]

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the files itself, and must find them without `set_data_dir`.
        state = self.__dict__ | {"_prepared": None}
        if isinstance(self._prepared, _Files):
            state["_pinned"] = self._prepared.directory
        elif self._prepared is None and self._pinned is None:
            state["_pinned"] = find(self.builder)
        return state


class _Files:
    """What `download_and_prepare` left in a folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        content = _read_info(directory / _INFO)
        self.digest = hashlib.sha256(content).hexdigest()
        info = _parse_info(directory / _INFO, content)
        self.sizes = {s["name"]: sum(map(int, s.get("shardLengths", ()))) for s in info["splits"]}
        self._random_access = info.get("fileFormat") == "array_record"
        self._builder: Any = None

    def rows(self, piece: Piece) -> Iterator[dict[str, Any]]:
        try:
            yield from self._rows(piece)
        except Exception as error:  # TensorFlow's and ArrayRecord's share no class
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UserError(
                f"the TFDS data set in {str(self.directory)!r} cannot be read ({reason}). "
                "Delete its folder and prepare it again."
            ) from error

    def _rows(self, piece: Piece) -> Iterator[dict[str, Any]]:
        import tensorflow_datasets as tfds

        if self._builder is None:
            self._builder = tfds.builder_from_directory(self.directory)
        if self._random_access:
            found = self._builder.as_data_source(split=piece.split)
            yield from (found[place] for place in range(piece.start, piece.stop))
            return
        rows = self._builder.as_dataset(
            split=f"{piece.split}[{piece.start}:{piece.stop}]",
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        yield from tfds.as_numpy(rows)


def open_prepared(builder: str, *, manual: str = "", found: Path | None = None) -> Prepared:
    """Opens a data set where it lies; cheap, reads the description alone.

    Args:
        builder: ``name[/config]:version``.
        manual: see `TfdsSource`.
        found: its folder, where that is known.

    Raises:
        MissingDataError: where it is not there.
        UserError: where its description is damaged.
    """
    directory = found or find(builder)
    if directory is None:
        raise MissingDataError(_missing(builder, manual), raw=raw_name(builder))
    return _Files(directory)


def raw_name(builder: str) -> str:
    """What lists of raw data call a data set."""
    return f"tfds {builder}"


def prepared_folders(data_dir: Path | None) -> list[Path]:
    """Where prepared data sets are looked for: $TFDS_DATA_DIR, then ``tfds`` below a folder."""
    named = os.environ.get(TFDS_VARIABLE, "")
    found = [Path(named).expanduser().absolute()] if named else []
    return found + ([data_dir / "tfds"] if data_dir else [])


def find(builder: str) -> Path | None:
    """The folder of a prepared data set; None where there is none.

    A name without a config also finds the data set's only config, which is how TFDS lays out
    builders that have a default one.
    """
    name, version = _parts(builder)
    for folder in prepared_folders(chosen_data_dir()):
        exact = folder / name / version
        if (exact / _INFO).is_file():
            return exact
        if "/" not in name:
            below = sorted(p.parent for p in (folder / name).glob(f"*/{version}/{_INFO}"))
            if len(below) == 1:
                return below[0]
    return None


def plain(value: Any) -> Any:
    """Text for bytes, lists for arrays, dicts for nested features.

    Raises:
        UnicodeDecodeError: for bytes that are not UTF-8.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "to_list"):  # ragged
        return plain(value.to_list())
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy's
        return plain(value.tolist())
    if isinstance(value, str | int | float) or value is None:
        return value
    return [plain(inner) for inner in value]  # a nested data set


def _parts(builder: str) -> tuple[str, str]:
    """Name and version. Raises UserError for anything else."""
    name, colon, version = builder.rpartition(":")
    if not colon or not name or not version:
        raise UserError(
            f"TFDS data set {builder!r}: name it as name[/config]:version, e.g. 'glue/mrpc:2.0.0'."
        )
    return name.replace("huggingface:", "huggingface__"), version


def _missing(builder: str, manual: str) -> str:
    name, version = _parts(builder)
    looked = prepared_folders(chosen_data_dir())
    there = sorted(
        {p.parent.name for f in looked for p in (f / name).glob(f"*/{_INFO}")} - {version}
    )
    where = " and ".join(repr(str(folder)) for folder in looked) or "no folder that is known"
    text = f"the TFDS data set {builder!r} is not in {where}"
    text += f" (there are versions {', '.join(there)})" if there else ""
    if manual:
        text += f". It cannot be downloaded by a program: {manual}"
    return (
        f"{text}. `flan-t5x data fetch` prepares it, and so does `tfds build {builder} "
        f"--data_dir=...`; the folder is {TFDS_VARIABLE}, or 'tfds' below {VARIABLE}."
    )


def _read_info(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}.") from error


def _parse_info(path: Path, content: bytes) -> dict[str, Any]:
    remedy = "Delete its folder and prepare the data set again."
    try:
        info = json.loads(content)
        names = [split["name"] for split in info["splits"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{str(path)!r} is damaged ({error}). {remedy}") from error
    if not names:
        raise UserError(f"{str(path)!r} names no splits. {remedy}")
    return dict(info)


@functools.cache
def _module_digest(name: str) -> str:
    """Digest of a module's source and of what it takes from modules of its own package."""
    found = hashlib.sha256()
    for module in sorted(_neighbours(name, set())):
        try:
            source = inspect.getsource(sys.modules[module])
        except (KeyError, OSError, TypeError):  # made interactively: nothing to compare
            source = ""
        found.update(f"{module}\0{source}".encode())
    return found.hexdigest()[:16]


def _neighbours(name: str, known: set[str]) -> set[str]:
    """The module, and those of its package that it imports or takes something from, in turn."""
    known.add(name)
    package = name.rpartition(".")[0]
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules else []:
        other = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        if not package or not isinstance(other, str) or other in known:
            continue
        if other.startswith(f"{package}."):
            _neighbours(other, known)
    return known
