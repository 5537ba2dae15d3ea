"""Optimizers as Optax transformations; Adafactor with T5X's semantics.

`optax.adafactor` takes one clipping norm and one parameter scale for all layers of a stacked
parameter, and factors the layer dimension where it is large; T5X treats each layer as its own
parameter. So a stacked model needs this one; it matches T5X step by step (tests/oracle).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from flan_t5x.errors import UserError

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


class AdafactorState(NamedTuple):
    """Second moments; a leaf that is not used is zeros of shape (1,), as in T5X.

    Attributes:
        step: steps taken, int32 scalar.
        v_row: mean of squared gradients over columns, for factored parameters.
        v_col: mean over rows, for factored parameters.
        v: full second moment, for the others.
    """

    step: Int[Array, ""]
    v_row: Any
    v_col: Any
    v: Any


@dataclasses.dataclass(frozen=True)
class Factoring:
    """Which two dimensions of a parameter are factored; None for a full second moment.

    Attributes:
        row: dimension kept by v_row (v_row averages over `col`).
        col: dimension kept by v_col.
        batch_dims: leading stacked dimensions ("layers"): each slice is its own parameter.
    """

    row: int | None
    col: int | None
    batch_dims: int


def factoring(shape: tuple[int, ...], *, stacked: bool, min_dim_size_to_factor: int) -> Factoring:
    """T5X's choice for a 2-D kernel: the two largest dimensions, if both are large enough.

    T5X's `adafactor.py` (heuristic for rank 2 without rules): sorted by size, the largest
    dimension is averaged out of v_row, the second largest out of v_col. A stacked parameter is
    treated per layer, as the unstacked one would be.
    """
    offset = 1 if stacked else 0
    inner = shape[offset:]
    if len(inner) < 2:
        return Factoring(None, None, offset)
    order = np.argsort(inner, kind="stable")
    second, largest = int(order[-2]), int(order[-1])
    if inner[second] < min_dim_size_to_factor:
        return Factoring(None, None, offset)
    return Factoring(second + offset, largest + offset, offset)


def adafactor(
    learning_rate: float | Schedule,
    *,
    decay_rate: float = 0.8,
    step_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    weight_decay_rate: float | None = None,
    min_dim_size_to_factor: int = 128,
    epsilon1: float = 1e-30,
    epsilon2: float = 1e-3,
) -> optax.GradientTransformation:
    """Adafactor (Shazeer and Stern 2018) with the semantics of T5X's `adafactor.py`.

    decay_t = 1 - (t - step_offset + 1)^-decay_rate; v <- decay_t v + (1-decay_t)(g^2 + epsilon1),
    factored into row and column means; the update g / sqrt(v) is divided by
    max(1, RMS / clipping_threshold) and multiplied by learning_rate * max(RMS(p), epsilon2).
    RMS is taken per layer for stacked parameters (those under a "layers" key).

    Args:
        learning_rate: constant, or a function of the step.
        decay_rate: exponent of the second moment's decay.
        step_offset: step at which fine-tuning started, to restart the decay; Flan-T5 keeps 0,
            so that a checkpoint restored at step 1.1 M moves its moments slowly.
        multiply_by_parameter_scale: relative step sizes.
        clipping_threshold: bound on the update's RMS, None to disable.
        weight_decay_rate: subtracts rate * learning_rate * p, None to disable.
        min_dim_size_to_factor: smaller matrices keep a full second moment.
        epsilon1: added to squared gradients.
        epsilon2: floor of the parameter scale.

    Raises:
        UserError: for values that make no sense.
    """
    if not callable(learning_rate) and not (
        isinstance(learning_rate, int | float) and learning_rate >= 0
    ):
        raise UserError(f"adafactor.learning_rate = {learning_rate!r}: a number >= 0 is needed")
    if not 0.0 < decay_rate < 1.0:
        raise UserError(f"adafactor.decay_rate = {decay_rate!r}: needs 0 < decay_rate < 1")

    def plan(path: tuple[Any, ...], leaf: Any) -> Factoring:
        return factoring(
            tuple(leaf.shape),
            stacked=_is_stacked(path),
            min_dim_size_to_factor=min_dim_size_to_factor,
        )

    def init(params: Any) -> AdafactorState:
        plans = jax.tree_util.tree_map_with_path(plan, params)

        def zeros(drop: str) -> Any:
            def leaf(f: Factoring, p: Any) -> jax.Array:
                return jnp.zeros(_moment_shape(f, tuple(p.shape), drop), jnp.float32)

            return jax.tree.map(leaf, plans, params)

        return AdafactorState(
            jnp.zeros((), jnp.int32), zeros("col"), zeros("row"), zeros("neither")
        )

    def update(grads: Any, state: AdafactorState, params: Any = None) -> tuple[Any, AdafactorState]:
        if params is None:
            raise ValueError("adafactor needs the parameters")
        since = state.step.astype(jnp.float32) - step_offset
        decay = 1.0 - (since + 1.0) ** -decay_rate
        rate = learning_rate(state.step) if callable(learning_rate) else learning_rate

        def leaf(
            path: tuple[Any, ...], g: jax.Array, p: jax.Array, *moments: jax.Array
        ) -> tuple[jax.Array, ...]:
            f = plan(path, p)
            g = g.astype(jnp.float32)
            u, moments = _precondition(g, moments, f, decay, epsilon1)
            over = tuple(range(f.batch_dims, p.ndim))
            if clipping_threshold is not None:
                u = u / jnp.maximum(1.0, _rms(u, over) / clipping_threshold)
            scale = jnp.asarray(rate, jnp.float32)
            if multiply_by_parameter_scale:
                scale = scale * jnp.maximum(_rms(p.astype(jnp.float32), over), epsilon2)
            delta = -scale * u
            if weight_decay_rate is not None:
                delta = delta - weight_decay_rate * rate * p
            return delta.astype(p.dtype), *moments

        results = jax.tree_util.tree_map_with_path(
            leaf, grads, params, state.v_row, state.v_col, state.v
        )
        outer, inner = jax.tree.structure(params), jax.tree.structure((0, 0, 0, 0))
        updates, v_row, v_col, v = jax.tree.transpose(outer, inner, results)
        return updates, AdafactorState(state.step + 1, v_row, v_col, v)

    return optax.GradientTransformation(init, update)


def adamw(
    learning_rate: float | Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    weight_decay: float = 0.0,
    clip_global_norm: float | None = 1.0,
) -> optax.GradientTransformation:
    """Optax's AdamW behind a global norm clip; for a loss normalised by tokens."""
    parts = [optax.clip_by_global_norm(clip_global_norm)] if clip_global_norm else []
    return optax.chain(*parts, optax.adamw(learning_rate, b1=b1, b2=b2, weight_decay=weight_decay))


