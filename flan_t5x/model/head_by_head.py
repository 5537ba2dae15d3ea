"""Attention one head of a few rows at a time, with a backward pass that stores no weights.

The weights of one head, [rows, queries, keys], stay in a processor's cache from the product that
makes them to the product that uses them; the backward pass makes them again from the row
maximum and sum (as FlashAttention does: Dao et al. 2022, arXiv 2205.14135, algorithm 4). On a
CPU that is faster than `reference_attention`, and memory no longer grows with
layers * batch * heads * queries * keys. The loop runs over batch and heads, so it is for a
batch that lies on one device: over a sharded dimension it would gather.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

CACHED_BYTES = 2**20
"""Of a head's float32 weights for the rows taken together: what a core's own cache holds beside the
rest. One row of 512 by 512; short rows are taken several at a time, as each turn of the loop costs.
"""
MASKED = -1e10
"""T5X's value: finite, so that a wholly masked row gives numbers, not NaN."""


class _Saved(NamedTuple):
    """Residuals, heads first, so that all rows of a head share its bias."""

    query: Float[Array, "heads batch queries head_dim"]
    key: Float[Array, "heads batch keys head_dim"]
    value: Float[Array, "heads batch keys head_dim"]
    bias: Float[Array, "heads queries keys"] | None
    mask: Bool[Array, "batch queries keys"] | None
    mixed: Float[Array, "heads batch queries head_dim"]
    top: Float[Array, "heads batch queries 1"]
    total: Float[Array, "heads batch queries 1"]


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
    q, k, v = _heads_first(query), _heads_first(key), _heads_first(value)
    turns = _Turns(q, k, bias, mask)

    def turn(_: None, x: Any) -> tuple[None, tuple[jax.Array, ...]]:
        number, q, k, v = x
        logits = turns.logits(number, q, k)
        top = jnp.max(logits, axis=-1, keepdims=True)
        weights = jnp.exp(logits - top)
        total = jnp.sum(weights, axis=-1, keepdims=True)
        mixed = jnp.einsum("rqk,rkc->rqc", weights.astype(v.dtype), v) / total
        return None, (mixed.astype(v.dtype), top, total)

    _, (mixed, top, total) = turns.scan(turn, None, (q, k, v))
    return _heads_last(mixed), _Saved(q, k, v, bias, mask, mixed, top, total)


def _backward(saved: _Saved, grad: jax.Array) -> tuple[jax.Array | None, ...]:
    bias, mask = saved.bias, saved.mask
    do = _heads_first(grad)
    # sum over keys of weight * d(weight), the term that the softmax's gradient subtracts
    inner = jnp.sum((do * saved.mixed).astype(jnp.float32), axis=-1, keepdims=True)
    turns = _Turns(saved.query, saved.key, bias, mask)

    def turn(d_bias: jax.Array | None, x: Any) -> tuple[jax.Array | None, tuple]:
        number, q, k, v, do, inner, top, total = x
        weights = jnp.exp(turns.logits(number, q, k) - top) / total
        # Written so that only [length, head_dim] arrays are transposed, never the weights.
        d_value = _turned(jnp.einsum("rqc,rqk->rck", do, weights.astype(do.dtype)))
        d_weights = jnp.einsum("rqc,rkc->rqk", do, v).astype(jnp.float32)
        d_logits = weights * (d_weights - inner)
        if mask is not None:
            d_logits = jnp.where(turns.rows_of(mask, number), d_logits, 0.0)
        if d_bias is not None:
            d_bias = d_bias.at[turns.head(number)].add(jnp.sum(d_logits, axis=0))
        d_logits = d_logits.astype(q.dtype)
        d_query = jnp.einsum("rqk,rkc->rqc", d_logits, k)
        d_key = _turned(jnp.einsum("rqc,rqk->rck", q, d_logits))
        return d_bias, (d_query, d_key, d_value)

    start = None if bias is None else jnp.zeros(bias.shape, jnp.float32)
    arrays = (saved.query, saved.key, saved.value, do, inner, saved.top, saved.total)
    d_bias, grads = turns.scan(turn, start, arrays)
    if bias is not None:
        d_bias = d_bias.astype(bias.dtype)
    return *(_heads_last(d) for d in grads), d_bias, None


attend.defvjp(_forward, _backward)


def _heads_first(x: Float[Array, "batch length heads head_dim"]) -> jax.Array:
    return x.transpose(2, 0, 1, 3)


def _heads_last(x: Float[Array, "heads batch length head_dim"]) -> jax.Array:
    return x.transpose(1, 2, 0, 3)


class _Turns:
    """The turns of the loop: one head of a few rows each, all rows of a head one after another."""

    def __init__(
        self,
        query: Float[Array, "heads batch queries head_dim"],
        key: Float[Array, "heads batch keys head_dim"],
        bias: Float[Array, "heads queries keys"] | None,
        mask: Bool[Array, "batch queries keys"] | None,
    ) -> None:
        self._heads, self._batch, queries, _ = query.shape
        most = max(CACHED_BYTES // (4 * queries * key.shape[2]), 1)
        fits = (n for n in range(1, self._batch + 1) if self._batch % n == 0 and n <= most)
        self._rows = max(fits)
        self._per_head = self._batch // self._rows
        self._bias, self._mask = bias, mask

    def scan(self, turn: Callable[[Any, Any], tuple[Any, Any]], carry: Any, arrays: Any) -> Any:
        """`jax.lax.scan`; a turn gets its number and its part of arrays [heads, batch, ...]."""
        count = self._heads * self._per_head
        parts = jax.tree.map(lambda x: x.reshape(count, self._rows, *x.shape[2:]), arrays)
        carry, found = jax.lax.scan(turn, carry, (jnp.arange(count), *parts))
        shape = (self._heads, self._batch)
        return carry, jax.tree.map(lambda x: x.reshape(*shape, *x.shape[2:]), found)

    def head(self, number: Int[Array, ""]) -> Int[Array, ""]:
        """Which head's turn it is."""
        return number // self._per_head

    def rows_of(
        self, mask: Bool[Array, "batch queries keys"], number: Int[Array, ""]
    ) -> Bool[Array, "rows queries keys"]:
        """That of the turn's rows."""
        first = number % self._per_head * self._rows
        return jax.lax.dynamic_slice_in_dim(mask, first, self._rows)

    def logits(
        self,
        number: Int[Array, ""],
        query: Float[Array, "rows queries head_dim"],
        key: Float[Array, "rows keys head_dim"],
    ) -> Float[Array, "rows queries keys"]:
        """float32, with bias and mask."""
        products = jnp.einsum("rqc,rkc->rqk", query, key)
        bias = None if self._bias is None else self._bias[self.head(number)]
        mask = None if self._mask is None else self.rows_of(self._mask, number)
        return masked_logits(products, bias, mask)


def _turned(x: Float[Array, "rows head_dim keys"]) -> Float[Array, "rows keys head_dim"]:
    return x.transpose(0, 2, 1)


def masked_logits(
    products: Float[Array, "*shape"],
    bias: Float[Array, "*#shape"] | None,
    mask: Bool[Array, "*#shape"] | None,
) -> Float[Array, "*shape"]:
    """Products of queries and keys with the position bias, `MASKED` where not to be seen.

    Args:
        products: of any dtype; the result is float32.
        bias: broadcast to the products, or None.
        mask: broadcast to the products, True where a query may look; or None.
    """
    logits = products.astype(jnp.float32)
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)
    return logits if mask is None else jnp.where(mask, logits, MASKED)
