"""Where the first weights of a run come from.

Precedence, highest first:
1. the newest whole checkpoint in the run's own model_dir: the run is resumed (`train.loop`);
2. `initial_checkpoint_path`: parameters are read from it, step and optimizer start at 0. It is
   the first of these that fits:
   a. a name in `SHIPPED`, or a file ``*.npz``: a base checkpoint;
   b. ``hf://org/name``: fetched from the Hugging Face hub, then as c;
   c. what `convert.sniff` knows as another system's: a Hugging Face folder, or T5X, local or
      ``gs://...``;
   d. a run's model_dir (its best step), a folder of steps, or one step, of this project; where
      it trained adapters, they are merged into the base that it names, which is read by 2; so
      are those of a PEFT folder;
3. neither: parameters are drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flan_t5x.checkpoint.adapter import ADAPTER
from flan_t5x.checkpoint.base import SHIPPED, load_base, shipped_file
from flan_t5x.checkpoint.convert import direct
from flan_t5x.checkpoint.convert.hub import HUB, download
from flan_t5x.checkpoint.convert.merge import open_plan
from flan_t5x.checkpoint.convert.sniff import is_foreign
from flan_t5x.checkpoint.convert.source import MODEL, VOCABULARY
from flan_t5x.checkpoint.leaves import leaf_specs, require_same_leaves
from flan_t5x.checkpoint.quiet import print_to_stderr
from flan_t5x.checkpoint.reading import find_step, read_extra, read_params
from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Params

__all__ = ["SHIPPED", "VOCABULARY", "load_initial", "load_initial_moments", "locate",
           "place_params", "shipped_file"]  # fmt: skip


def load_initial(
    path: str,
    abstract_params: Params,
    *,
    vocabulary: str | None = None,
    config: T5Config | None = None,
) -> dict[str, Any]:
    """Parameters for a model of the given shapes, as NumPy arrays.

    Args:
        path: any of the kinds above.
        abstract_params: tree of `jax.ShapeDtypeStruct` that the parameters must match.
        vocabulary: fingerprint of the vocabulary in use; compared where the checkpoint records
            the one it was made with, or has its SentencePiece model beside it.
        config: of the model; compared with what the checkpoint says and shapes do not tell
            (activations). None compares nothing.

    Raises:
        UserError: nothing there, not a checkpoint, other shapes (names the leaves), or another
            vocabulary.
    """
    record: Mapping[str, Any]
    if _is_base(path):
        params, record = load_base(shipped_file(path) if path in SHIPPED else path)
    elif is_foreign(path) or ADAPTER in read_extra(folder := find_step(path)):
        return _load_by_plan(path, abstract_params, vocabulary=vocabulary, config=config)
    else:
        params, record = read_params(folder), read_extra(folder)
    _require_vocabulary(path, record.get(VOCABULARY), vocabulary)
    if config is not None:
        direct.require_same_model(record.get(MODEL) or {}, config, path=path)
    # A base may be stored in bfloat16: names and shapes must agree, the model's dtype is used.
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), np.float32), params)
    require_same_leaves(leaf_specs(shapes), leaf_specs(abstract_params), source=path)
    return jax.tree.map(lambda x, a: np.asarray(x, a.dtype), params, abstract_params)


def load_initial_moments(path: str, abstract_opt_state: Any) -> Any:
    """Adafactor's state out of a checkpoint of any kind; see `convert.direct.read_moments`.

    Raises:
        UserError: there is none, or it is not the run's.
    """
    if _is_base(path):
        raise UserError(f"{path} is a base checkpoint, parameters alone; start with a fresh one")
    return direct.read_moments(open_plan(path), abstract_opt_state)


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
    if path.startswith(HUB):
        return str(download(path))
    if _is_base(path) or is_foreign(path):
        return path
    return str(find_step(path))


def _is_base(path: str) -> bool:
    return path in SHIPPED or Path(path).suffix == ".npz"


def _load_by_plan(
    path: str, abstract_params: Params, *, vocabulary: str | None, config: T5Config | None
) -> dict[str, Any]:
    plan = open_plan(path)
    _require_vocabulary(path, plan.source.vocabulary, vocabulary)
    if config is not None:
        direct.require_same_model(plan.source.declared, config, path=path)
    if jax.process_index() == 0:
        for note in plan.notes:
            print_to_stderr(f"{path}: {note}")
    return direct.read_params(plan, abstract_params)


def _require_vocabulary(path: str, made_with: Any, vocabulary: str | None) -> None:
    if vocabulary is not None and made_with not in (None, vocabulary):
        raise UserError(
            f"{path} was made with another vocabulary (fingerprint {str(made_with)[:12]}, this "
            f"one has {vocabulary[:12]}): its token ids mean other pieces. Name that vocabulary"
        )
