"""Where the first weights of a run come from.

Precedence, highest first:
1. the newest whole checkpoint in the run's own model_dir: the run is resumed (`train.loop`);
2. `initial_checkpoint_path`: parameters are read from it, step and optimizer start at 0;
3. neither: parameters are drawn from the seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from flan_t5x.checkpoint.base import load_base
from flan_t5x.checkpoint.leaves import leaf_specs, require_same_leaves
from flan_t5x.checkpoint.reading import read_params
from flan_t5x.errors import UserError
from flan_t5x.model.model import Params

SHIPPED = {"mini_base": ("flan_tasks.mini", "data/tiny_base.npz")}
"""Base checkpoints that come with the package: name -> (package, file)."""


def load_initial(path: str, abstract_params: Params) -> dict[str, Any]:
    """Parameters for a model of the given shapes, as NumPy arrays.

    Args:
        path: a name in `SHIPPED`, a base checkpoint file (``.npz``), a run's model_dir (its
            best step), or one of its checkpoint folders.
        abstract_params: tree of `jax.ShapeDtypeStruct` that the parameters must match.

    Raises:
        UserError: nothing there, not a checkpoint, or other shapes; names the leaves.
    """
    if path in SHIPPED:
        params = load_base(_shipped(path))[0]
    elif Path(path).suffix == ".npz":
        params = load_base(path)[0]
    else:
        params = read_params(path)
    # A base may be stored in bfloat16: names and shapes must agree, the model's dtype is used.
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), np.float32), params)
    require_same_leaves(leaf_specs(shapes), leaf_specs(abstract_params), source=path)
    return jax.tree.map(lambda x, a: np.asarray(x, a.dtype), params, abstract_params)


def _shipped(name: str) -> Path:
    import importlib.resources

    package, file = SHIPPED[name]
    found = Path(str(importlib.resources.files(package))) / file
    if not found.is_file():
        raise UserError(f"base checkpoint {name!r} is missing from this installation: {found}")
    return found
