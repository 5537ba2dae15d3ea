"""Gradients of a batch: microbatch after microbatch, added up where they are, reduced once.

Every replica of the parameters (mesh axes "slice" and "data") adds up the gradients of its own
rows over all microbatches, and only then are they summed over the replicas: one reduction a step,
however many microbatches there are, and one crossing of the slow network between slices. The
replicas are the mapped axis of a `vmap`, which is divided over those mesh axes, so a device has
one. Within a replica the gradients are sharded as the parameters are ("fsdp", "tensor"): keeping a
whole unreduced gradient instead would take a parameter-sized array on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from flan_t5x.parallel.activations import activation_sharding
from flan_t5x.parallel.rules import Rules, batch_axes

Sums = TypeVar("Sums")
REPLICA_AXES = ("slice", "data")


@dataclass(frozen=True)
class Layout:
    """How the arrays of a training step lie on the devices.

    Attributes:
        mesh: the devices.
        rules: sharding rules, for activations.
        params: tree of `NamedSharding`; gradients have the same.
    """

    mesh: Mesh
    rules: Rules
    params: Any

    @property
    def replica_axes(self) -> tuple[str, ...]:
        """Mesh axes that divide the batch and no parameter."""
        used: set[str] = set()
        for sharding in jax.tree.leaves(self.params):
            for entry in sharding.spec:
                used |= {entry} if isinstance(entry, str) else set(entry or ())
        batch = set(batch_axes(self.rules))
        names = [name for name in REPLICA_AXES if name in batch - used]
        return tuple(name for name in names if self.mesh.shape[name] > 1)


def accumulate(
    gradient: Callable[[Any, Any], tuple[Any, Sums]],
    params: Any,
    batch: Any,
    *,
    num_microbatches: int,
    layout: Layout | None,
) -> tuple[Any, Sums]:
    """Sums of gradients and of figures over a batch.

    Args:
        gradient: ``(params, part of the batch) -> (gradients, figures)``, both sums over rows.
        params: tree of parameters.
        batch: tree of arrays with rows first.
        num_microbatches: divides the rows of every device.
        layout: of the arrays; None on one device.

    Returns:
        Float32 gradients with the parameters' shardings, and the figures.
    """
    if layout is None or layout.mesh.size == 1:
        return _over_microbatches(gradient, params, batch, num_microbatches, place=lambda g: g)
    replicas = layout.replica_axes
    count = math.prod(layout.mesh.shape[axis] for axis in replicas)

    def place(grads: Any) -> Any:
        return jax.tree.map(jax.lax.with_sharding_constraint, grads, layout.params)

    def within_replica(batch: Any) -> tuple[Any, Sums]:
        with activation_sharding(layout.mesh, layout.rules, outside=replicas):
            return _over_microbatches(gradient, params, batch, num_microbatches, place=place)

    if count == 1:
        return within_replica(batch)
    by_replica = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
    sums = jax.vmap(within_replica, spmd_axis_name=replicas)(by_replica)
    grads, figures = jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)
    return place(grads), figures


def _over_microbatches(
    gradient: Callable[[Any, Any], tuple[Any, Sums]],
    params: Any,
    batch: Any,
    count: int,
    *,
    place: Callable[[Any], Any],
) -> tuple[Any, Sums]:
    if count == 1:
        grads, sums = gradient(params, batch)
        return place(grads), sums

    def split(x: jax.Array) -> jax.Array:
        # Strided: every microbatch takes rows from every device, so nothing moves.
        return x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)

    def body(carry: tuple[Any, Sums], part: Any) -> tuple[tuple[Any, Sums], None]:
        grads, sums = gradient(params, part)
        grads, sums = jax.tree.map(jnp.add, carry, (grads, sums))
        return (place(grads), sums), None

    zeros = place(jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), params))
    first = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), parts := jax.tree.map(split, batch)
    )
    figures = jax.eval_shape(gradient, params, first)[1]
    start = (zeros, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), figures))
    (grads, sums), _ = jax.lax.scan(body, start, parts)
    return grads, sums
