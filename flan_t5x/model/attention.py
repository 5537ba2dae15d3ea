"""Multi-head attention, with packed examples kept apart and a key-value cache for decoding."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from flan_t5x.errors import UserError, nearest
from flan_t5x.model.config import T5Config
from flan_t5x.model.layers import Dense, Dropout, attention_init

MASKED = -1e10  # T5X's value: finite, so that a wholly masked row gives numbers, not NaN

QUERY_DROPOUT_SITE = 0


class KeyValues(NamedTuple):
    """Projected keys and values, each [batch, length, heads, head_dim]."""

    key: Float[Array, "batch length heads head_dim"]
    value: Float[Array, "batch length heads head_dim"]


class AttentionFn(Protocol):
    """softmax(q k^T + bias, masked) v; T5 has no 1/sqrt(head_dim) at run time."""

    def __call__(
        self,
        query: Float[Array, "batch queries heads head_dim"],
        keys: KeyValues,
        *,
        bias: Float[Array, "1 heads queries keys"] | None,
        mask: Bool[Array, "batch queries keys"] | None,
    ) -> Float[Array, "batch queries heads head_dim"]: ...


def reference_attention(
    query: Float[Array, "batch queries heads head_dim"],
    keys: KeyValues,
    *,
    bias: Float[Array, "1 heads queries keys"] | None,
    mask: Bool[Array, "batch queries keys"] | None,
) -> Float[Array, "batch queries heads head_dim"]:
    """Plain attention; weights in float32, then in the dtype of the values."""
    logits = jnp.einsum("bqhc,bkhc->bhqk", query, keys.key)
    logits = logits.astype(jnp.float32)
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)
    if mask is not None:
        logits = jnp.where(mask[:, None], logits, MASKED)
    weights = jax.nn.softmax(logits, axis=-1).astype(keys.value.dtype)
    return jnp.einsum("bhqk,bkhc->bqhc", weights, keys.value)


ATTENTION: dict[str, AttentionFn] = {"reference": reference_attention}
"""Attention functions by the name that `T5Config.attention` chooses."""


def attention_fn(kind: str) -> AttentionFn:
    """The attention function called `kind`; UserError with near names where there is none."""
    if kind not in ATTENTION:
        hint = nearest(kind, ATTENTION) or f"known: {', '.join(ATTENTION)}"
        raise UserError(f"T5Config.attention = {kind!r} is not known; {hint}")
    return ATTENTION[kind]


class Attention(nnx.Module):
    """Queries from one sequence, keys and values from another (or the same)."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs) -> None:
        d, kv = config.emb_dim, config.joined_kv
        self.num_heads, self.head_dim = config.num_heads, config.head_dim
        self.kind = config.attention

        def query_init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
            # The 1/sqrt(head_dim) that T5 leaves out at run time stands in the initial weights.
            return attention_init(key, shape, dtype) / jnp.sqrt(config.head_dim).astype(dtype)

        inward, outward = ("embed", "joined_kv"), ("joined_kv", "embed")
        self.query = Dense((d, kv), inward, init=query_init, dtype=config.dtype, rngs=rngs)
        self.key = Dense((d, kv), inward, init=attention_init, dtype=config.dtype, rngs=rngs)
        self.value = Dense((d, kv), inward, init=attention_init, dtype=config.dtype, rngs=rngs)
        self.out = Dense((kv, d), outward, init=attention_init, dtype=config.dtype, rngs=rngs)

    def heads(
        self, x: Float[Array, "batch length joined_kv"]
    ) -> Float[Array, "batch length heads head_dim"]:
        """Splits the joined width into heads."""
        return x.reshape(*x.shape[:-1], self.num_heads, self.head_dim)

    def keys(self, x: Float[Array, "batch length dim"]) -> KeyValues:
        """Keys and values of x."""
        return KeyValues(self.heads(self.key(x)), self.heads(self.value(x)))

    def __call__(
        self,
        x: Float[Array, "batch queries dim"],
        keys: KeyValues,
        *,
        bias: Float[Array, "1 heads queries keys"] | None = None,
        mask: Bool[Array, "batch queries keys"] | None = None,
        dropout: Dropout | None = None,
    ) -> Float[Array, "batch queries dim"]:
        """Attends from x to `keys`.

        T5X drops attention weights with one mask for all queries, [batch, heads, 1, keys].
        Scaling the value of a key by that mask is the same product, and touches
        length * emb_dim numbers instead of heads * queries * keys.
        """
        if dropout is not None:
            length = keys.value.shape[1]
            scale = dropout.scale(QUERY_DROPOUT_SITE, (length, self.num_heads, 1), keys.value.dtype)
            if scale is not None:
                keys = KeyValues(keys.key, keys.value * scale)
        query = self.heads(self.query(x))
        mixed = attention_fn(self.kind)(query, keys, bias=bias, mask=mask)
        return self.out(mixed.reshape(*mixed.shape[:2], -1))

    def decode(
        self,
        x: Float[Array, "batch 1 dim"],
        past: KeyValues,
        *,
        position: Int[Array, ""],
        bias: Float[Array, "1 heads 1 keys"],
    ) -> tuple[Float[Array, "batch 1 dim"], KeyValues]:
        """One decoding step of self-attention, over positions 0..position.

        The past is only read: the new token's key and value are returned, and the caller writes
        those of all layers into the cache at once. Writing here would copy the whole cache
        once per layer and step.

        Args:
            x: the new token's features.
            past: keys and values of all positions, [batch, max_length, heads, head_dim]; what
                stands at `position` and after is ignored.
            position: index of the new token.
            bias: its row of the relative position bias.

        Returns:
            The mixed features, and the new token's key and value, [batch, 1, heads, head_dim].
        """
        query = self.heads(self.query(x))
        new = self.keys(x)
        before = jnp.einsum("bqhc,bkhc->bhqk", query, past.key).astype(jnp.float32)
        before = jnp.where(jnp.arange(bias.shape[-1]) < position, before + bias, MASKED)
        own_bias = jax.lax.dynamic_slice_in_dim(bias, position, 1, axis=-1)
        own = jnp.einsum("bqhc,bkhc->bhqk", query, new.key).astype(jnp.float32) + own_bias
        weights = jax.nn.softmax(jnp.concatenate([before, own], axis=-1), axis=-1)
        weights = weights.astype(past.value.dtype)
        mixed = jnp.einsum("bhqk,bkhc->bqhc", weights[..., :-1], past.value)
        mixed = mixed + jnp.einsum("bhqk,bkhc->bqhc", weights[..., -1:], new.value)
        return self.out(mixed.reshape(*mixed.shape[:2], -1)), new
