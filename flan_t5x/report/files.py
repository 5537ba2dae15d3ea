"""Reads a file of a run or an evaluation; what cannot be read is noted, and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Reader:
    """The files of one folder.

    Args:
        folder: where they are.

    Attributes:
        problems: a sentence for each file that is missing or damaged.
        found: how many files were there, damaged or not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.found = 0

    def text(self, name: str) -> str | None:
        """A file's text; bytes that are no UTF-8 are shown as such."""
        data = self._bytes(name)
        return None if data is None else data.decode("utf-8", "replace")

    def record(self, name: str) -> dict[str, Any] | None:
        """The object that a JSON file holds."""
        data = self._bytes(name)
        if data is None:
            return None
        found = _json(data)
        if not isinstance(found, dict):
            self._note(name, "damaged: it does not hold one JSON object")
            return None
        return found

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a file of JSON Lines, one after the other."""
        bad: list[int] = []
        count = 0
        try:
            with (self.folder / name).open("rb") as file:
                self.found += 1
                for count, line in enumerate(file, start=1):
                    found = _json(line) if line.strip() else {}
                    if not isinstance(found, dict):
                        bad.append(count)
                    elif found:
                        yield found
        except OSError as error:
            self._missing(name, error)
        if bad:
            some = f"{len(bad):,} of its {count:,} lines are" if count > 1 else "its line is"
            self._note(name, f"damaged: {some} no JSON object (the first: line {bad[0]})")

    def damaged(self, name: str, why: str) -> None:
        """Notes that a file was read, and does not hold what it should."""
        self._note(name, f"damaged: {why}")

    def _bytes(self, name: str) -> bytes | None:
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            self._missing(name, error)
            return None
        self.found += 1
        return data

    def _missing(self, name: str, error: OSError) -> None:
        why = "missing" if isinstance(error, FileNotFoundError) else f"{error.strerror or error}"
        self._note(name, why)

    def _note(self, name: str, what: str) -> None:
        self.problems.append(f"{self.folder / name}: {what}")


def _json(data: bytes) -> object:
    """What it holds; None where it is no JSON, or nested too deep to be anybody's."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
