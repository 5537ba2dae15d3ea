"""Writes T5X's legacy layout, version 3 of its ``checkpoints.py``.

The file ``checkpoint`` is msgpack; parameters and full second moments are zarr arrays beside
it, factored moments and the step stand inside it, as T5X itself divides them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from flan_t5x.checkpoint.convert.plan import Part, Plan, stream
from flan_t5x.checkpoint.convert.stores import create_array, write_array
from flan_t5x.checkpoint.convert.target import Dtype, cast, fresh_moments, target_dtype

VERSION = 3
_GZIP = {"id": "gzip", "level": 1}
_CHUNK_BYTES = 64 << 20


def write_t5x(folder: Path, plan: Plan, *, dtype: Dtype | None) -> None:
    """Writes a ``checkpoint_<step>`` folder that T5X restores as it is.

    Second moments and step are the source's where it has Adafactor's, else zeros and step 0:
    a fresh Adafactor, whose first update takes the gradient's own square as second moment.

    Args:
        folder: an empty folder.
        plan: what to write.
        dtype: of parameters; None keeps the source's.

    Raises:
        UserError: the disk is full, or the source is damaged.
    """
    tree: dict[str, Any] = {"version": VERSION, "optimizer": {"target": {}, "state": {}}}
    target, state = tree["optimizer"]["target"], tree["optimizer"]["state"]
    states = state.setdefault("param_states", {})
    for part, values in stream(plan.parts):
        name = f"target/{part.name}"
        _insert(target, part.name, _write(folder, name, cast(values, target_dtype(part, dtype))))
        if not plan.moments:
            for kind, zeros in fresh_moments(part).items():
                _insert(states, f"{part.name}/{kind}", _moment(folder, part, kind, zeros))
        _insert(states, f"{part.name}/m", np.zeros(1, np.float32))
    for part, values in stream(plan.moments):
        _insert(states, part.name, _moment(folder, part, str(part.moment), values))
    step = plan.source.moments_step if plan.moments else 0
    state["step"] = np.asarray(step, np.int32)
    from flax import serialization

    (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(_sorted(tree)))


def _moment(folder: Path, part: Part, kind: str, values: np.ndarray) -> Any:
    """A moment as it stands in the msgpack file."""
    if kind != "v" or values.shape == (1,):
        return np.ascontiguousarray(values, np.float32)
    return _write(folder, f"state/param_states/{part.row.t5x(part.layer)}/v", values)


def _write(folder: Path, name: str, values: np.ndarray) -> dict[str, Any]:
    """Writes a zarr array; returns the TensorStore spec that T5X leaves in its place."""
    path, chunks = name.replace("/", "."), chunk_shape(values.shape, values.dtype.itemsize)
    array = create_array(
        folder / path,
        shape=values.shape,
        dtype=values.dtype.name,
        chunks=chunks,
        compressor=_GZIP,
    )
    write_array(array, values)
    return {
        "driver": "zarr",
        "dtype": values.dtype.name,
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": {"chunks": list(chunks), "compressor": _GZIP, "shape": list(values.shape)},
    }


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Even chunks of at most 64 MiB, split along the longest dimension first."""
    chunks = list(shape)
    while math.prod(chunks) * itemsize > _CHUNK_BYTES:
        longest = max(range(len(chunks)), key=lambda d: chunks[d])
        size = chunks[longest]
        divisor = next(d for d in range(2, size + 1) if size % d == 0)
        chunks[longest] = size // divisor
    return tuple(chunks)


def _insert(tree: dict[str, Any], name: str, value: Any) -> None:
    *folders, last = name.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[last] = value


def _sorted(tree: Any) -> Any:
    """The tree with its keys in order: the same checkpoint always gives the same bytes."""
    if not isinstance(tree, dict):
        return tree
    return {key: _sorted(tree[key]) for key in sorted(tree)}
