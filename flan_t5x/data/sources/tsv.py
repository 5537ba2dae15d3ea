"""Flan 2022's chain-of-thought files: question, answer and rationale between tabs.

No header; exactly three columns; a literal ``\\n`` (backslash, n) stands for a newline. How the
columns become fields is the task's: it gives a function that sees the three texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from flan_t5x.data.definitions import Example, RowError
from flan_t5x.data.sources.lines import LineSource
from flan_t5x.data.sources.location import data_dir, how_to_get
from flan_t5x.data.sources.splits import TRAIN, VALIDATION, hashed_split

COLUMNS = ("question", "answer", "rationale")

RowParser = Callable[[str, str, str, str], Example]
"""(id, question, answer, rationale) -> Example; raises RowError for an unusable row."""


class CotTsvSource(LineSource):
    """Rows of one file; a held-back part of them is the validation split.

    Which rows are held back is decided by a stable hash of the fields that make the question,
    without upper case and spaces, so that rows which ask the same are always on the same side.

    Args:
        relative_path: of the file, below the folder of downloaded data.
        parser: how columns become an example; a module-level function, so that it pickles.
        key_fields: the fields that make the question; their order does not count.
        origin: where a user gets the file, for the message that it is missing.
        validation_share: the part that is held back.
        published: rows that the file has by its publisher's count, see `expected_examples`.
    """

    def __init__(
        self,
        relative_path: str,
        parser: RowParser,
        *,
        key_fields: Sequence[str] = ("question",),
        origin: str = "",
        validation_share: float = 0.02,
        published: int | None = None,
    ) -> None:
        self.relative_path = relative_path
        self.parser = parser
        self.key_fields = tuple(key_fields)
        self.origin = origin
        self.validation_share = validation_share
        self.published = published

    def __repr__(self) -> str:
        return f"CotTsvSource({self.relative_path!r})"

    def locate(self) -> Path:
        """Below `data_dir()`. Raises UserError where that is not set."""
        return data_dir() / self.relative_path

    def missing(self, path: Path) -> str:
        """Names the file and where it comes from."""
        return how_to_get(path, self.origin) if self.origin else super().missing(path)

    @property
    def splits(self) -> tuple[str, ...]:
        """Known without opening the file."""
        return (TRAIN, VALIDATION)

    @property
    def raw_name(self) -> str:
        """The file."""
        return self.relative_path

    def expected_examples(self, split: str) -> int | None:
        """The published count, divided as on average; None where it is not known."""
        if self.published is None:
            return None
        held_back = round(self.published * self.validation_share)
        return {TRAIN: self.published - held_back, VALIDATION: held_back}.get(split)

    def parse(self, line: str, number: int) -> tuple[str, Example]:
        """Split and row of a line. Raises RowError."""
        columns = line.split("\t")
        if len(columns) < len(COLUMNS):
            raise RowError(
                "missing column", f"{len(columns)} columns, {len(COLUMNS)} expected {COLUMNS}"
            )
        if len(columns) > len(COLUMNS):
            raise RowError("too many columns", f"{len(columns)}, {len(COLUMNS)} expected")
        question, answer, rationale = (c.replace("\\n", "\n").strip() for c in columns)
        for name, text in zip(COLUMNS, (question, answer, rationale), strict=True):
            if not text:
                raise RowError(f"empty {name}", f"the column {name!r} has no text")
        example = self.parser(str(number), question, answer, rationale)
        asked = sorted("".join(example.fields[f].casefold().split()) for f in self.key_fields)
        return hashed_split(" ".join(asked), validation=self.validation_share), example

    def settings(self) -> str:
        """The parser and the held-back part."""
        return f"{self.parser.__qualname__} {self.key_fields} {self.validation_share}"
