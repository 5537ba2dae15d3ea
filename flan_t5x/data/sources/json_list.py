"""The values of a JSON list one after the other, however long the list is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Protocol

_BLOCK = 1 << 20  # characters; twice as many each time that a value goes on beyond them
_ENDS = ",] \t\n\r"
_SPACE = re.compile(r"[ \t\n\r]*")


class Readable(Protocol):
    """A text file."""

    def read(self, size: int, /) -> str:
        """The next characters, at most `size`; none at the end."""


def json_list(file: Readable) -> Iterator[Any]:
    """The values of a list, of which no more than one and a block of text are held.

    Raises:
        ValueError: the text is no JSON list; found when the reading comes there.
    """
    text = _Text(file)
    if text.next() != "[":
        raise ValueError("a list of objects is needed, it does not begin with '['")
    text.place += 1
    if text.next() == "]":
        text.place += 1
    else:
        while True:
            yield text.value()
            mark = text.next()
            if mark not in ("]", ","):
                raise ValueError(f"',' or ']' is needed after a value, not {mark or 'the end'!r}")
            text.place += 1
            if mark == "]":
                break
    if text.next():
        raise ValueError("something follows after the end of the list")


class _Text:
    """The part of the text that is held, and the place in it that is read next."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._decoder = json.JSONDecoder()
        self._held = ""
        self._ended = False
        self.place = 0

    def next(self) -> str:
        """The next character that is no space, which stays; empty at the end."""
        while True:
            found = _SPACE.match(self._held, self.place)
            self.place = found.end() if found else self.place
            if self.place < len(self._held) or self._ended:
                return self._held[self.place : self.place + 1]
            self._read(_BLOCK)

    def value(self) -> Any:
        """The value that begins here."""
        self.next()
        size = _BLOCK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._held, self.place)
            except (json.JSONDecodeError, RecursionError) as error:
                if self._ended:
                    raise ValueError(str(error)) from None
            else:
                # The "1" of "12" and of "1.5" is a value too, until more is read.
                if self._ended or (end < len(self._held) and self._held[end] in _ENDS):
                    self.place = end
                    return value
            self._read(size)
            size *= 2

    def _read(self, size: int) -> None:
        more = self._file.read(size)
        self._ended = not more
        self._held, self.place = self._held[self.place :] + more, 0
