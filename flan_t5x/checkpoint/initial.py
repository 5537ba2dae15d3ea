"""Where the first weights of a run come from.

Precedence, highest first:
1. the newest whole checkpoint in the run's own model_dir: the run is resumed (`train.loop`);
2. `initial_checkpoint_path`: parameters are read from it, step and optimizer start at 0;
3. neither: parameters are drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flan_t5x.checkpoint.base import load_base
from flan_t5x.checkpoint.leaves import leaf_specs, require_same_leaves
from flan_t5x.checkpoint.reading import find_step, read_extra, read_params
from flan_t5x.errors import UserError
from flan_t5x.model.model import Params

VOCABULARY = "vocabulary_fingerprint"
"""Key of `Vocabulary.fingerprint()` in a base's card and in a checkpoint's extra record."""

SHIPPED = {"mini_base": ("flan_tasks.mini", "data/tiny_base.npz")}
"""Base checkpoints that come with the package: name -> (package, file)."""


def load_initial(
    path: str, abstract_params: Params, *, vocabulary: str | None = None
) -> dict[str, Any]:
    """Parameters for a model of the given shapes, as NumPy arrays.

    Args:
        path: a name in `SHIPPED`, a base checkpoint file (``.npz``), a run's model_dir (its
            best step), or one of its checkpoint folders.
        abstract_params: tree of `jax.ShapeDtypeStruct` that the parameters must match.
        vocabulary: fingerprint of the vocabulary in use; compared where the checkpoint records
            the one it was made with (`VOCABULARY` in its card or extra record).

    Raises:
        UserError: nothing there, not a checkpoint, other shapes (names the leaves), or another
            vocabulary.
    """
    record: Mapping[str, Any]
    if path in SHIPPED or Path(path).suffix == ".npz":
        params, record = load_base(_shipped(path) if path in SHIPPED else path)
    else:
        folder = find_step(path)
        params, record = read_params(folder), read_extra(folder)
    made_with = record.get(VOCABULARY)
    if vocabulary is not None and made_with not in (None, vocabulary):
        raise UserError(
            f"{path} was made with another vocabulary (fingerprint {str(made_with)[:12]}, this "
            f"one has {vocabulary[:12]}): its token ids mean other pieces. Name that vocabulary"
        )
    # A base may be stored in bfloat16: names and shapes must agree, the model's dtype is used.
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), np.float32), params)
    require_same_leaves(leaf_specs(shapes), leaf_specs(abstract_params), source=path)
    return jax.tree.map(lambda x, a: np.asarray(x, a.dtype), params, abstract_params)


def place_params(params: Params, shardings: Any) -> Params:
    """NumPy parameters as global arrays: every process gives its devices their parts.

    Args:
        params: tree of arrays, the same on every process.
        shardings: the same tree of `NamedSharding`.
    """

    def one(array: np.ndarray, sharding: jax.sharding.NamedSharding) -> jax.Array:
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(one, params, shardings)


def locate(path: str) -> str:
    """The very checkpoint that `load_initial` would read: a model_dir's best step by its folder.

    Raises:
        UserError: there is no whole step.
    """
    if path in SHIPPED or Path(path).suffix == ".npz":
        return path
    return str(find_step(path))


def _shipped(name: str) -> Path:
    import importlib.resources

    package, file = SHIPPED[name]
    found = Path(str(importlib.resources.files(package))) / file
    if not found.is_file():
        raise UserError(f"base checkpoint {name!r} is missing from this installation: {found}")
    return found
