"""Shardings of activations, by the names of their dimensions.

The model says what the dimensions of an activation are, `constrain(x, ("batch", "length", "mlp"))`,
and knows of no mesh. Inside of `activation_sharding` that becomes a sharding constraint by the same
rules as the parameters'; elsewhere it is nothing. Without constraints the compiler may carry a
parameter's sharding over to activations: under FSDP it then gathers the batch on every device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding

from flan_t5x.parallel.rules import Rules, partition_spec


class _Placement(NamedTuple):
    mesh: Mesh
    rules: Rules
    outside: tuple[str, ...]


_PLACEMENT: ContextVar[_Placement | None] = ContextVar("placement", default=None)


@contextlib.contextmanager
def activation_sharding(mesh: Mesh, rules: Rules, *, outside: Sequence[str] = ()) -> Iterator[None]:
    """Gives `constrain` its meaning while a function is traced.

    Args:
        mesh: the devices.
        rules: see `flan_t5x.parallel.rules`.
        outside: mesh axes of a mapped dimension around (`jax.vmap` with `spmd_axis_name`).
    """
    token = _PLACEMENT.set(_Placement(mesh, rules, tuple(outside)))
    try:
        yield
    finally:
        _PLACEMENT.reset(token)


@contextlib.contextmanager
def unconstrained() -> Iterator[None]:
    """Takes the meaning away again: a decoding step's single positions are not divided."""
    token = _PLACEMENT.set(None)
    try:
        yield
    finally:
        _PLACEMENT.reset(token)


def constrain(x: jax.Array, logical: Sequence[str | None]) -> jax.Array:
    """x with the sharding that the rules in force give an activation with these dimensions.

    Args:
        x: of any shape.
        logical: a name of `LOGICAL_AXES` for each dimension; None is never divided.

    Raises:
        UserError: a dimension that its mesh axis does not divide.
    """
    placement = _PLACEMENT.get()
    if placement is None or placement.mesh.size == 1:
        return x
    mesh, rules, outside = placement
    named = "/".join(name or "-" for name in logical)
    spec = partition_spec(
        logical, x.shape, rules=rules, mesh=mesh, name=f"activation {named}", without=outside
    )
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))
