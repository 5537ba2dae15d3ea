"""Splits by a stable hash: a row keeps its split whatever is added to the file around it."""

from __future__ import annotations

from hashlib import blake2b

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def stable_share(key: str) -> float:
    """A key's place in [0, 1), the same on every machine."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def hashed_split(key: str, *, validation: float, test: float = 0.0) -> str:
    """ "validation" and "test" for the given shares of keys, else "train"."""
    place = stable_share(key)
    if place < validation:
        return VALIDATION
    return TEST if place < validation + test else TRAIN
