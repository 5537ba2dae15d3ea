"""What training carries from step to step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding

from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.rules import Rules, param_shardings, replicated


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Step counter, parameters and optimizer state: all that a step changes.

    Attributes:
        step: steps taken, int32 scalar.
        params: the model's parameter tree, float32.
        opt_state: of the Optax transformation.
    """

    step: Any  # int32 scalar; in trees of shardings or shapes, those
    params: Params
    opt_state: Any


def create_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """Step 0 with the given parameters."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def state_shardings(
    model: Model, optimizer: optax.GradientTransformation, *, mesh: Mesh, rules: Rules
) -> TrainState:
    """A `TrainState` of shardings.

    An optimizer leaf that has the shape of its parameter is sharded like it; a factored moment
    keeps the shardings of the dimensions it keeps; everything else is replicated.
    """
    params = param_shardings(model.abstract_params, model.logical_axes, rules=rules, mesh=mesh)
    abstract = jax.eval_shape(lambda p: create_state(p, optimizer), model.abstract_params)
    by_path = {
        _names(path): (leaf, sharding)
        for (path, leaf), sharding in zip(
            jax.tree_util.tree_leaves_with_path(model.abstract_params),
            jax.tree.leaves(params),
            strict=True,
        )
    }

    def moment(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        names = _names(path)
        for start in range(len(names)):
            if names[start:] in by_path:
                return _like(leaf.shape, *by_path[names[start:]], mesh=mesh)
        return replicated(mesh)

    opt_state = jax.tree_util.tree_map_with_path(moment, abstract.opt_state)
    return TrainState(replicated(mesh), params, opt_state)


def abstract_state(
    model: Model, optimizer: optax.GradientTransformation, shardings: TrainState
) -> TrainState:
    """A `TrainState` of `jax.ShapeDtypeStruct` with shardings, to restore into."""
    shapes = jax.eval_shape(lambda p: create_state(p, optimizer), model.abstract_params)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings
    )


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(getattr(p, "key", getattr(p, "name", getattr(p, "idx", p)))) for p in path)


def _like(
    shape: tuple[int, ...],
    parameter: jax.ShapeDtypeStruct,
    sharding: NamedSharding,
    *,
    mesh: Mesh,
) -> NamedSharding:
    """The parameter's sharding, restricted to the dimensions that `shape` keeps."""
    spec = list(sharding.spec) + [None] * (len(parameter.shape) - len(sharding.spec))
    if shape == parameter.shape:
        return sharding
    for gone in range(len(parameter.shape)):
        rest = [i for i in range(len(parameter.shape)) if i != gone]
        if shape == tuple(parameter.shape[i] for i in rest):
            # With equal sizes the dropped dimension is ambiguous: replicate rather than guess.
            others = [
                j
                for j in range(len(parameter.shape))
                if j != gone and shape == tuple(n for i, n in enumerate(parameter.shape) if i != j)
            ]
            if others:
                return replicated(mesh)
            return NamedSharding(mesh, jax.sharding.PartitionSpec(*[spec[i] for i in rest]))
    return replicated(mesh)
