"""A user's own instructions as JSON Lines.

One object a line::

    {"inputs": "Name the capital of France.", "targets": "Paris"}

Required: "inputs" and "targets", both text. Optional: "id" (text or whole number; else the line
number), "options" (list of texts that holds the target), "rationale" (text), "split" ("train",
"validation" or "test"). Rows without a "split" are divided by a stable hash, 2 % validation and
2 % test: of the id, or of the inputs where there is no id, so that the same question never
stands on both sides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flan_t5x.data.definitions import Example, RowError
from flan_t5x.data.sources.lines import LineSource
from flan_t5x.data.sources.splits import TEST, TRAIN, VALIDATION, hashed_split
from flan_t5x.errors import nearest

VALIDATION_SHARE = 0.02
TEST_SHARE = 0.02
SPLITS = (TRAIN, VALIDATION, TEST)
REQUIRED = ("inputs", "targets")
OPTIONAL = ("id", "options", "rationale", "split")


class JsonlSource(LineSource):
    """Rows of a JSON Lines file, see the module's text.

    Args:
        path: the file; opened on first use.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonlSource) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"JsonlSource({self.path!r})"

    def locate(self) -> Path:
        """The path with ``~`` expanded."""
        return Path(self.path).expanduser()

    @property
    def splits(self) -> tuple[str, ...]:
        """Of train, validation and test those that have rows. Opens the file."""
        sizes = self.sizes()
        return tuple(s for s in SPLITS if sizes.get(s))

    def parse(self, line: str, number: int) -> tuple[str, Example]:
        """Split and row of a line. Raises RowError."""
        row = _object(line)
        _check_fields(row)
        options = row.get("options") or []
        explicit = row.get("id")
        key = row["inputs"] if explicit is None else str(explicit)
        split = row.get("split") or hashed_split(key, validation=VALIDATION_SHARE, test=TEST_SHARE)
        example = Example(
            id=f"line {number}" if explicit is None else str(explicit),
            fields={"inputs": row["inputs"]},
            answer=row["targets"],
            options=tuple(options),
            rationale=row.get("rationale") or "",
        )
        return split, example


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RowError("not JSON", str(error)) from None
    if not isinstance(row, dict):
        raise RowError("not a JSON object", f"a {type(row).__name__}")
    return row


def _check_fields(row: dict[str, Any]) -> None:
    """Raises RowError for a field that is missing, unknown or of the wrong type."""
    known = REQUIRED + OPTIONAL
    for name in row:
        if name not in known:
            hint = nearest(name, known) or f"known fields: {', '.join(known)}"
            raise RowError("unknown field", f"{name!r}; {hint}")
    for name in REQUIRED:
        if name not in row:
            raise RowError("missing field", f"{name!r} is required")
        _check_text(row, name)
        if not row[name].strip():
            raise RowError(f"empty {name}", f"{name!r} has no text")
    if row.get("rationale") is not None:
        _check_text(row, "rationale")
    if row.get("id") is not None and (
        not isinstance(row["id"], str | int) or isinstance(row["id"], bool)
    ):
        raise RowError("wrong type", f"'id' is {row['id']!r}; text or a whole number is needed")
    options = row.get("options")
    if options is not None and not (
        isinstance(options, list) and all(isinstance(o, str) for o in options)
    ):
        raise RowError("wrong type", f"'options' is {options!r}; a list of texts is needed")
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise RowError("unknown split", f"'split' is {split!r}; use {', '.join(SPLITS)}")


def _check_text(row: dict[str, Any], name: str) -> None:
    if not isinstance(row[name], str):
        raise RowError("wrong type", f"{name!r} is {row[name]!r}; text is needed")
