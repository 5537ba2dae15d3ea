"""Random-access permutations of 0..n-1, for many (key, n, position) at once.

`grain.experimental.index_shuffle` does this for one index a call (6 µs), after an import of over
a second, from a 32-bit seed. A window of the stream needs thousands of positions under a
different key and size for each task, hence the same construction in NumPy: a Feistel network.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt64

_ROUNDS = 16  # with 8, the 120 permutations of five elements are visibly not equally frequent
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # odd, near 2**64 / golden ratio: spreads the rounds
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)


def permute(
    position: Int64[np.ndarray, " draws"],
    size: Int64[np.ndarray, " draws"],
    key: UInt64[np.ndarray, " draws"],
) -> Int64[np.ndarray, " draws"]:
    """The element at each position of the permutation of 0..size-1 that the key selects.

    A number below `left * right`, the smallest such rectangle that holds `size`, is a pair of
    digits; each round adds to one digit a hash of the other (the "generalized Feistel" of Black
    and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Results that are not below
    `size` are permuted again until they are, which keeps the map one-to-one; the rectangle
    exceeds `size` by at most its own width, so that is rare.

    Args:
        position: 0 <= position < size.
        size: number of elements, at least 1 and below 2**62.
        key: 64 bits, as random as the permutations are to be.

    Returns:
        For fixed (size, key), a permutation of the positions.
    """
    left = _ceil_sqrt(size)
    right = -(-size // left)
    result = position.astype(np.int64, copy=True)
    todo = np.arange(len(result))
    while len(todo):
        result[todo] = _network(result[todo], left[todo], right[todo], key[todo])
        todo = todo[result[todo] >= size[todo]]
    return result


def hash64(values: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on all."""
    z = (values ^ (values >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def _network(
    value: Int64[np.ndarray, " draws"],
    left: Int64[np.ndarray, " draws"],
    right: Int64[np.ndarray, " draws"],
    key: UInt64[np.ndarray, " draws"],
) -> Int64[np.ndarray, " draws"]:
    """One pass of the network over the pairs (value // right, value % right)."""
    one, two = np.divmod(value, right)
    for _ in range(_ROUNDS // 2):
        key = key + _GOLDEN
        one += _below(left, two, key)
        one -= np.where(one >= left, left, 0)
        key = key + _GOLDEN
        two += _below(right, one, key)
        two -= np.where(two >= right, right, 0)
    return one * right + two


def _below(
    bound: Int64[np.ndarray, " draws"],
    value: Int64[np.ndarray, " draws"],
    key: UInt64[np.ndarray, " draws"],
) -> Int64[np.ndarray, " draws"]:
    """A hash of (value, key) in 0..bound-1, by multiply-and-shift (bound < 2**31)."""
    bits = hash64(hash64(key) ^ value.astype(np.uint64) * _GOLDEN) >> _HALF
    return (bits * bound.astype(np.uint64) >> _HALF).astype(np.int64)


def _ceil_sqrt(size: Int64[np.ndarray, " draws"]) -> Int64[np.ndarray, " draws"]:
    """The smallest integer whose square is at least `size`; exact below 2**52."""
    root = np.sqrt(size.astype(np.float64)).astype(np.int64)
    root -= root * root >= size
    root += root * root < size
    return np.maximum(root, 1)
