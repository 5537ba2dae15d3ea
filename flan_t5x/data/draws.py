"""Random draws that are a pure function of a key, the same on every platform and version.

Python's `random` promises stable streams for `random()` only, NumPy for raw bits only; what
is rendered must be the same for any number of processes, on any machine, in any year. So
draws come from BLAKE2b over (key, counter).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_WORDS = struct.Struct("<8Q")  # one 64-byte digest holds eight draws
_TO_UNIT = 2.0**-53


class Draws:
    """A stream of draws determined by its key alone.

    Example:
        >>> first, again = Draws("task", 17, 0), Draws("task", 17, 0)
        >>> [first.integer(6) for _ in range(4)] == [again.integer(6) for _ in range(4)]
        True

    Args:
        key: strings and integers; ``("a", "b")``, ``("ab",)`` and ``("a", 1)``, ``("a", "1")``
            are all different keys.
    """

    __slots__ = ("_block", "_left", "_message")

    def __init__(self, *key: str | int) -> None:
        # Lengths before strings make the encoding one-to-one.
        text = "".join(f"s{len(k)}:{k}" if isinstance(k, str) else f"i{int(k)};" for k in key)
        self._message = text.encode("utf-8", "surrogatepass")
        self._block = 0
        self._left: list[int] = []

    def _word(self) -> int:
        """The next 64 uniform bits."""
        if not self._left:
            counter = self._block.to_bytes(16, "little")
            digest = blake2b(self._message, digest_size=64, salt=counter).digest()
            self._block += 1
            self._left = list(_WORDS.unpack(digest))
        return self._left.pop()

    def integer(self, n: int) -> int:
        """A uniform integer in 0..n-1. Raises ValueError where n < 1.

        The bias of multiply-and-shift is below n / 2**64, so nothing is rejected and every
        call takes exactly one word.
        """
        if n < 1:
            raise ValueError(f"cannot draw from {n} values")
        return (self._word() * n) >> 64

    def uniform(self) -> float:
        """A uniform float in [0, 1), a multiple of 2**-53."""
        return (self._word() >> 11) * _TO_UNIT

    def choice(self, seq: Sequence[T]) -> T:
        """One element. Raises ValueError where `seq` is empty."""
        return seq[self.integer(len(seq))]

    def sample(self, seq: Sequence[T], k: int) -> list[T]:
        """`k` elements at different positions, in random order.

        A Fisher-Yates shuffle stopped after k steps, with only the moved positions kept: the
        cost grows with k, not with the length. Raises ValueError where k > len(seq) or k < 0.
        """
        n = len(seq)
        if not 0 <= k <= n:
            raise ValueError(f"cannot draw {k} different elements from {n}")
        moved: dict[int, int] = {}
        chosen = []
        for i in range(k):
            j = i + self.integer(n - i)
            chosen.append(seq[moved.get(j, j)])
            moved[j] = moved.get(i, i)
        return chosen

    def shuffled(self, seq: Sequence[T]) -> list[T]:
        """All elements in random order; `seq` itself is untouched."""
        return self.sample(seq, len(seq))
