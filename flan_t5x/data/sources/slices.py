"""Slices of a data set's splits, in TFDS's notation, resolved without TensorFlow.

``train``, ``train[:-200]``, ``train[10%:20%]``, ``train[:100]+test``. Bounds count as in Python:
negative ones from the end, and those beyond an end mean that end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flan_t5x.errors import UserError, nearest

_PIECE = re.compile(r"(\w[\w.\-]*)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


class Piece(NamedTuple):
    """Rows start..stop-1 of one split."""

    split: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many rows."""
        return self.stop - self.start


def resolve_slices(spec: str, sizes: Mapping[str, int], *, of: str) -> tuple[Piece, ...]:
    """The pieces that a slice stands for, empty ones left out.

    Args:
        spec: e.g. ``"train[:-200]"``.
        sizes: rows of each split.
        of: what the splits belong to, for messages.

    Raises:
        UserError: for a malformed slice or a split that does not exist.
    """
    pieces = []
    for text in spec.replace(" ", "").split("+"):
        found = _PIECE.fullmatch(text)
        if not found:
            raise UserError(
                f"{of}: {spec!r} is not a slice; write e.g. 'train', 'train[:-200]' or "
                "'train[10%:]+test'."
            )
        name, low, high = found.groups()
        if name not in sizes:
            hint = nearest(name, sizes) or f"it has {', '.join(sizes) or 'none'}"
            raise UserError(f"{of} has no split {name!r}: {hint}.".replace("?.", "?"))
        start = _bound(low, sizes[name], default=0)
        stop = _bound(high, sizes[name], default=sizes[name])
        if stop > start:
            pieces.append(Piece(name, start, stop))
    return tuple(pieces)


def sub_range(pieces: Sequence[Piece], start: int, stop: int) -> list[Piece]:
    """Rows start..stop-1 of the pieces laid end to end."""
    found, passed = [], 0
    for piece in pieces:
        low = max(start - passed, 0)
        high = min(stop - passed, piece.size)
        if high > low:
            found.append(Piece(piece.split, piece.start + low, piece.start + high))
        passed += piece.size
    return found


def _bound(text: str | None, size: int, *, default: int) -> int:
    if text is None:
        return default
    if text.endswith("%"):
        value = round(int(text[:-1]) * size / 100)
    else:
        value = int(text)
    return min(max(value + size if value < 0 else value, 0), size)
