"""From a leaf as it is stored to the shape in which formats meet, and a model's sizes from both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from flan_t5x.checkpoint.convert.source import Leaf, Source
from flan_t5x.checkpoint.convert.table import Layout, Place, layers
from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config

Placed = Mapping[str, tuple[Place, Leaf]]
"""Leaf name -> where it belongs, and the leaf."""

_FIELDS = frozenset(field.name for field in dataclasses.fields(T5Config))
_TRUE_BY_DEFAULT = {"relpos_max_distance": 128, "layer_norm_epsilon": 1e-6}


def meeting_shape(shape: tuple[int, ...], place: Place, layout: Layout) -> tuple[int, ...]:
    """The shape of one layer of a leaf where formats meet: (in, out), heads joined."""
    if place.axis is not None:
        shape = shape[: place.axis] + shape[place.axis + 1 :]
    if layout == "hf" and place.row.hf_transposed:
        shape = shape[::-1]
    if _heads_apart(shape, place):
        first = place.row.dims.index("joined_kv")
        return (*shape[:first], shape[first] * shape[first + 1], *shape[first + 2 :])
    return shape


def to_meeting(array: np.ndarray, place: Place, position: int, layout: Layout) -> np.ndarray:
    """One layer of a leaf's values in `meeting_shape`; a view where that is possible.

    Args:
        array: as stored.
        place: what it is.
        position: of the layer along `place.axis`; not used where there is no such dimension.
        layout: of the file.
    """
    if place.axis is not None:
        array = array[(slice(None),) * place.axis + (position,)]
    if layout == "hf" and place.row.hf_transposed:
        array = array.T
    return array.reshape(meeting_shape(array.shape, Place(place.row, None, None), "t5x"))


def stored_shape(
    shape: tuple[int, ...], place: Place, layout: Layout, count: int
) -> tuple[int, ...]:
    """The inverse of `meeting_shape`: how a leaf of that shape would be stored."""
    if layout == "hf" and place.row.hf_transposed:
        shape = shape[::-1]
    if place.axis is not None:
        shape = (*shape[: place.axis], count, *shape[place.axis :])
    return shape


def steps_to_meeting(leaf: Leaf, place: Place, layer: int | None, layout: Layout) -> list[str]:
    """What is done to a leaf, in words."""
    steps = []
    if place.axis is not None:
        steps.append(f"layer {layer} of {leaf.shape[place.axis]}")
    if layout == "hf" and place.row.hf_transposed:
        steps.append("transpose")
    one_layer = leaf.shape
    if place.axis is not None:
        one_layer = leaf.shape[: place.axis] + leaf.shape[place.axis + 1 :]
    if _heads_apart(one_layer, place):
        steps.append("join heads")
    return steps


def _heads_apart(shape: tuple[int, ...], place: Place) -> bool:
    return len(shape) == 3 and "joined_kv" in place.row.dims


def infer_config(source: Source, placed: Placed) -> T5Config:
    """The model's sizes: as declared beside the weights, the others from shapes.

    Where the two disagree, the declared ones stand, and `plan` lists the leaves that differ.

    Raises:
        UserError: sizes cannot be told, or make no sense.
    """
    sizes = _from_shapes(source, placed)
    sizes |= {name: value for name, value in source.declared.items() if name in _FIELDS}
    needed = [field.name for field in dataclasses.fields(T5Config)
              if field.default is dataclasses.MISSING and field.name not in sizes]  # fmt: skip
    if needed:
        raise UserError(
            f"{source.path} is not a T5, or not whole: no leaf tells {', '.join(needed)} "
            f"(it has {len(source.leaves)} leaves, e.g. {', '.join(list(source.leaves)[:3])})"
        )
    return T5Config(**{**_TRUE_BY_DEFAULT, **sizes, "dtype": "float32"})


def _from_shapes(source: Source, placed: Placed) -> dict[str, Any]:
    dims: dict[str, int] = {}
    kernels = set()
    counts = {"encoder": 0, "decoder": 0}
    for place, leaf in placed.values():
        kernels.add(place.row.name.split("/")[-2])
        for dim, size in zip(
            place.row.dims, meeting_shape(leaf.shape, place, source.layout), strict=False
        ):
            dims.setdefault(dim, size)
        if place.row.stack is not None:
            whole = place.axis is not None and len(leaf.shape) > place.axis
            here = leaf.shape[place.axis or 0] if whole else (place.layer or 0) + 1
            counts[place.row.stack] = max(counts[place.row.stack], here)
    sizes: dict[str, Any] = {
        "logits_via_embedding": "logits_dense" not in kernels,
        "mlp_activations": ("relu",) if "wi" in kernels else ("gelu", "linear"),
    }
    for dim, name in (
        ("vocab", "vocab_size"),
        ("embed", "emb_dim"),
        ("mlp", "mlp_dim"),
        ("heads", "num_heads"),
        ("relpos_buckets", "relpos_num_buckets"),
    ):
        if dim in dims:
            sizes[name] = dims[dim]
    for stack, count in counts.items():
        if count:
            sizes[f"num_{stack}_layers"] = count
    heads = source.declared.get("num_heads", dims.get("heads"))
    if heads and "joined_kv" in dims and "head_dim" not in source.declared:
        if dims["joined_kv"] % heads:
            raise UserError(
                f"{source.path}: {heads} heads (first dimension of rel_embedding) do not divide "
                f"the {dims['joined_kv']} columns of the query kernels"
            )
        sizes["head_dim"] = dims["joined_kv"] // heads
    return sizes


def moment_shapes(shape: tuple[int, ...], *, min_dim: int = 128) -> dict[str, tuple[int, ...]]:
    """Shapes of Adafactor's v_row, v_col and v for a parameter, as T5X decides them.

    A matrix whose sides both reach `min_dim` is factored: v_row keeps the second largest
    dimension, v_col the largest (of equal ones, the later one counts as larger). What is not
    used has shape (1,). The same rule as `flan_t5x.train.optimizer.factoring`.
    """
    if len(shape) < 2 or math.prod(shape) == 0 or min(shape) < min_dim:
        return {"v_row": (1,), "v_col": (1,), "v": shape}
    second, largest = np.argsort(shape, kind="stable")
    return {"v_row": (shape[second],), "v_col": (shape[largest],), "v": (1,)}


def layer_numbers(place: Place, config: T5Config) -> list[int | None]:
    """The layers that a leaf holds."""
    if place.row.stack is None or place.axis is None:
        return [place.layer]
    return layers(place.row, config)
