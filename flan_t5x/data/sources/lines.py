"""Text files with one row a line: opened on first use, bad lines kept as `BadRow`s."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flan_t5x.data.definitions import BadRow, Example, RowError
from flan_t5x.data.sources.location import MissingDataError
from flan_t5x.data.sources.splits import TRAIN
from flan_t5x.errors import UserError

Rows = dict[str, list[Example | BadRow]]


@dataclass(frozen=True)
class _Loaded:
    """What a file held when it was read."""

    path: Path
    digest: str
    rows: Rows


class LineSource(ABC):
    """A `Source` over a file of lines.

    Subclasses say where the file is and how a line becomes a row. Rows that cannot be parsed
    are counted to `home_split`, where the report of the cache shows them. Blank lines are skipped.
    """

    home_split = TRAIN

    # What a fingerprint must also cover: raise where a subclass parses differently.
    parser_version = 1

    _loaded: _Loaded | None = None
    _pinned: Path | None = None

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
        return len(self._split(split))

    def read(self, split: str, start: int, stop: int) -> Iterator[Example | BadRow]:
        """Rows start..stop-1 in file order."""
        return iter(self._split(split)[start:stop])

    def fingerprint(self) -> str:
        """Digest of the file's bytes and of how they are parsed."""
        how = f"{type(self).__name__} {self.parser_version} {self.settings()}"
        return hashlib.sha256(f"{self._load().digest} {how}".encode()).hexdigest()

    def rows(self) -> Rows:
        """All rows by split, in file order. Reads the file once."""
        return self._load().rows

    def _split(self, split: str) -> list[Example | BadRow]:
        if split not in self.splits:
            raise UserError(
                f"{str(self.file())!r} has no split {split!r}; it has {', '.join(self.splits)}."
            )
        return self.rows().get(split, [])

    def _load(self) -> _Loaded:
        path = self.file()
        if self._loaded is None or self._loaded.path != path:
            content = self._content(path)
            digest = hashlib.sha256(content).hexdigest()
            self._loaded = _Loaded(path, digest, self._parse_all(content, path.name))
        return self._loaded

    def _content(self, path: Path) -> bytes:
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            if self.raw_name:
                raise MissingDataError(self.missing(path), raw=self.raw_name) from error
            raise UserError(self.missing(path)) from error
        except OSError as error:
            raise UserError(f"cannot read {str(path)!r}: {error.strerror}.") from error
        if not content.strip():
            raise UserError(f"the file {str(path)!r} is empty.")
        return content

    def _parse_all(self, content: bytes, name: str) -> Rows:
        found: Rows = {self.home_split: []}
        lines_of_ids: dict[str, int] = {}
        for number, raw in enumerate(content.split(b"\n"), start=1):
            if not raw.strip():
                continue
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
                split, example = self.parse(line, number)
                earlier = lines_of_ids.setdefault(example.id, number)
                if earlier != number:
                    raise RowError("duplicate id", f"id {example.id!r} is on line {earlier} too")
            except UnicodeDecodeError as error:
                detail = f"byte {error.start + 1} is {raw[error.start]:#04x}"
                found[self.home_split].append(_bad(name, number, "not UTF-8", detail))
            except RowError as error:
                found[self.home_split].append(_bad(name, number, error.reason, error.detail))
            else:
                found.setdefault(split, []).append(example)
        return found

    def __getstate__(self) -> dict[str, Any]:
        # Workers read the file themselves, which is cheaper than sending its rows; they must
        # find it even though `set_data_dir` was only called here.
        state = {k: v for k, v in self.__dict__.items() if k != "_loaded"}
        with contextlib.suppress(UserError):
            state["_pinned"] = self.file()
        return state


def _bad(name: str, number: int, reason: str, detail: str) -> BadRow:
    return BadRow(f"line {number}", reason, f"{name} line {number}: {detail}")
