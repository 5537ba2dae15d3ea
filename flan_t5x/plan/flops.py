"""FLOPs of the true step: every matrix product in its trace, loops counted in full."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


def traced_flops(traced: Any) -> int:
    """FLOPs of all matrix products of a traced function, recomputation included.

    Args:
        traced: of `jax.jit(f).trace(...)`. A multiply and an add are two.
    """
    return _flops(traced.jaxpr.jaxpr)


def _flops(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            total += _product(equation)
            continue
        turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        inner = [_flops(part) for part in _inner(equation.params)]
        if equation.primitive.name == "cond":
            inner = [max(inner, default=0)]
        total += turns * sum(inner)
    return total


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """Traces within an equation, closed or not, alone or several."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            part = getattr(part, "jaxpr", part)
            if hasattr(part, "eqns"):
                yield part


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    result = math.prod(equation.outvars[0].aval.shape)
    return int(2 * result * math.prod(left[i] for i in contracted))
