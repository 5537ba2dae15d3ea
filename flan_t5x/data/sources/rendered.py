"""Flan collections that others have rendered: text in, text out, passed through as it is.

Dumps (JSON Lines, JSON, Parquet, TFRecord, packed or not) have a row per example with "inputs"
and "targets", and as a rule "task_source" (Flan2021, P3, NIv2, CoT, Dialog), "task_name" and
"template_type" (zs_opt, fs_noopt, ...), by which rows may be chosen. Newlines are kept as they
are: what a vocabulary makes of them is its matter.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources.counts import FileFacts, usable_facts
from flan_t5x.data.sources.records import Record, RecordCursor, count_records, read_records
from flan_t5x.data.sources.splits import TRAIN, VALIDATION, hashed_split
from flan_t5x.errors import UserError, nearest

COLUMNS = ("task_source", "task_name", "template_type")
UNREADABLE = "unreadable"
"""What `rendered_dump` writes in place of a row that could not be read: [reason, detail]."""

_VERSION = "rendered 1"


class RenderedSource:
    """Rows of a dump; the whole file, or those with certain values in its columns.

    Args:
        path: the file.
        where: column -> value, e.g. ``{"task_source": "CoT", "template_type": "zs_opt"}``. With
            it, counting reads the file once.
        validation_share: the part that is held back for validation, by a hash of the inputs;
            0 for none. With it, too, counting reads the file.

    Raises:
        UserError: for a column that dumps do not have.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        where: Mapping[str, str] | None = None,
        validation_share: float = 0.0,
    ) -> None:
        self.path = str(path)
        self.where = dict(where or {})
        self.validation_share = validation_share
        for column in self.where:
            if column not in COLUMNS:
                hint = nearest(column, COLUMNS) or f"it has {', '.join(COLUMNS)}"
                raise UserError(f"a rendered dump has no column {column!r}: {hint}")
        self._cursor: RecordCursor | None = None
        self._chosen: dict[str, np.ndarray] | None = None

    def __repr__(self) -> str:
        return f"RenderedSource({self.path!r}, where={self.where})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RenderedSource) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return (self.path, tuple(sorted(self.where.items())), self.validation_share)

    @property
    def splits(self) -> tuple[str, ...]:
        """ "train", and "validation" where a part is held back."""
        return (TRAIN, VALIDATION) if self.validation_share else (TRAIN,)

    def num_examples(self, split: str) -> int:
        """Rows, unusable ones included (they count to "train")."""
        if split not in self.splits:
            raise UserError(f"{self.path!r} has no split {split!r}; it has {self.splits}.")
        places = self._places(split)
        return self._facts().rows if places is None else len(places)

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 in file order."""
        stop = min(stop, self.num_examples(split))
        if stop <= start:
            return
        places = self._places(split)
        wanted = range(start, stop) if places is None else places[start:stop].tolist()
        if self._cursor is None:
            self._cursor = RecordCursor(self._file())
        chosen = set(wanted)
        records = self._cursor.read(wanted[0], wanted[-1] + 1)
        for place, record in enumerate(records, wanted[0]):
            if place in chosen:
                yield self._row(place, record)

    def fingerprint(self) -> str:
        """Digest of the file and of what is chosen."""
        how = f"{_VERSION} {self._facts().sha256} {self._key()[1:]}"
        return hashlib.sha256(how.encode()).hexdigest()

    def _row(self, place: int, record: Record) -> Example | BadRow:
        try:
            return _example(str(place), record)
        except RowError as error:
            detail = f"{self._file().name} row {place + 1}: {error.detail}"
            return BadRow(f"row {place + 1}", error.reason, detail)

    def _file(self) -> Path:
        return Path(self.path).expanduser()

    def _facts(self) -> FileFacts:
        missing = f"the file {self.path!r} does not exist. Check its path."
        return usable_facts(self._file(), count_records, how=_VERSION, missing=missing)

    def _places(self, split: str) -> np.ndarray | None:
        """Places of a split's rows; None for all rows of the file."""
        if not self.where and not self.validation_share:
            return None
        if self._chosen is None:
            self._facts()  # names a file that is missing
            found = {name: array("q") for name in self.splits}
            for place, record in enumerate(read_records(self._file())):
                if isinstance(record, RowError):
                    found[TRAIN].append(place)
                elif all(str(record.get(c)) == v for c, v in self.where.items()):
                    asked = str(record.get("inputs"))
                    found[hashed_split(asked, validation=self.validation_share)].append(place)
            self._chosen = {name: np.frombuffer(some, np.int64) for name, some in found.items()}
        return self._chosen[split]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cursor": None}


def combinations(path: str | Path) -> Counter[tuple[str, str]]:
    """Rows of a dump by (task_source, template_type), by reading it.

    Raises:
        UserError: for a file that is damaged or of an unknown format.
        OSError: where it cannot be read.
    """
    found: Counter[tuple[str, str]] = Counter()
    for record in read_records(Path(path).expanduser()):
        if isinstance(record, dict):
            source, template = record.get("task_source", ""), record.get("template_type", "")
            found[(str(source), str(template))] += 1
    return found


def _example(id: str, record: Record) -> Example:
    if isinstance(record, RowError):
        raise record
    if UNREADABLE in record:
        raise RowError(*record[UNREADABLE])
    texts = []
    for name in ("inputs", "targets"):
        if name not in record:
            raise RowError("missing field", f"{name!r} is required; there are {', '.join(record)}")
        if not isinstance(record[name], str):
            raise RowError("wrong type", f"{name!r} is {record[name]!r}; text is needed")
        if not record[name].strip():
            raise RowError(f"empty {name}", f"{name!r} has no text")
        texts.append(record[name])
    return Example(id, {"inputs": texts[0]}, texts[1])
