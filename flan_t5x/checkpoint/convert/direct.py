"""A run's first weights straight from a checkpoint of another system, without a file between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from flan_t5x.checkpoint.convert.plan import Part, Plan, stream
from flan_t5x.checkpoint.convert.target import goal
from flan_t5x.checkpoint.leaves import LeafSpec, leaf_specs, named_leaves, require_same_leaves
from flan_t5x.errors import UserError
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Params

# What a checkpoint may say of a model that the shapes of its leaves do not.
_NOT_IN_SHAPES = ("mlp_activations", "relpos_max_distance", "layer_norm_epsilon")


def read_params(plan: Plan, abstract_params: Params) -> dict[str, Any]:
    """Parameters in this project's tree, each cast as it is read.

    Args:
        plan: the opened checkpoint.
        abstract_params: tree of `jax.ShapeDtypeStruct` to fill.

    Raises:
        UserError: the model has other leaves (they are named), or the checkpoint is damaged.
    """
    return dict(_fill(plan, plan.parts, abstract_params, prefix="params/", dtypes=False))


def read_moments(plan: Plan, abstract_opt_state: Any) -> Any:
    """Adafactor's state as it was when the checkpoint was saved, with its step.

    With it, the second moment's decay 1 - (step + 1)^-0.8 goes on as in T5X: a public T5 at
    step 1.1 million forgets over some 68,000 steps, so in a short tuning run the moments stay
    mostly those of pretraining. Without it (a fresh state) they are those of the tuning data
    from the first step on. The Flan-T5 recipe restored it.

    Args:
        plan: the opened checkpoint.
        abstract_opt_state: `AdafactorState` of `jax.ShapeDtypeStruct`.

    Returns:
        The same tree of NumPy arrays.

    Raises:
        UserError: the checkpoint has no Adafactor state, or the run's optimizer is another one.
    """
    if not plan.moments:
        why = next((n for n in plan.notes if "optimizer" in n), "there is none in it")
        raise UserError(
            f"{plan.source.path} gives no optimizer state ({why}); start with a fresh one"
        )
    step = {"step": np.asarray(plan.source.moments_step, np.int32)}
    return _fill(
        plan, plan.moments, abstract_opt_state, prefix="opt_state/", dtypes=True, given=step
    )


def require_same_model(declared: Mapping[str, Any], config: T5Config, *, path: str) -> None:
    """Compares what a checkpoint says of its model, and shapes do not tell, with a config.

    Args:
        declared: fields of T5Config that the checkpoint says; others are not compared.
        config: of the run.
        path: the checkpoint, for the message.

    Raises:
        UserError: they differ: the weights would be read into another function.
    """
    for name in _NOT_IN_SHAPES:
        theirs, ours = declared.get(name), getattr(config, name)
        if isinstance(theirs, list):
            theirs = tuple(theirs)
        if theirs is not None and theirs != ours:
            raise UserError(
                f"{path} was made with {name} = {theirs!r}, this model has {ours!r}; set "
                f"T5Config.{name} = {theirs!r}"
            )


def _fill(
    plan: Plan,
    parts: Iterable[Part],
    abstract: Any,
    *,
    prefix: str,
    dtypes: bool,
    given: Mapping[str, np.ndarray] | None = None,
) -> Any:
    parts = list(parts)
    goals = [goal(part, plan, "flan_t5x") for part in parts]
    names = [to.name.removeprefix(prefix) for to in goals]
    found = {
        name: LeafSpec(to.shape, part.dtype if dtypes else "float32")
        for name, to, part in zip(names, goals, parts, strict=True)
    }
    found |= {
        name: LeafSpec(array.shape, str(array.dtype)) for name, array in (given or {}).items()
    }
    wanted = leaf_specs(abstract)
    require_same_leaves(found, wanted, source=plan.source.path)
    leaves = named_leaves(abstract)
    arrays = {name: np.empty(leaf.shape, leaf.dtype) for name, leaf in leaves}
    for name, array in (given or {}).items():
        arrays[name][...] = array
    order = iter(zip(names, goals, strict=True))
    for (part, values), (name, to) in zip(stream(parts), order, strict=True):
        stacked = to.shape != part.shape
        arrays[name][part.layer if stacked else ...] = values
    structure = jax.tree.structure(abstract)
    return jax.tree.unflatten(structure, [arrays[name] for name, _ in leaves])
