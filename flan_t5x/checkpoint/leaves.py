"""What a tree of arrays consists of: leaf names, shapes and dtypes, and how two trees differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from flan_t5x.errors import UserError

MOST_LISTED = 6
SAMPLED = 1024  # values of each parameter that enter a fingerprint


@dataclass(frozen=True)
class LeafSpec:
    """One leaf.

    Attributes:
        shape: dimensions of the whole (unsharded) array; ``()`` for a scalar.
        dtype: a NumPy or ml_dtypes name such as ``float32``, or ``int`` / ``float`` / ``bool``
            for a plain Python number.
    """

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}" if self.shape else self.dtype


def leaf_specs(tree: Any) -> dict[str, LeafSpec]:
    """Slash-joined path -> spec, in the tree's own order.

    Args:
        tree: nested containers of `jax.Array`, `numpy.ndarray`, `jax.ShapeDtypeStruct` or
            plain Python numbers.
    """
    return {name: _spec(leaf) for name, leaf in named_leaves(tree)}


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """``("params/encoder/scale", leaf)`` for every leaf, in the tree's own order."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [("/".join(_key(k) for k in path), leaf) for path, leaf in flat]


def state_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree (whole arrays, whatever their sharding)."""
    return sum(_bytes(leaf) for _, leaf in named_leaves(tree))


def params_fingerprint(params: Any) -> str:
    """The `fingerprint` of a tree of NumPy arrays."""
    return fingerprint((n, x.shape, str(x.dtype), np.ravel(x)) for n, x in named_leaves(params))


def fingerprint(leaves: Iterable[tuple[str, tuple[int, ...], str, np.ndarray]]) -> str:
    """Hex digest of names, shapes, dtypes and first values, in the order given.

    Args:
        leaves: (name, shape, dtype, its first `SAMPLED` values or more, flat).
    """
    digest = hashlib.sha256()
    for name, shape, dtype, values in leaves:
        digest.update(f"{name} {shape} {dtype}\n".encode())
        digest.update(values[:SAMPLED].tobytes())
    return digest.hexdigest()


def require_same_leaves(
    found: Mapping[str, LeafSpec], wanted: Mapping[str, LeafSpec], *, source: str
) -> None:
    """Raises a UserError that lists the leaves in which a checkpoint and a model differ.

    Args:
        found: what the checkpoint has.
        wanted: what the model (or the whole training state) needs.
        source: what to call the checkpoint in the message, usually its path.

    Raises:
        UserError: naming up to six differing leaves with both shapes and dtypes.
    """
    differences = [
        *(
            f"{name} is {found[name]} in the checkpoint and {spec} in the model"
            for name, spec in wanted.items()
            if name in found and found[name] != spec
        ),
        *(f"{name} is not in the checkpoint" for name in wanted if name not in found),
        *(f"{name} is not in the model" for name in found if name not in wanted),
    ]
    if not differences:
        return
    listed = "; ".join(differences[:MOST_LISTED])
    more = len(differences) - MOST_LISTED
    raise UserError(
        f"{source} does not fit this model: {listed}"
        + (f"; and {more} more" if more > 0 else "")
        + ". Use the model size, vocabulary and optimizer that it was made with"
        + ", or start in another model_dir."
    )


def _spec(leaf: Any) -> LeafSpec:
    if isinstance(leaf, bool | int | float):
        return LeafSpec((), type(leaf).__name__)
    return LeafSpec(tuple(int(n) for n in leaf.shape), str(leaf.dtype))


def _bytes(leaf: Any) -> int:
    if isinstance(leaf, bool | int | float):
        return 8
    return int(np.prod(leaf.shape, dtype=np.int64)) * int(leaf.dtype.itemsize)


def _key(entry: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)
