"""Attention whose backward pass knows the sums of the softmax.

The forward pass keeps its result and, of every query's weights, the maximum and the sum. The
backward pass makes the weights again in one pass over [queries, keys], where the derivative of
`jax.nn.softmax` under a remat policy needs two more for maximum and sum, and a third for the sum of
weight * d(weight), which is that of result * d(result) (Dao et al. 2022, arXiv 2205.14135). All
heads and rows at once: for many devices, where each has few.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from flan_t5x.model.head_by_head import masked_logits

KEPT = ("attention_mixed", "attention_sums")
"""Names of what a remat policy has to keep, else all is computed twice."""


class _Saved(NamedTuple):
    query: Float[Array, "batch queries heads head_dim"]
    key: Float[Array, "batch keys heads head_dim"]
    value: Float[Array, "batch keys heads head_dim"]
    bias: Float[Array, "heads queries keys"] | None
    mask: Bool[Array, "batch queries keys"] | None
    mixed: Float[Array, "batch queries heads head_dim"]
    top: Float[Array, "batch heads queries 1"]
    total: Float[Array, "batch queries heads 1"]


@jax.custom_vjp
def attend(
    query: Float[Array, "batch queries heads head_dim"],
    key: Float[Array, "batch keys heads head_dim"],
    value: Float[Array, "batch keys heads head_dim"],
    bias: Float[Array, "heads queries keys"] | None,
    mask: Bool[Array, "batch queries keys"] | None,
) -> Float[Array, "batch queries heads head_dim"]:
    """softmax(q k^T + bias, masked) v; weights in float32, then in the dtype of the values."""
    return _forward(query, key, value, bias, mask)[0]


def _forward(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
) -> tuple[jax.Array, _Saved]:
    logits = _logits(query, key, bias, mask)
    top = jnp.max(logits, axis=-1, keepdims=True)
    weights = jnp.exp(logits - top).astype(value.dtype)
    # The sum is one more column of the product: matrix units take 128 at a time, head_dim is 64.
    ones = jnp.ones((*value.shape[:-1], 1), value.dtype)
    both = jnp.einsum(
        "bhqk,bkhc->bqhc",
        weights,
        jnp.concatenate([value, ones], axis=-1),
        preferred_element_type=jnp.float32,
    )
    mixed, total = both[..., :-1], both[..., -1:]
    mixed = checkpoint_name((mixed / total).astype(value.dtype), KEPT[0])
    top, total = (checkpoint_name(x, KEPT[1]) for x in (top, total))
    return mixed, _Saved(query, key, value, bias, mask, mixed, top, total)


def _backward(saved: _Saved, grad: jax.Array) -> tuple[jax.Array | None, ...]:
    query, key, value, bias, mask, mixed, top, total = saved
    scale = (1.0 / total).transpose(0, 2, 1, 3)
    weights = jnp.exp(_logits(query, key, bias, mask) - top) * scale
    d_value = jnp.einsum("bhqk,bqhc->bkhc", weights.astype(grad.dtype), grad)
    d_weights = jnp.einsum("bqhc,bkhc->bhqk", grad, value).astype(jnp.float32)
    inner = jnp.sum(grad.astype(jnp.float32) * mixed.astype(jnp.float32), axis=-1)
    d_logits = weights * (d_weights - inner.transpose(0, 2, 1)[..., None])
    if mask is not None:
        d_logits = jnp.where(mask[:, None], d_logits, 0.0)
    d_bias = None
    if bias is not None:
        d_bias = jnp.sum(d_logits, axis=0).astype(bias.dtype)
    d_logits = d_logits.astype(query.dtype)
    d_query = jnp.einsum("bhqk,bkhc->bqhc", d_logits, key)
    d_key = jnp.einsum("bhqk,bqhc->bkhc", d_logits, query)
    return d_query, d_key, d_value, d_bias, None


attend.defvjp(_forward, _backward)


def _logits(
    query: jax.Array, key: jax.Array, bias: jax.Array | None, mask: jax.Array | None
) -> Float[Array, "batch heads queries keys"]:
    products = jnp.einsum("bqhc,bkhc->bhqk", query, key)
    return masked_logits(products, bias, None if mask is None else mask[:, None])
