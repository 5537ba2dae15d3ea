"""Reads T5X checkpoints: the legacy layout (msgpack and zarr) and Orbax.

Both from a local folder or a URL that TensorStore knows. Legacy (T5X's ``checkpoints.py``): a
file ``checkpoint``, msgpack of ``{"version", "optimizer": {"target", "state"}}``, in which an
array stands inline, or as a TensorStore spec of the folder beside it that holds it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import ml_dtypes
import numpy as np

from flan_t5x.checkpoint.convert.source import Kind, Leaf, Source
from flan_t5x.checkpoint.convert.stores import (
    Listing,
    below,
    ocdbt_spec,
    open_leaf,
    read_file,
    reason,
    store_spec,
)
from flan_t5x.checkpoint.convert.table import layout_of
from flan_t5x.errors import UserError

_PLACEHOLDER = "PLACEHOLDER://"
_MOMENTS = ("v_row", "v_col", "v")
# Before version 3, bfloat16 was written as the uint16 of the same bits.
_BFLOAT16_AS_UINT16_BEFORE = 3


def read_legacy(path: str) -> Source:
    """Opens a ``checkpoint_<step>`` folder of T5X's own format.

    Args:
        path: local folder or URL.

    Raises:
        UserError: no such checkpoint, or it is damaged.
    """
    base = store_spec(path)
    data = read_file(base, "checkpoint", source=path)
    if data is None:
        raise UserError(f"{path} has no file 'checkpoint'; give a checkpoint_<step> folder of T5X")
    contents = _unpack(data, path)
    version = contents.get("version", 0)
    tree = contents.get("optimizer")
    if not isinstance(tree, Mapping) or not isinstance(tree.get("target"), Mapping):
        raise UserError(f"{path}/checkpoint has no parameters (optimizer/target) in it")
    files = Listing(base, source=path)

    def leaf(name: str, value: Any) -> Leaf:
        if isinstance(value, Mapping):
            folder = PurePosixPath(value["kvstore"]["path"]).name
        elif isinstance(value, str):
            folder = value.removeprefix(_PLACEHOLDER)
        else:
            array = np.asarray(value)
            return Leaf(name, array.shape, array.dtype.name, lambda: array)
        found = open_leaf(base, folder, name=name, source=path, files=files)
        old = isinstance(version, int) and version < _BFLOAT16_AS_UINT16_BEFORE
        return _as_bfloat16(found) if old and found.dtype == "uint16" else found

    flat = dict(_flatten(tree))
    return _source("t5x", path, {name: leaf(name, value) for name, value in flat.items()})


def read_orbax(path: str) -> Source:
    """Opens a checkpoint that T5X wrote through Orbax (with or without OCDBT).

    Args:
        path: the ``checkpoint_<step>`` folder or the item folder in it, local or URL.

    Raises:
        UserError: no such checkpoint, or it is damaged.
    """
    base = store_spec(path)
    if read_file(base, "_METADATA", source=path) is None:
        base = below(base, "state")
    return _source("t5x_orbax", path, dict(orbax_leaves(base, source=path)))


def orbax_leaves(base: Any, *, source: str) -> Iterator[tuple[str, Leaf]]:
    """(slash-joined name, leaf) of every array in an item folder of Orbax.

    Args:
        base: the item folder as `stores.store_spec` names it.
        source: what messages call it.

    Raises:
        UserError: not an item of Orbax, or damaged.
    """
    data = read_file(base, "_METADATA", source=source)
    if data is None:
        raise UserError(f"{source} has no _METADATA of Orbax; check the path")
    try:
        metadata = json.loads(data)
        keys = [ast.literal_eval(key) for key in metadata["tree_metadata"]]
        skipped = [
            bool(entry["value_metadata"].get("skip_deserialize"))
            for entry in metadata["tree_metadata"].values()
        ]
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise UserError(f"{source}: _METADATA is damaged ({error!r}); copy it again") from error
    store = base
    if read_file(base, "manifest.ocdbt", source=source) is not None:
        store = ocdbt_spec(base)
    zeros_written = metadata.get("store_array_data_equal_to_fill_value", False)
    files = Listing(store, source=source) if zeros_written else None
    driver = "zarr3" if metadata.get("use_zarr3") else "zarr"
    for parts, skip in zip(keys, skipped, strict=True):
        if skip:  # an empty node, or a value that is not an array
            continue
        name, folder = "/".join(map(str, parts)), ".".join(map(str, parts))
        yield (
            name,
            open_leaf(store, folder, name=name, source=source, files=files, driver=driver),
        )


def _source(kind: Kind, path: str, found: Mapping[str, Leaf]) -> Source:
    """Sorts a train state's leaves into parameters and Adafactor's moments."""
    leaves = _under(found, "target/")
    if not leaves:
        raise UserError(f"{path} has no parameters: nothing in it is called target/...")
    layout = layout_of(list(leaves))
    states = _under(found, "state/param_states/")
    step_leaf = found.get("state/step")
    step = int(step_leaf.load()) if step_leaf is not None else None
    notes = []
    moments: dict[str, Leaf] = {}
    if layout == "t5x":
        moments = {n: leaf for n, leaf in states.items() if n.rsplit("/", 1)[-1] in _MOMENTS}
        if any(n.endswith("/m") and leaf.shape != (1,) for n, leaf in states.items()):
            notes.append("Adafactor's momentum is left out: this project's Adafactor has none")
    elif states:
        notes.append(
            "the optimizer state is left out: scalable_t5 factors stacked layers in other "
            "dimensions than the public checkpoints"
        )
    return Source(
        kind=kind,
        path=path,
        layout=layout,
        leaves=leaves,
        moments=moments if step is not None else {},
        moments_step=step if moments else None,
        step=step,
        notes=tuple(notes),
    )


def _under(found: Mapping[str, Leaf], prefix: str) -> dict[str, Leaf]:
    return {
        name.removeprefix(prefix): Leaf(
            name.removeprefix(prefix), leaf.shape, leaf.dtype, leaf.load
        )
        for name, leaf in found.items()
        if name.startswith(prefix)
    }


def _unpack(data: bytes, path: str) -> dict[str, Any]:
    from flax import serialization

    try:
        contents = serialization.msgpack_restore(data)
    except Exception as error:  # msgpack raises a dozen kinds, ValueError to MemoryError
        raise UserError(
            f"{path}/checkpoint is damaged or not a T5X checkpoint ({reason(error)})"
        ) from error
    if not isinstance(contents, dict):
        raise UserError(f"{path}/checkpoint is not a T5X checkpoint: it holds no dictionary")
    return contents


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and "kvstore" not in value:
            yield from _flatten(value, f"{prefix}{key}/")
        elif value is not None:
            yield f"{prefix}{key}", value


def _as_bfloat16(leaf: Leaf) -> Leaf:
    return Leaf(
        leaf.name, leaf.shape, "bfloat16", lambda: leaf.load().view(np.dtype(ml_dtypes.bfloat16))
    )
