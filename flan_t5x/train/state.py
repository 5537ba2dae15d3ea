"""What training carries from step to step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding

from flan_t5x.model import lora
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.rules import Rules, param_shardings, replicated


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Step counter, parameters and optimizer state: all that a step changes; and what it does not.

    Attributes:
        step: steps taken, int32 scalar.
        params: the parameters that are trained, float32: all of the model's, or its adapters.
        opt_state: of the Optax transformation, for `params` alone.
        frozen: the rest of the model's parameters; empty where all are trained. Not saved: it
            comes from the run's initial checkpoint every time.
    """

    step: Any  # int32 scalar; in trees of shardings or shapes, those
    params: Params
    opt_state: Any
    frozen: Params = dataclasses.field(default_factory=dict)

    @property
    def model_params(self) -> Params:
        """The model's whole parameter tree."""
        return lora.join(self.frozen, self.params)

    @property
    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"step": self.step, "params": self.params, "opt_state": self.opt_state}


def create_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """Step 0 with the given parameters of the model, divided into frozen and trained ones."""
    frozen, trained = lora.split(params)
    return TrainState(jnp.zeros((), jnp.int32), trained, optimizer.init(trained), frozen)


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
    frozen, trained = lora.split(params)
    return TrainState(replicated(mesh), trained, opt_state, frozen)


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