def constant_with_warmup(learning_rate: float, *, warmup_steps: int = 0) -> Schedule:
    """Rises linearly over `warmup_steps`, then stays."""

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        share = (step.astype(jnp.float32) + 1.0) / max(warmup_steps, 1)
        return learning_rate * jnp.minimum(1.0, share)

    return schedule


def rsqrt_decay(learning_rate: float, *, warmup_steps: int, decay_end: int = 0) -> Schedule:
    """learning_rate at step warmup_steps, then falling with 1/sqrt(step) (T5's pretraining).

    Args:
        learning_rate: the peak, held during the warm-up as in T5's rsqrt_decay.
        warmup_steps: steps before the decay starts.
        decay_end: if given, the rate falls linearly to 0 over the last fifth before this step.
    """

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        t = step.astype(jnp.float32)
        rate = learning_rate * jnp.sqrt(warmup_steps / jnp.maximum(t, warmup_steps))
        if decay_end:
            rate = rate * jnp.clip((decay_end - t) / (0.2 * decay_end), 0.0, 1.0)
        return rate

    return schedule


def _is_stacked(path: tuple[Any, ...]) -> bool:
    return any(getattr(part, "key", None) == "layers" for part in path)


def _moment_shape(f: Factoring, shape: tuple[int, ...], drop: str) -> tuple[int, ...]:
    if f.row is None or f.col is None:
        return shape if drop == "neither" else (1,)
    if drop == "neither":
        return (1,)
    gone = f.col if drop == "col" else f.row
    return tuple(n for i, n in enumerate(shape) if i != gone)


def _precondition(
    g: Float[Array, "*shape"],
    moments: tuple[jax.Array, ...],
    f: Factoring,
    decay: Float[Array, ""],
    epsilon1: float,
) -> tuple[Float[Array, "*shape"], tuple[jax.Array, ...]]:
    """g / sqrt(second moment), and the new (v_row, v_col, v)."""
    v_row, v_col, v = moments
    squared = jnp.square(g) + epsilon1
    if f.row is None or f.col is None:
        v = decay * v + (1.0 - decay) * squared
        return g * jax.lax.rsqrt(v), (v_row, v_col, v)
    v_row = decay * v_row + (1.0 - decay) * jnp.mean(squared, axis=f.col)
    v_col = decay * v_col + (1.0 - decay) * jnp.mean(squared, axis=f.row)
    row_in_v_row = f.row - (1 if f.col < f.row else 0)
    row_factor = (v_row / jnp.mean(v_row, axis=row_in_v_row, keepdims=True)) ** -0.5
    col_factor = v_col**-0.5
    u = g * jnp.expand_dims(row_factor, f.col) * jnp.expand_dims(col_factor, f.row)
    return u, (v_row, v_col, v)


def _rms(x: Float[Array, "*shape"], over: tuple[int, ...]) -> Float[Array, "*shape"]:
    return jnp.sqrt(jnp.mean(jnp.square(x), axis=over, keepdims=True))
