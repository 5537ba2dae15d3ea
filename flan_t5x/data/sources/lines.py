"""Text files with one row a line: indexed on first use, bad lines kept as `BadRow`s.

Nothing but the places of rows is held in memory (`line_index`), so a file may have any size.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.data.sources.splits import TRAIN
from flan_t5x.errors import UserError

if TYPE_CHECKING:  # needs numpy, which naming tasks does without
    from flan_t5x.data.sources.line_index import LineIndex, Place


class LineSource(ABC):
    """A `Source` over a file of lines.

    Subclasses say where the file is and how a line becomes a row. Rows that cannot be parsed
    are counted to `home_split`, where the report of the cache shows them. Blank lines are skipped.
    """

    home_split = TRAIN

    # What a fingerprint must also cover: raise where a subclass parses differently.
    parser_version = 1

    _index: LineIndex | None = None
    _pinned: Path | None = None
    _expected: int | None = None  # bytes, in a copy; times may differ from host to host

    @property
    def raw_name(self) -> str:
        """What a list of missing data calls the file; empty for a user's own, which must exist."""
        return ""

    @abstractmethod
    def locate(self) -> Path:
        """Where the file is. Raises UserError where that is not known."""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""

    @abstractmethod
    def parse(self, line: str, number: int) -> tuple[str, Example]:
        """Split and row of a line (numbered from 1). Raises RowError for an unusable line."""

    def missing(self, path: Path) -> str:
        """What to tell a user whose file is not there."""
        return f"the file {str(path)!r} does not exist. Check its path."

    def settings(self) -> str:
        """Settings that change rows, as text; empty where there are none."""
        return ""

    def file(self) -> Path:
        """Where the file is; a copy in another process keeps to what it was there."""
        return self._pinned or self.locate()

    def num_examples(self, split: str) -> int:
        """Rows of a split, good and bad."""
        self._check(split)
        return len(self._indexed().splits.get(split, ()))

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 in file order."""
        self._check(split)
        index = self._indexed()
        return self._rows(index, split, start, stop) if split in index.splits else iter(())

    def fingerprint(self) -> str:
        """Digest of the file's bytes and of how they are parsed."""
        return hashlib.sha256(f"{self._indexed().sha256} {self._how()}".encode()).hexdigest()

    def sizes(self) -> dict[str, int]:
        """Rows by split. Reads the file once."""
        return {split: len(rows) for split, rows in self._indexed().splits.items()}

    def _how(self) -> str:
        return f"{type(self).__name__} {self.parser_version} {self.settings()}"

    def _check(self, split: str) -> None:
        if split not in self.splits:
            raise UserError(
                f"{str(self.file())!r} has no split {split!r}; it has {', '.join(self.splits)}."
            )

    def _indexed(self) -> LineIndex:
        """Where the rows are; looked for anew where the file was written to."""
        from flan_t5x.data.sources.line_index import FileState, line_index

        path = self.file()
        try:
            state = FileState.of(path)
            if self._expected not in (None, state.size):
                raise UserError(
                    f"the file {str(path)!r} was changed while it was being read: run the same "
                    "command again."
                )
            if self._index is None or self._index.state != state:
                self._index = line_index(path, self._place, home=self.home_split, how=self._how())
        except FileNotFoundError as error:
            if self.raw_name:
                raise MissingDataError(self.missing(path), raw=self.raw_name) from error
            raise UserError(self.missing(path)) from error
        except OSError as error:
            raise UserError(f"cannot read {str(path)!r}: {error.strerror}.") from error
        if self._index.empty:
            raise UserError(f"the file {str(path)!r} is empty.")
        return self._index

    def _place(self, raw: bytes, number: int) -> Place:
        from flan_t5x.data.sources.line_index import Place

        try:
            split, example = self.parse(_text(raw, number), number)
        except (UnicodeDecodeError, RowError):
            return Place(self.home_split, None)
        return Place(split, example.id)

    def _rows(
        self, index: LineIndex, split: str, start: int, stop: int
    ) -> Iterator[Example | BadRow]:
        from flan_t5x.data.sources.line_index import lines_of

        name = self.file().name
        with self.file().open("rb") as file:
            for number, raw in lines_of(file, index.splits[split][start:stop]):
                yield self._row(index, name, number, raw)

    def _row(self, index: LineIndex, name: str, number: int, raw: bytes) -> Example | BadRow:
        try:
            _, example = self.parse(_text(raw, number), number)
        except UnicodeDecodeError as error:
            detail = f"byte {error.start + 1} is {raw[error.start]:#04x}"
            return _bad(name, number, "not UTF-8", detail)
        except RowError as error:
            return _bad(name, number, error.reason, error.detail)
        earlier = index.earlier(number)
        if earlier is None:
            return example
        return _bad(name, number, "duplicate id", f"id {example.id!r} is on line {earlier} too")

    def __getstate__(self) -> dict[str, Any]:
        # Workers look for the rows themselves; they must find the file even though `set_data_dir`
        # was only called here, and no other rows than were counted here.
        state = {k: v for k, v in self.__dict__.items() if k != "_index"}
        with contextlib.suppress(UserError):
            state["_pinned"] = self.file()
            if self._index is not None and self._index.state.path == str(self.file().absolute()):
                state["_expected"] = self._index.state.size
        return state


def _text(raw: bytes, number: int) -> str:
    return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")


def _bad(name: str, number: int, reason: str, detail: str) -> BadRow:
    return BadRow(f"line {number}", reason, f"{name} line {number}: {detail}")
