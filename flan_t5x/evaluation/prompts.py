"""Prompts from a file: JSON Lines or plain text, read as a stream, checked line by line.

Lines of nothing but white space are no prompts in either format: they are passed over, counted,
and have no line in the output. ``{"inputs": ""}`` is a prompt (of the end token alone).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from flan_t5x.errors import UserError

InputFormat = Literal["auto", "jsonl", "text"]

OWN_FIELDS = ("prediction", "log_prob")
"""Fields of an output line that an input line must not have."""

_JSONL = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Prompt:
    """One row: its prompt, and all fields of its line, the prompt's included."""

    inputs: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Scan:
    """What a file holds.

    Attributes:
        rows: prompts.
        blank: lines passed over.
        digest: SHA-256 of the file's bytes.
    """

    rows: int
    blank: int
    digest: str


class PromptFile:
    """A file of prompts, which can be gone through as often as needed.

    Args:
        path: the file.
        input_format: "jsonl" or "text"; "auto" goes by the suffix (`.jsonl`, `.ndjson` and
            `.json` are JSON Lines, all others text).

    Raises:
        UserError: no such file, or an unknown format.
    """

    def __init__(self, path: str, input_format: InputFormat = "auto") -> None:
        self.path = Path(path).expanduser().absolute()
        if input_format not in ("auto", "jsonl", "text"):
            raise UserError(f"input_format = {input_format!r}: use 'auto', 'jsonl' or 'text'")
        if not self.path.is_file():
            raise UserError(f"no file of prompts at {self.path}; check input_path")
        named = "jsonl" if self.path.suffix.lower() in _JSONL else "text"
        self.format = named if input_format == "auto" else input_format

    def scan(self) -> Scan:
        """Reads and checks every line.

        Raises:
            UserError: a malformed line, by its number, or no prompt at all.
        """
        digest = hashlib.sha256()
        rows = lines = 0
        for number, line in self._lines():
            digest.update(line)
            lines = number
            rows += self._parse(number, line) is not None
        if not rows:
            raise UserError(f"{self.path} has no prompts; write one a line")
        return Scan(rows, lines - rows, digest.hexdigest())

    def __iter__(self) -> Iterator[Prompt]:
        """The prompts in order; malformed lines raise as in `scan`."""
        for number, line in self._lines():
            prompt = self._parse(number, line)
            if prompt is not None:
                yield prompt

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self.path.open("rb") as file:
                yield from enumerate(file, start=1)
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror or error}") from error

    def _parse(self, number: int, line: bytes) -> Prompt | None:
        """One line; None where it is blank."""
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            self._refuse(number, f"byte {error.start + 1} is not UTF-8; convert the file")
        if not text.strip():
            return None
        text = text.removesuffix("\n").removesuffix("\r")
        if self.format == "text":
            return Prompt(text, {"inputs": text})
        return self._parse_json(number, text)

    def _parse_json(self, number: int, text: str) -> Prompt:
        try:
            fields = json.loads(text, parse_constant=_no_constant)
            json.dumps(fields, ensure_ascii=False).encode()  # a lone surrogate cannot be written
        except json.JSONDecodeError as error:
            self._refuse(number, f"not JSON ({error.msg} at column {error.colno})")
        except (ValueError, RecursionError) as error:
            self._refuse(number, f"not JSON that can be written again ({error})")
        if not isinstance(fields, dict):
            self._refuse(number, 'not an object; write {"inputs": "..."}')
        if not isinstance(fields.get("inputs"), str):
            what = f"is {fields['inputs']!r:.40}" if "inputs" in fields else "is missing"
            self._refuse(number, f'field "inputs" {what}; it must be a text')
        for name in OWN_FIELDS:
            if name in fields:
                self._refuse(number, f'field "{name}" would be overwritten; rename it')
        return Prompt(fields["inputs"], fields)

    def _refuse(self, number: int, why: str) -> NoReturn:
        raise UserError(f"{self.path}, line {number}: {why}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
